"""Strided correlation; dw reads x at j for j * stride. Expected: shifted, permuted or wrong-
operand (x at other windows).
"""

import numpy as np

from autocnn import gradcheck


def corr(x, w, s=2):
    k, o = len(w), (x.shape[1] - len(w)) // s + 1
    y = np.stack([x[:, j * s : j * s + k] @ w for j in range(o)], 1)
    return y, lambda dy: dict(
        w=sum(dy[:, j] @ x[:, j : j + k] for j in range(o)),
        x=sum(
            np.pad(dy[:, j : j + 1] * w, ((0, 0), (j * s, x.shape[1] - j * s - k)))
            for j in range(o)
        ),
    )


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(corr, x=r.normal(size=(2, 9)), w=r.normal(size=3))


EXPECT = {"verdict": "wrong", "codes": {"shifted", "permuted", "wrong-operand"}}
