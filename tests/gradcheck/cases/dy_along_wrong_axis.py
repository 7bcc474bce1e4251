"""A loss for each row, with as many rows as columns: dy (N,) is multiplied as if it belonged to
the columns. Expected: wrong-operand, permuted or transposed, saying that dy runs along the
wrong axis.
"""

import numpy as np

from autocnn import gradcheck


def rows(x):
    t = np.tanh(x)
    return (t * t).sum(1), lambda dy: dy * 2 * t * (1 - t * t)


def run():
    return gradcheck.check(rows, x=np.random.default_rng(0).normal(size=(4, 4)))


EXPECT = {
    "verdict": "wrong",
    "codes": {"wrong-operand", "permuted", "transposed"},
    "says": ["dy", "axis"],
}
