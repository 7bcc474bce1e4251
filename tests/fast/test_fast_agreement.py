"""Every word, block and geometry through the fast interpretation, against the other two, with
both sets of kernels.
"""

import numpy as np
import pytest
from cases import Case
from test_agreement import CASES, NETWORK_CASES, check_equal, run, setup

import reference
from autocnn import fast, layers
from autocnn.trees import leaves

# What the fast words compute together, and sizes that reach each algorithm: Winograd's needs 16
# channels.
BLOCKS = [
    Case("conv relu", lambda nn: nn.serial(nn.conv(4, 3), nn.relu()), (2, 6, 5)),
    Case(
        "conv relu pool",
        lambda nn: nn.serial(nn.conv(4, 3, padding=1), nn.relu(), nn.max_pool(2)),
        (2, 7, 6),
    ),
    Case("conv norm", lambda nn: nn.serial(nn.conv(4, 3, bias=False), nn.batch_norm()), (2, 5, 4)),
    Case(
        "conv norm relu",
        lambda nn: nn.serial(nn.conv(5, 1, bias=False), nn.batch_norm(), nn.relu()),
        (3, 4, 5),
    ),
    Case(
        "conv norm relu pool",
        lambda nn: nn.serial(
            nn.conv(4, 2, bias=False), nn.batch_norm(), nn.relu(), nn.max_pool(3, 2, 1)
        ),
        (1, 8, 7),
    ),
    Case("winograd", lambda nn: nn.conv(17, 3, padding=1), (16, 5, 4)),
    Case(
        "winograd unpadded",
        lambda nn: nn.serial(nn.conv(16, 3), nn.conv(18, 3, padding=(0, 2)), nn.relu()),
        (16, 7, 5),
    ),
    Case(
        "winograd norm",
        lambda nn: nn.serial(nn.conv(16, 3, padding=1, bias=False), nn.batch_norm()),
        (20, 3, 3),
    ),
    Case("winograd grouped", lambda nn: nn.conv(32, 3, padding=1, groups=2), (32, 4, 3)),
    Case(
        "product in steps",
        lambda nn: nn.serial(nn.conv(6, 1), nn.conv(70, 1, stride=(2, 3), bias=False)),
        (3, 5, 8),
    ),
    Case(
        "grey in steps",
        lambda nn: nn.serial(nn.conv(1, 1), nn.conv(3, (3, 5), stride=2, padding=2)),
        (2, 8, 9),
    ),
    Case(
        "residual relu",
        lambda nn: nn.serial(nn.residual(nn.conv(3, 3, padding=1)), nn.relu()),
        (3, 4, 5),
    ),
    Case(
        "residual between images",
        lambda nn: nn.serial(
            nn.residual(nn.conv(4, 3, 2, 1), nn.conv(4, 1, 2)), nn.relu(), nn.flatten(), nn.dense(3)
        ),
        (2, 6, 6),
    ),
    Case(
        "nothing to learn in front",
        lambda nn: nn.serial(nn.max_pool(2), nn.tanh(), nn.conv(3, 2), nn.flatten()),
        (2, 6, 7),
    ),
    Case(
        "nothing to learn at all",
        lambda nn: nn.serial(nn.relu(), nn.serial(nn.avg_pool(2)), nn.flatten()),
        (2, 4, 4),
    ),
    Case("window too large for a byte", lambda nn: nn.max_pool(17), (1, 17, 18)),
]

cases = pytest.mark.parametrize("case", CASES + BLOCKS + NETWORK_CASES, ids=lambda case: case.name)
modes = pytest.mark.parametrize("train", [False, True], ids=["evaluate", "train"])


@pytest.fixture(params=["numpy", "numba"])
def kernels(request, monkeypatch):
    if request.param == "numba":
        pytest.importorskip("numba")
    monkeypatch.setattr(
        "autocnn.fast.convolution.TRANSFORM", -float("inf")
    )  # Winograd's algorithm for few outputs, too
    with fast.using(request.param):
        yield


@cases
@modes
@pytest.mark.parametrize("inputs", ["normal", "ties"])
def test_fast_agrees_with_both(kernels, case, train, inputs):
    ours, *others = (run(*setup(case, nn, inputs), train) for nn in (fast, layers, reference))
    for theirs in others:
        check_equal(ours, theirs, 1e-10)


@cases
@modes
def test_evaluation_alone_and_batches_of_one(kernels, case, train):
    """Without a gradient less is computed, and some of it in another way; one image may not have
    a variance.
    """
    for n in (1, 3):
        layer, params, state, x, _ = setup(case, fast, n=n)
        try:
            expected, moved = setup(case, layers)[0].apply(params, state, x, train=train, key=4)
        except ValueError as error:
            with pytest.raises(ValueError, match="more than one value"):
                layer.apply(params, state, x, train=train, key=4)
            assert "more than one value" in str(error)
            continue
        y, after = layer.apply(params, state, x, train=train, key=4)
        check_equal([y, after], [expected, moved], 1e-10)


@cases
@modes
def test_float32_stays_float32_and_close(kernels, case, train):
    single, exact = (
        run(*setup(case, nn, dtype=dtype), train)
        for nn, dtype in ((fast, "float32"), (layers, "float64"))
    )
    assert {leaf.dtype for _, leaf in leaves(single)} == {np.dtype("float32")}
    for (path, a), (_, b) in zip(leaves(single), leaves(exact), strict=True):
        scale = np.abs(b).max(initial=0) or 1
        assert np.abs(a - b).max(initial=0) <= 50 * np.finfo("float32").eps * scale, path


@cases
def test_calls_change_nothing(kernels, case):
    layer, params, state, x, dy = setup(case, fast)
    before = [leaf.copy() for _, leaf in leaves([params, state, x, dy])]
    y, _, backward = layer.vjp(params, state, x, train=True, key=9)
    first, kept = backward(dy), y.copy()
    second = backward(dy)
    assert all(
        np.array_equal(a, b)
        for a, (_, b) in zip(before, leaves([params, state, x, dy]), strict=True)
    )
    assert np.array_equal(kept, y)
    check_equal(first, second, 0)


@pytest.mark.parametrize("train", [False, True])
def test_a_bias_in_front_of_a_normalisation(kernels, train):
    """In training its gradient is nothing but rounding, whose size the weights' gradient tells."""
    case = Case("", lambda nn: nn.serial(nn.conv(4, 2), nn.batch_norm(), nn.relu()), (2, 5, 4))
    ours, theirs = (run(*setup(case, nn), train) for nn in (fast, layers))
    biases = [found["dparams"][0].pop("b") for found in (ours, theirs)]
    check_equal(ours, theirs, 1e-10)
    assert np.abs(biases[0] - biases[1]).max() <= 1e-10 * np.abs(ours["dparams"][0]["w"]).max()


def test_every_word_is_there():
    assert set(layers.__all__) <= set(fast.__all__)
    assert all(getattr(fast, word).__doc__ for word in layers.__all__)
