"""LayerNorm with gamma outside the sums: right while gamma is 1, as it is made. Expected:
wrong at other values of gamma.
"""

import numpy as np

from autocnn import gradcheck


class LayerNorm:
    def __init__(self, d):
        self.gamma, self.beta = np.ones(d), np.zeros(d)

    def forward(self, x):
        m = x.mean(-1, keepdims=True)
        self.s = 1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        self.h = (x - m) * self.s
        return self.gamma * self.h + self.beta

    def backward(self, dy):
        self.dgamma, self.dbeta = (dy * self.h).sum(0), dy.sum(0)
        return (
            self.gamma
            * self.s
            * (dy - dy.mean(-1, keepdims=True) - self.h * (dy * self.h).mean(-1, keepdims=True))
        )


def run():
    return gradcheck.check_object(LayerNorm(5), np.random.default_rng(0).normal(size=(4, 5)))


EXPECT = {"verdict": "wrong", "codes": {"missing-path", "axis-scale", "wrong-operand"}}
