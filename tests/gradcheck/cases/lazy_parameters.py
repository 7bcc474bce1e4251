"""W and b are made at the first forward; dW is wrong (averaged). Expected: wrong."""

import numpy as np

from autocnn import gradcheck


class Lazy:
    params, grads = {}, {}

    def __init__(self):
        self.params, self.grads = {}, {}

    def forward(self, x):
        if not self.params:
            self.params = {
                "W": np.random.default_rng(0).normal(size=(x.shape[1], 4)),
                "b": np.zeros(4),
            }
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"W": self.x.T @ dy / len(dy), "b": dy.sum(0)}
        return dy @ self.params["W"].T


def run():
    return gradcheck.check_object(Lazy(), np.random.default_rng(1).normal(size=(5, 3)))


EXPECT = {"verdict": "wrong", "codes": {"scale"}, "leaves": {"x", "W", "b"}}
