"""NaN is never turned into a number, and infinities become what they do in every interpretation:
what overflowed inside a network shows in its output.
"""

import numpy as np
import pytest

import reference
from autocnn import fast, layers
from tests.cases import parametrize
from tests.helpers import setup_case

NUMBERS = [np.nan, np.inf, -np.inf, 0, 1, -1, 7, -7]
# Word, its values at NUMBERS, which are those of PyTorch.
VALUES = {
    "relu": [np.nan, np.inf, 0, 0, 1, 0, 7, 0],
    "relu6": [np.nan, 6, 0, 0, 1, 0, 6, 0],
    "leaky_relu": [np.nan, np.inf, -np.inf, 0, 1, -0.01, 7, -0.07],
    "tanh": [np.nan, 1, -1, 0, np.tanh(1), -np.tanh(1), np.tanh(7), -np.tanh(7)],
}
POOLS = {
    "2x2": lambda nn: nn.max_pool(2),
    "3x3, stride 1": lambda nn: nn.max_pool(3, stride=1),
    "3x3, padded": lambda nn: nn.max_pool(3, stride=2, padding=1),
    "1x3": lambda nn: nn.max_pool((1, 3)),
}


@pytest.fixture(params=["autograd", "reference", "numpy", "numba", "onednn"])
def nn(request):
    """Every interpretation, and the fast one by each of its kernels."""
    if request.param in ("autograd", "reference"):
        yield layers if request.param == "autograd" else reference
        return
    try:
        with fast.using(request.param):
            yield fast
    except ValueError as error:
        pytest.skip(str(error))


def forward(layer, x, dtype="float64"):
    _, params, state = layer.init(0, x.shape[1:], dtype)
    with np.errstate(invalid="ignore"):  # of infinities less infinities
        return layer.forward(params, state, x.astype(dtype), False, None)[0]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("word", VALUES)
def test_values_at_numbers_that_are_not_finite(nn, word, dtype):
    y = forward(getattr(nn, word)(), np.array([NUMBERS]), dtype)
    np.testing.assert_allclose(y, np.array([VALUES[word]], dtype), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("pool", POOLS)
def test_the_maximum_of_a_window_with_nan_is_nan(nn, pool, dtype, generator):
    x = generator.normal(size=(3, 4, 12, 12))
    x = np.where(generator.random(x.shape) < 0.1, generator.choice(NUMBERS[:3], x.shape), x)
    layer, there = POOLS[pool](nn), POOLS[pool](reference)
    y = forward(layer, x, dtype)
    has_nan = forward(there, np.isnan(x).astype("float64")) == 1
    numbers = forward(there, np.where(np.isnan(x), -np.inf, x).astype(dtype), dtype)
    np.testing.assert_array_equal(y, np.where(has_nan, np.nan, numbers))


@parametrize()
def test_nothing_comes_of_nan_but_nan(nn, case):
    """Of an image of NaN alone, every output is NaN that depends on the image at all."""
    layer, params, state, x, _ = setup_case(case, nn, n=2)
    x[1] = np.nan
    plain = setup_case(case, layers, n=2)[0]
    zero, one = (plain.forward(params, state, x[:1] * f, False, None)[0] for f in (0, 1))
    with np.errstate(invalid="ignore"):
        y = layer.forward(params, state, x, False, None)[0]
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1])[zero[0] != one[0]].all()
