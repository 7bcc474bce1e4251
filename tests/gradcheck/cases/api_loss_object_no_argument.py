"""Correct loss object whose backward takes nothing, with float targets that are data.
Expected: agree.
"""

import numpy as np

from autocnn import gradcheck


class HalfSquares:
    def forward(self, y, t):
        self.d = y - t
        return 0.5 * (self.d**2).sum()

    def backward(self):
        return self.d


def run():
    r = np.random.default_rng(0)
    return gradcheck.check_object(HalfSquares(), r.normal(size=(3, 4)), t=r.normal(size=(3, 4)))


EXPECT = {"verdict": "agree", "codes": set()}
