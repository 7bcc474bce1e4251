"""An accumulating embedding bag with a real mistake: W.grad[ids] += g counts a repeated id once.
Expected: wrong, and the mistake named beside (or without) "accumulates".
"""

import numpy as np

from autocnn import gradcheck


class Bag:
    def __init__(self):
        self.params = {"W": np.random.default_rng(0).normal(size=(6, 3))}
        self.grads = {"W": np.zeros((6, 3))}

    def forward(self, ids):
        self.ids = ids
        return np.stack([self.params["W"][i].sum(0) for i in ids])

    def backward(self, dy):
        for i, g in zip(self.ids, dy, strict=False):
            self.grads["W"][i] += g


def run():
    return gradcheck.check_object(Bag(), np.array([[0, 1, 1], [2, 2, 3]]))


EXPECT = {"verdict": "wrong", "codes": {"overwritten", "partial"}}
