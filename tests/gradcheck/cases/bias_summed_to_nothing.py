"""Softmax regression: the bias gradient is one sum over everything, which is 0 up to rounding.
Expected: broadcast (or zero), always.
"""

import numpy as np

from autocnn import gradcheck

Y = np.eye(3)[[0, 2, 1, 1]]


def loss(X, w, b):
    s = X @ w + b
    p = np.exp(s)
    p /= p.sum(1, keepdims=True)
    d = p - Y
    return -(Y * np.log(p)).sum(), dict(X=d @ w.T, w=X.T @ d, b=np.full(3, d.sum()))


def run():
    for seed in range(12):
        r = np.random.default_rng(seed)
        report = gradcheck.check(
            loss, X=r.normal(size=(4, 5)), w=r.normal(size=(5, 3)), b=r.normal(size=3)
        )
        if not {c.code for c in report.causes} & EXPECT["codes"]:
            break
    return report


EXPECT = {"verdict": "wrong", "codes": {"broadcast", "zero"}}
