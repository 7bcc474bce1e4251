"""A spiking unit: forward is a step, backward the slope of a sigmoid, on purpose. Differences
see zero everywhere. Expected: not a bug report: the true derivative is zero, so a surrogate
or straight-through gradient cannot be confirmed.
"""

import numpy as np

from autocnn import gradcheck


def spike(x):
    s = 1 / (1 + np.exp(-4 * x))
    return (x >= 0).astype(float), lambda dy: dy * 4 * s * (1 - s)


def run():
    return gradcheck.check(spike, x=np.random.default_rng(0).normal(size=(3, 4)))


EXPECT = {
    "verdict": "either",
    "codes": {"surrogate", "straight-through"},
    "says": ["surrogate", "straight-through"],
}
