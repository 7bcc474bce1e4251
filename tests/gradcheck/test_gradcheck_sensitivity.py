"""The other failure of a checker is blindness: a single wrong entry among thousands must be
seen.
"""

import numpy as np
import pytest

from autocnn import gradcheck
from tests.bugs.twins import mlp


def network(seed, entry=None, relative=0.0):
    """A ReLU network's 24,000 weights as arguments, and its gradient with one entry made wrong
    by a relative error.
    """
    rng = np.random.default_rng(seed)
    x, b1, b2 = rng.standard_normal((11, 100)), rng.standard_normal(200), rng.standard_normal(20)
    weights = {
        "w1": rng.standard_normal((100, 200)) / 10,
        "w2": rng.standard_normal((200, 20)) / 14,
    }

    def f(w1, w2):
        y, backward = mlp(x, w1, b1, w2, b2)

        def spoilt(dy):
            gradients = {name: g for name, g in backward(dy).items() if name in weights}
            if entry is not None:
                name, index = entry
                gradients[name].flat[index] *= 1 + relative
            return gradients

        return y, spoilt

    return f, weights


def test_the_network_itself_passes():
    f, weights = network(0)
    assert sum(w.size for w in weights.values()) == 24_000
    assert gradcheck.check(f, **weights).ok


@pytest.mark.parametrize(
    "seeds", [range(4), pytest.param(range(4, 20), marks=pytest.mark.slow)], ids=str
)
def test_one_entry_of_24000_wrong_by_a_millionth(seeds):
    seen = 0
    for seed in seeds:
        f, weights = network(seed)
        y, backward = f(**weights)
        gradients = backward(np.ones_like(y))
        rng = np.random.default_rng(seed)
        name = "w1" if rng.random() < 20 / 24 else "w2"
        index = rng.choice(
            np.flatnonzero(gradients[name])
        )  # behind a dead unit the gradient is 0, and so is its error
        f, weights = network(seed, (name, index), 1e-6)
        report = gradcheck.check(f, **weights)
        seen += report.leaves[name].verdict == "wrong"
    assert seen == len(seeds)
