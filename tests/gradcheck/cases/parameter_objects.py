"""Parameters are objects with .data and .grad; dW is twice too large. Expected: wrong."""

import numpy as np

from autocnn import gradcheck


class Parameter:
    def __init__(self, data):
        self.data, self.grad = data, None


class Linear:
    def __init__(self):
        r = np.random.default_rng(0)
        self.weight, self.bias = Parameter(r.normal(size=(3, 4))), Parameter(r.normal(size=4))

    def forward(self, x):
        self.x = x
        return x @ self.weight.data + self.bias.data

    def backward(self, dy):
        self.weight.grad, self.bias.grad = 2 * self.x.T @ dy, dy.sum(0)
        return dy @ self.weight.data.T


def run():
    return gradcheck.check_object(Linear(), np.random.default_rng(1).normal(size=(5, 3)))


EXPECT = {"verdict": "wrong", "codes": {"scale"}}
