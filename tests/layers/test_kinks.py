"""Values and derivatives of elementwise layers at their kinks, where random inputs never are."""

import numpy as np
import pytest

import reference
from autocnn import fast, layers

X = np.array([[-1.0, 0.0, 3.0, 6.0, 7.0]])
# layer, values at X, derivatives at X
KINKS = [
    (lambda nn: nn.relu(), [0, 0, 3, 6, 7], [0, 0, 1, 1, 1]),
    (lambda nn: nn.leaky_relu(0.5), [-0.5, 0, 3, 6, 7], [0.5, 0.5, 1, 1, 1]),
    (lambda nn: nn.relu6(), [0, 0, 3, 6, 6], [0, 0, 1, 0, 0]),
]


@pytest.mark.parametrize("nn", [layers, fast, reference], ids=lambda nn: nn.__name__)
@pytest.mark.parametrize("make, values, slopes", KINKS, ids=["relu", "leaky_relu", "relu6"])
def test_kinks(nn, make, values, slopes):
    y, _, backward = make(nn).vjp({}, {}, X)
    np.testing.assert_array_equal(y, [values])
    np.testing.assert_array_equal(backward(np.ones_like(X))[0], [slopes])
