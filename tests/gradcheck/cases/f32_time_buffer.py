"""Correct tanh layer over time whose output and dx are float32 buffers, whatever dtype comes
in (the O'Reilly style). Expected: agree (at single precision).
"""

import numpy as np

from autocnn import gradcheck


class TimeTanh:
    def __init__(self, W):
        self.W = W

    def forward(self, xs):
        N, T, _ = xs.shape
        self.xs, self.hs = xs, np.empty((N, T, self.W.shape[1]), dtype="f")
        for t in range(T):
            self.hs[:, t] = np.tanh(xs[:, t] @ self.W)
        return self.hs

    def backward(self, dhs):
        dxs, self.dW = np.empty(self.xs.shape, dtype="f"), np.zeros_like(self.W)
        for t in range(dhs.shape[1]):
            d = dhs[:, t] * (1 - self.hs[:, t] ** 2)
            dxs[:, t] = d @ self.W.T
            self.dW += self.xs[:, t].T @ d
        return dxs


def run():
    r = np.random.default_rng(0)
    return gradcheck.check_object(
        TimeTanh(r.normal(size=(3, 4)).astype("f")), r.normal(size=(2, 5, 3)).astype("f")
    )


EXPECT = {"verdict": "agree", "codes": set()}
