"""Swish by its output: y + s (1 - y) with s = sigmoid(y) for sigmoid(x). Expected: wrong-
operand.
"""

import numpy as np

from autocnn import gradcheck


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def swish(x):
    y = x * sigmoid(x)
    return y, lambda dy: dy * (y + sigmoid(y) * (1 - y))


def run():
    return gradcheck.check(swish, x=np.random.default_rng(0).normal(size=(3, 5)))


EXPECT = {"verdict": "wrong", "codes": {"wrong-operand"}}
