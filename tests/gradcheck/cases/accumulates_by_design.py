"""Correct layer that adds into grads until zero_grad() is called, as torch and many frameworks
do. Expected: agree with a note.
"""

import numpy as np

from autocnn import gradcheck


class Dense:
    def __init__(self, n, m):
        r = np.random.default_rng(0)
        self.params = dict(w=r.normal(size=(n, m)), b=r.normal(size=m))
        self.zero_grad()

    def zero_grad(self):
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads["w"] += self.x.T @ dy
        self.grads["b"] += dy.sum(0)
        return dy @ self.params["w"].T


def run():
    return gradcheck.check_object(Dense(3, 4), np.random.default_rng(1).normal(size=(5, 3)))


EXPECT = {"verdict": "agree", "codes": set(), "leaves": {"x", "w", "b"}}
