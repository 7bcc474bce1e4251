"""Whole-network loss: tanh' is missing on the way to the first layer. Expected: missing-path or
wrong-operand on W1.
"""

import numpy as np

from autocnn import gradcheck

r = np.random.default_rng(0)
X, T = r.normal(size=(5, 3)), r.normal(size=(5, 1))


def loss(W1, b1, W2):
    h = np.tanh(X @ W1 + b1)
    e = h @ W2 - T
    d = 2 * e @ W2.T / len(X)
    return (e * e).mean(), dict(W1=X.T @ d, b1=d.sum(0), W2=2 * h.T @ e / len(X))


def run():
    return gradcheck.check(
        loss, W1=r.normal(size=(3, 4)), b1=r.normal(size=4), W2=r.normal(size=(4, 1))
    )


EXPECT = {"verdict": "wrong", "codes": {"missing-path", "wrong-operand"}, "not": {"unclassified"}}
