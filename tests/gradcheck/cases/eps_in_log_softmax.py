"""Softmax cross-entropy with log(p + 1e-7); backward takes p - onehot, off by 1e-7. Expected:
an eps is named, no factor or mask.
"""

import numpy as np

from autocnn import gradcheck

y = np.array([0, 3, 1])


def loss(x):
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    d = p.copy()
    d[np.arange(3), y] -= 1
    return -np.log(p[np.arange(3), y] + 1e-7).mean(), lambda g: g * d / 3


def run():
    return gradcheck.check(loss, x=np.random.default_rng(0).normal(size=(3, 5)))


EXPECT = {
    "verdict": "either",
    "codes": {"unclassified", "eps"},
    "not": {"axis-scale", "mask", "wrong-operand", "scale"},
    "says": ["eps"],
}
