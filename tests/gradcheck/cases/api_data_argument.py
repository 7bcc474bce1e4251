"""Correct loss of weights on data: X is an array of floats, but data. Expected: agree (say
wrt=, or by its leaving X out on purpose).
"""

import numpy as np

from autocnn import gradcheck


def svm(W, X, y, reg):
    s = X @ W
    m = np.maximum(0, s - s[np.arange(len(y)), y][:, None] + 1)
    m[np.arange(len(y)), y] = 0
    g = (m > 0).astype(float)
    g[np.arange(len(y)), y] = -g.sum(1)
    return m.sum() / len(y) + reg * (W**2).sum(), X.T @ g / len(y) + 2 * reg * W


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(
        svm,
        wrt=("W",),
        W=r.normal(size=(4, 3)),
        X=r.normal(size=(5, 4)),
        y=np.array([0, 2, 1, 1, 0]),
        reg=0.1,
    )


EXPECT = {"verdict": "agree", "codes": set()}
