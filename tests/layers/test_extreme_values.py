"""Extreme but finite inputs: no interpretation warns, and what is finite in one is so in all."""

import warnings

import numpy as np
import pytest

from autocnn.losses import cross_entropy
from tests.cases import parametrize
from tests.helpers import INTERPRETATIONS, setup_case

# tanh is flat and exp overflows long before; their powers still fit into the type.
SCALES = {"float64": (400.0, 1e-300, 0.0), "float32": (400.0, 1e-30, 0.0)}


@parametrize("word")
@pytest.mark.parametrize("dtype", SCALES)
def test_no_interpretation_warns(case, dtype):
    for scale in SCALES[dtype]:
        finite = []
        for nn in INTERPRETATIONS.values():
            layer, params, state, x, dy = setup_case(case, nn, dtype=dtype)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                x = (x * scale).astype(dtype)
                y, _, backward = layer.vjp(params, state, x, train=True, key=9)
                dx, _ = backward(dy)
            finite.append((np.isfinite(y).all(), np.isfinite(dx).all()))
        assert len(set(finite)) == 1, (scale, finite)


@pytest.mark.parametrize("dtype", SCALES)
def test_losses_of_extreme_logits_do_not_warn(dtype):
    logits = np.array([[400.0, -400.0, 0.0], [1e4, 1e4, -1e4]], dtype)
    labels = np.array([1, 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in (cross_entropy.each(np, logits, labels), cross_entropy.slope(logits, labels)):
            assert np.isfinite(values).all()
