"""The forward uses b1 where b2 belongs (copy and paste); the backward is as it should be.
Expected: say that y does not depend on b2.
"""

import numpy as np

from autocnn import gradcheck


def gates(x, W1, W2, b1, b2):
    f, u = 1 / (1 + np.exp(-(x @ W1 + b1))), np.tanh(x @ W2 + b1)

    def backward(dy):
        df, du = dy * u * f * (1 - f), dy * f * (1 - u * u)
        return dict(x=df @ W1.T + du @ W2.T, W1=x.T @ df, W2=x.T @ du, b1=df.sum(0), b2=du.sum(0))

    return f * u, backward


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(
        gates,
        x=r.normal(size=(4, 3)),
        W1=r.normal(size=(3, 2)),
        W2=r.normal(size=(3, 2)),
        b1=r.normal(size=2),
        b2=r.normal(size=2),
    )


EXPECT = {
    "verdict": "wrong",
    "codes": {"missing-path", "unused", "wrong-operand"},
    "says": ["does not depend", "not used", "unused"],
}
