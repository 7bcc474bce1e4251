"""Unreduced loss: the upstream gradient of each example is replaced by the sum over all of them.
Expected: broadcast, of dy.
"""

import numpy as np

from autocnn import gradcheck


def loss(x, W):
    s = 1 / (1 + np.exp(-x @ W.T))
    y = -np.log(s).sum(1)

    def backward(dy):
        d = (s - 1) * dy.sum()
        return dict(x=d @ W, W=d.T @ x)

    return y, backward


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(loss, x=r.normal(size=(3, 4)), W=r.normal(size=(5, 4)))


EXPECT = {"verdict": "wrong", "codes": {"broadcast"}, "not": {"unclassified"}}
