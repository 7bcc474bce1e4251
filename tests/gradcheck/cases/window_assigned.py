"""Overlapping max pool: dx[window] = mask * dy, so that the zeros of the next window wipe what
was there. Expected: overwritten.
"""

import numpy as np

from autocnn import gradcheck


def pool(x):
    _N, H, W = x.shape
    y = np.stack(
        [
            np.stack([x[:, i : i + 3, j : j + 2].max((1, 2)) for j in range(W - 1)], -1)
            for i in range(H - 2)
        ],
        1,
    )

    def backward(dy):
        dx = np.zeros_like(x)
        for i in range(H - 2):
            for j in range(W - 1):
                w = x[:, i : i + 3, j : j + 2]
                dx[:, i : i + 3, j : j + 2] = (w == w.max((1, 2), keepdims=True)) * dy[
                    :, i, j, None, None
                ]
        return dx

    return y, backward


def run():
    return gradcheck.check(pool, x=np.random.default_rng(0).normal(size=(3, 5, 4)))


EXPECT = {"verdict": "wrong", "codes": {"overwritten"}}
