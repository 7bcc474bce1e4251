"""Parameters come as one dict argument, and their gradients go back as one dict; db is wrong
(a mean). Expected: wrong (leaves params.W, params.b), or a refusal.
"""

import numpy as np

from autocnn import gradcheck


def dense(params, X):
    def backward(dy):
        return {"params": {"W": X.T @ dy, "b": dy.mean(0)}, "X": dy @ params["W"].T}

    return X @ params["W"] + params["b"], backward


def run():
    r = np.random.default_rng(0)
    return gradcheck.check(
        dense, params={"W": r.normal(size=(3, 4)), "b": r.normal(size=4)}, X=r.normal(size=(5, 3))
    )


EXPECT = {"verdict": "wrong", "codes": {"scale"}}
