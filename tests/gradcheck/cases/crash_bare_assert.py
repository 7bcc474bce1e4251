"""Correct function with a bare assert on the dtype, which complex numbers break. Expected:
agree, by real differences.
"""

import numpy as np

from autocnn import gradcheck


def square(x):
    y = x * x
    assert y.dtype == float
    return y, lambda dy: 2 * x * dy


def run():
    return gradcheck.check(square, x=np.random.default_rng(0).normal(size=(3, 4)))


EXPECT = {"verdict": "agree", "codes": set()}
