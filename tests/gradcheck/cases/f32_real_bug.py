"""The same float32 storage, with a real mistake: the slope of the sigmoid is taken twice too
large. Expected: wrong, scale 2 (not "not-linear").
"""

import numpy as np

from autocnn import gradcheck


def sigmoid(x):
    y = (1 / (1 + np.exp(-np.asarray(x, dtype=np.float32)))).astype(np.float32)
    return y, lambda dy: (2 * np.asarray(dy, dtype=np.float32) * y * (1 - y)).astype(np.float32)


def run():
    return gradcheck.check(sigmoid, x=np.random.default_rng(2).normal(size=(4, 5)))


EXPECT = {"verdict": "wrong", "codes": {"scale"}, "not": {"not-linear"}}
