"""Column maxima; d[:, arg] = g writes whole columns numbered by the rows' positions, for d[arg,
range] = g. Expected: permuted, overwritten or broadcast (an index used without its partner).
"""

import numpy as np

from autocnn import gradcheck


def colmax(x):
    arg = x.argmax(0)

    def backward(dy):
        d = np.zeros_like(x)
        d[:, arg] = dy
        return d

    return x.max(0), backward


def run():
    return gradcheck.check(colmax, x=np.random.default_rng(0).normal(size=(4, 4)))


EXPECT = {"verdict": "wrong", "codes": {"permuted", "overwritten", "broadcast"}}
