"""Every word, block and geometry through the fast interpretation, against the other two, with
both sets of kernels.
"""

import numpy as np
import pytest

import reference
from autocnn import fast, layers
from autocnn.fast.kernels import tuning
from autocnn.trees import leaves
from tests.cases import Case, parametrize
from tests.helpers import assert_close, run_vjp, setup_case

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("two_threads")]

cases = parametrize()
modes = pytest.mark.parametrize("train", [False, True], ids=["evaluate", "train"])


@pytest.fixture(autouse=True)
def _winograd_for_few_outputs(monkeypatch):
    monkeypatch.setattr(tuning, "WINOGRAD_TRANSFORM_COST", -np.inf)


@cases
@modes
@pytest.mark.parametrize("inputs", ["normal", "ties"])
def test_fast_agrees_with_both(kernels, case, train, inputs):
    ours, *others = (
        run_vjp(*setup_case(case, nn, inputs), train) for nn in (fast, layers, reference)
    )
    for theirs in others:
        assert_close(ours, theirs, 1e-10)


@cases
@modes
def test_evaluation_alone_and_batches_of_one(kernels, case, train):
    """Without a gradient less is computed, and some of it in another way; one image may not have
    a variance.
    """
    for n in (1, 3):
        layer, params, state, x, _ = setup_case(case, fast, n=n)
        try:
            expected, moved = setup_case(case, layers)[0].apply(
                params, state, x, train=train, key=4
            )
        except ValueError as error:
            with pytest.raises(ValueError, match="more than one value"):
                layer.apply(params, state, x, train=train, key=4)
            assert "more than one value" in str(error)
            continue
        y, after = layer.apply(params, state, x, train=train, key=4)
        assert_close([y, after], [expected, moved], 1e-10)


@cases
@modes
def test_float32_stays_float32_and_close(kernels, case, train):
    single, exact = (
        run_vjp(*setup_case(case, nn, dtype=dtype), train)
        for nn, dtype in ((fast, "float32"), (layers, "float64"))
    )
    assert {leaf.dtype for _, leaf in leaves(single)} == {np.dtype("float32")}
    for (path, a), (_, b) in zip(leaves(single), leaves(exact), strict=True):
        scale = np.abs(b).max(initial=0) or 1
        assert np.abs(a - b).max(initial=0) <= 50 * np.finfo("float32").eps * scale, path


@cases
def test_calls_change_nothing(kernels, case):
    layer, params, state, x, dy = setup_case(case, fast)
    before = [leaf.copy() for _, leaf in leaves([params, state, x, dy])]
    y, _, backward = layer.vjp(params, state, x, train=True, key=9)
    first, kept = backward(dy), y.copy()
    second = backward(dy)
    assert all(
        np.array_equal(a, b)
        for a, (_, b) in zip(before, leaves([params, state, x, dy]), strict=True)
    )
    assert np.array_equal(kept, y)
    assert_close(first, second, 0)


@pytest.mark.parametrize("train", [False, True])
def test_a_bias_in_front_of_a_normalisation(kernels, train):
    """In training its gradient is nothing but rounding, whose size the weights' gradient tells."""
    case = Case("", lambda nn: nn.serial(nn.conv(4, 2), nn.batch_norm(), nn.relu()), (2, 5, 4))
    ours, theirs = (run_vjp(*setup_case(case, nn), train) for nn in (fast, layers))
    biases = [found["dparams"][0].pop("b") for found in (ours, theirs)]
    assert_close(ours, theirs, 1e-10)
    assert np.abs(biases[0] - biases[1]).max() <= 1e-10 * np.abs(ours["dparams"][0]["w"]).max()


def test_every_word_is_there():
    assert set(layers.__all__) <= set(fast.__all__)
    assert all(getattr(fast, word).__doc__ for word in layers.__all__)
