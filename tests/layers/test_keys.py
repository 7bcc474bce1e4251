import itertools

import numpy as np
import pytest

import reference
import reference.keys
from autocnn import keys, layers
from autocnn.trees import leaves


def test_a_seed_is_numpys_own_stream():
    assert np.array_equal(keys.rng(7).random(5), np.random.default_rng(7).random(5))
    assert np.array_equal(keys.rng((7,)).random(5), np.random.default_rng(7).random(5))


def test_no_two_keys_share_a_stream():
    some = [(1,), (1, 0), (1, 1), (1, 0, 0), (0, 1), (2,), (1, 0, 1), (10,)]
    for a, b in itertools.combinations(some, 2):
        assert keys.rng(a).random() != keys.rng(b).random(), (a, b)


def test_repetitions_keyed_by_a_trial_share_no_layer():
    used = [keys.layer_key((3, trial), i) for trial in range(5) for i in range(4)]
    assert len({keys.rng(k).random() for k in used}) == len(used)


def test_both_packages_draw_by_one_rule():
    assert all(getattr(keys, name) is getattr(reference.keys, name) for name in keys.__all__)


@pytest.mark.parametrize("key", [-1, 1.0, "1", (), (1, -1), (1, 2.5), True, [[1]], None])
def test_other_keys_are_refused(key):
    with pytest.raises(ValueError, match=r"int seed or a tuple of ints.*\(3, 0\)"):
        keys.rng(key)


@pytest.mark.parametrize("nn", [layers, reference], ids=["autograd", "by hand"])
@pytest.mark.parametrize("combine", ["serial", "residual", "concat"])
def test_layer_i_with_parameters_draws_from_seed_plus_i(nn, combine):
    """Layers without parameters do not count, wherever they are."""
    conv = nn.conv(2, 1)
    inner = {
        "serial": nn.serial(conv, nn.relu(), conv),
        "residual": nn.residual(nn.serial(nn.relu(), conv), conv),
        "concat": nn.concat(nn.relu(), conv, conv),
    }[combine]
    found = dict(leaves(nn.serial(nn.identity(), inner).init(5, (2, 4, 4))[1]))
    weights = [w for path, w in found.items() if path.endswith("w")]
    expected = [np.random.default_rng(5 + i).normal(0, 1, (2, 2, 1, 1)) for i in range(2)]
    assert len(weights) == 2
    for w, drawn in zip(weights, expected, strict=True):
        np.testing.assert_allclose(w, drawn)  # sqrt(2 / fan_in) is 1 for two inputs
