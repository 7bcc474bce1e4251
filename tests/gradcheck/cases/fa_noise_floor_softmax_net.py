"""Correct two-layer softmax net; forward keeps only real parts, so real differences are the
witness. Expected: agree, at every seed.
"""

import numpy as np

from autocnn import gradcheck


def net(W1, b1, W2, b2, X, y):
    W1, b1, W2, b2 = (np.real(a).copy() for a in (W1, b1, W2, b2))
    z = X @ W1 + b1
    h = np.maximum(z, 0)
    s = h @ W2 + b2
    p = np.exp(s - s.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    n = len(X)
    loss = -np.log(p[np.arange(n), y]).mean() + 0.125 * ((W1**2).sum() + (W2**2).sum())
    d = p.copy()
    d[np.arange(n), y] -= 1
    d /= n
    dh = (d @ W2.T) * (z > 0)
    return loss, dict(W1=X.T @ dh + 0.25 * W1, b1=dh.sum(0), W2=h.T @ d + 0.25 * W2, b2=d.sum(0))


def run():
    for s in range(60):  # 2 of these 60 were called wrong
        r = np.random.default_rng(s)
        X, y = r.normal(size=(5, 6)), r.integers(4, size=5)
        P = dict(
            W1=r.normal(size=(6, 7)) * 0.4,
            b1=r.normal(size=7) * 0.4,
            W2=r.normal(size=(7, 4)) * 0.4,
            b2=r.normal(size=4) * 0.4,
        )
        report = gradcheck.check(net, wrt=tuple(P), X=X, y=y, **P)
        if not report.ok:
            break
    return report


EXPECT = {"verdict": "agree", "codes": set()}
