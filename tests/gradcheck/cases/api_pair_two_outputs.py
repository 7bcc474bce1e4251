"""Correct LSTM-like step as a pair: forward -> (h, c, cache), backward(dh, dc, cache).
Expected: agree.
"""

import numpy as np

from autocnn import gradcheck


def forward(x, c, W):
    g = 1 / (1 + np.exp(-x @ W))
    c2 = g * c
    h = np.tanh(c2)
    return h, c2, (x, c, W, g, h)


def backward(dh, dc2, cache):
    x, c, W, g, h = cache
    d = dc2 + dh * (1 - h**2)
    da = d * c * g * (1 - g)
    return da @ W.T, d * g, x.T @ da


def run():
    r = np.random.default_rng(0)
    return gradcheck.check_pair(
        forward, backward, x=r.normal(size=(5, 3)), c=r.normal(size=(5, 4)), W=r.normal(size=(3, 4))
    )


EXPECT = {"verdict": "agree", "codes": set()}
