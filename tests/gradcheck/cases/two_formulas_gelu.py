"""GELU by tanh, its derivative by the exact normal density: the derivative of another formula of
nearly the same function. Expected: wrong; say that it is right to 3 digits everywhere and
probably another approximation.
"""

import numpy as np

from autocnn import gradcheck

c = np.sqrt(2 / np.pi)


def gelu(x):
    t = np.tanh(c * (x + 0.044715 * x**3))
    return 0.5 * x * (
        1 + t
    ), lambda dy: dy * (0.5 * (1 + t) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def run():
    return gradcheck.check(gelu, x=np.random.default_rng(0).normal(size=(3, 5)))


EXPECT = {
    "verdict": "wrong",
    "codes": {"unclassified", "wrong-operand"},
    "says": ["approximation", "another formula"],
}
