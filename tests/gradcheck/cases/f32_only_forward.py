"""Correct function that refuses anything but float32, as type-checked and compiled ops do. The
arrays given are float32. Expected: agree, at single precision.
"""

import numpy as np

from autocnn import gradcheck


def scale(x, s):
    if x.dtype != np.float32:
        raise TypeError("float32 expected")
    return x * s, lambda dy: dict(x=dy.astype("f") * s, s=(dy * x).sum(0).astype("f"))


def run():
    r = np.random.default_rng(4)
    return gradcheck.check(
        scale, x=r.normal(size=(4, 3)).astype("f"), s=r.normal(size=3).astype("f")
    )


EXPECT = {"verdict": "agree", "codes": set()}
