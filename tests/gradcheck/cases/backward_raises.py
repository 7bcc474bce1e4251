"""backward crops its padding by [pad:-pad] with pad = 0 and raises when it stores the empty
result. Expected: a report, wrong, with the line that raised.
"""

import numpy as np

from autocnn import gradcheck


def conv(x, w, pad=0):
    p = np.pad(x, pad)
    y = np.stack([p[i : i + 2] @ w for i in range(len(p) - 1)])

    def backward(dy):
        dp = np.zeros(p.shape)
        dx = np.zeros(x.shape)
        for i, g in enumerate(dy):
            dp[i : i + 2] += g * w
        dx[:] = dp[pad:-pad]
        return dx, sum(g * p[i : i + 2] for i, g in enumerate(dy))

    return y, backward


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(conv, x=r.normal(size=6), w=r.normal(size=2))


EXPECT = {"verdict": "wrong", "codes": {"raises", "shape"}}
