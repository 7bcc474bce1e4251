"""Correct: floor is piecewise constant, and None stands for a zero gradient. Expected: agree
with a note.
"""

import numpy as np

from autocnn import gradcheck


def run():
    return gradcheck.check(
        lambda x, a: (np.floor(x) + a, lambda dy: dict(x=None, a=dy)),
        x=np.random.default_rng(0).normal(size=(3, 4)),
        a=np.ones((3, 4)),
    )


EXPECT = {"verdict": "agree", "codes": set()}
