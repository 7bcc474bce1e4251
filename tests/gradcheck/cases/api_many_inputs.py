"""Correct attention object: forward(q, k, v), backward(dy) -> (dq, dk, dv). Expected: agree,
three leaves compared.
"""

import numpy as np

from autocnn import gradcheck


class Attention:
    def forward(self, q, k, v):
        s = q @ k.T / np.sqrt(q.shape[1])
        e = np.exp(s - s.max(1, keepdims=True))
        self.p = e / e.sum(1, keepdims=True)
        self.q, self.k, self.v = q, k, v
        return self.p @ v

    def backward(self, dy):
        dp = dy @ self.v.T
        ds = self.p * (dp - (dp * self.p).sum(1, keepdims=True)) / np.sqrt(self.q.shape[1])
        return ds @ self.k, ds.T @ self.q, self.p.T @ dy


def run():
    r = np.random.default_rng(0)
    return gradcheck.check_object(
        Attention(), r.normal(size=(3, 4)), k=r.normal(size=(5, 4)), v=r.normal(size=(5, 2))
    )


EXPECT = {"verdict": "agree", "codes": set()}
