"""Embedding bag: dW[ids] += g adds a repeated id once (np.add.at is needed). Expected:
overwritten.
"""

import numpy as np

from autocnn import gradcheck

ids = np.array([[0, 1, 1], [2, 2, 2], [3, 0, 1]])


def bag(W):
    def backward(dy):
        dW = np.zeros_like(W)
        for i, g in zip(ids, dy, strict=False):
            dW[i] += g
        return dW

    return np.stack([W[i].sum(0) for i in ids]), backward


def run():
    return gradcheck.check(bag, W=np.random.default_rng(0).normal(size=(5, 4)))


EXPECT = {"verdict": "wrong", "codes": {"overwritten", "partial"}}
