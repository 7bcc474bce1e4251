"""LayerNorm with gamma taken out of the sums (gamma random). Expected: missing-path, saying that
gamma must come before the sums.
"""

import numpy as np

from autocnn import gradcheck


def layernorm(x, gamma):
    s = 1 / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    h = (x - x.mean(1, keepdims=True)) * s

    def backward(dy):
        return dict(
            gamma=(dy * h).sum(0),
            x=gamma * s * (dy - dy.mean(1, keepdims=True) - h * (dy * h).mean(1, keepdims=True)),
        )

    return gamma * h, backward


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(layernorm, x=r.normal(size=(4, 5)), gamma=r.normal(size=5))


EXPECT = {"verdict": "wrong", "codes": {"missing-path", "axis-scale"}, "says": ["gamma"]}
