"""Dropout from numpy's global stream in a function that takes no complex numbers; its slope is
twice too large. Expected: wrong, scale 2.
"""

import numpy as np

from autocnn import gradcheck


def layer(x):
    if np.iscomplexobj(x):
        raise TypeError("real numbers only")
    m = (np.random.rand(*x.shape) < 0.6) / 0.6  # noqa: NPY002
    return np.tanh(x) * m, lambda dy: 2 * dy * m * (1 - np.tanh(x) ** 2)


def run():
    return gradcheck.check(layer, x=np.random.default_rng(0).normal(size=(3, 4)))


EXPECT = {"verdict": "wrong", "codes": {"scale"}}
