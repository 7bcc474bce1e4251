"""Every word through every interpretation: values, state and gradients, against each other and
against outside witnesses.
"""

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.trees import leaves, tree_map
from tests.cases import parametrize
from tests.helpers import assert_close, run_vjp, setup_case

cases = parametrize("word", "network")
modes = pytest.mark.parametrize("train", [False, True], ids=["evaluate", "train"])


@cases
def test_both_start_from_the_same_bits(case):
    theirs, ours = (case.build(nn).init((5, 2), case.shape) for nn in (ac.layers, reference))
    assert theirs[0] == ours[0]
    assert_close(theirs[1:], ours[1:], 0)


@cases
@modes
@pytest.mark.parametrize("inputs", ["normal", "ties"])
def test_both_paths_agree(case, train, inputs):
    results = [run_vjp(*setup_case(case, nn, inputs), train) for nn in (ac.layers, reference)]
    assert_close(*results, 1e-12)


@cases
@modes
def test_gradients_are_those_of_the_complex_step(case, train, nn):
    """Im f(p + i h u) / h in one random direction a leaf: no step to choose, and no code shared
    with any backward pass.
    """
    layer, params, state, x, dy = setup_case(case, nn)
    found = run_vjp(layer, params, state, x, dy, train)
    generator = np.random.default_rng(1)

    def value(x, params):
        return np.sum(layer.forward(params, state, x, train, 9)[0] * dy).imag

    checked = leaves(params)
    for path, leaf in checked:
        u, grad = generator.normal(size=leaf.shape), dict(leaves(found["dparams"]))[path]
        moved = tree_map(lambda p, leaf=leaf, u=u: p + 1e-20j * u if p is leaf else p, params)
        assert value(x, moved) / 1e-20 == pytest.approx(np.sum(grad * u), rel=1e-11, abs=1e-12), (
            path
        )
    u = generator.normal(size=x.shape)
    assert value(x + 1e-20j * u, params) / 1e-20 == pytest.approx(
        np.sum(found["dx"] * u), rel=1e-11, abs=1e-12
    )


@cases
@modes
def test_float32_stays_float32(case, train, nn):
    found = run_vjp(*setup_case(case, nn, dtype="float32"), train)
    assert {leaf.dtype for _, leaf in leaves(found)} == {np.dtype("float32")}
    exact = run_vjp(*setup_case(case, nn), train)
    for (path, single), (_, double) in zip(leaves(found), leaves(exact), strict=True):
        scale = np.abs(double).max(initial=0) or 1
        assert np.abs(single - double).max(initial=0) <= 50 * np.finfo("float32").eps * scale, path


@cases
@modes
def test_calls_change_nothing(case, train, nn):
    layer, params, state, x, dy = setup_case(case, nn)
    before = [leaf.copy() for _, leaf in leaves([params, state, x, dy])]
    y, _, backward = layer.vjp(params, state, x, train=train, key=9)
    first, kept = backward(dy), y.copy()
    second = backward(dy)
    assert all(
        np.array_equal(a, b)
        for a, (_, b) in zip(before, leaves([params, state, x, dy]), strict=True)
    )
    assert np.array_equal(kept, y)
    assert_close(first, second, 0)


@cases
def test_rebuild_speaks_the_other_language(case):
    layer = case.build(ac.layers)
    again = ac.models.rebuild(ac.models.rebuild(layer, reference), ac.layers)
    assert repr(again) == repr(layer) == repr(case.build(reference))


def test_dropout_masks_come_from_the_key_alone(nn):
    layer = nn.dropout(0.3)
    x = np.ones((4, 50, 50))
    y = layer.apply({}, {}, x, train=True, key=(1, 2))[0]
    assert np.array_equal(y, layer.apply({}, {}, x, train=True, key=(1, 2))[0])
    assert not np.array_equal(y, layer.apply({}, {}, x, train=True, key=(1, 3))[0])
    assert set(np.unique(y)) == {0.0, 1 / 0.7}
    assert abs((y == 0).mean() - 0.3) < 0.02
    assert np.array_equal(layer.apply({}, {}, x)[0], x)


def test_two_dropouts_of_one_network_differ(nn):
    model = nn.serial(nn.dropout(0.5), nn.identity())
    both = nn.residual(nn.dropout(0.5), nn.dropout(0.5))
    x = np.ones((2, 400))
    first = model.apply([{}, {}], [{}, {}], x, train=True, key=3)[0]
    total = both.apply(
        {"main": {}, "shortcut": {}}, {"main": {}, "shortcut": {}}, x, train=True, key=3
    )[0]
    assert set(np.unique(first)) == {0, 2}
    assert set(np.unique(total)) == {0, 2, 4}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_whole_networks_agree(dropout, patterns):
    batch = (patterns.x_train[:18], patterns.y_train[:18])
    for kernel, stride, pool in (
        (3, 1, 2),
        (2, 1, 2),
        (5, 1, 2),
        (3, 2, 1),
        ((2, 3), (1, 2), (3, 1)),
    ):
        options = dict(kernel=kernel, stride=stride, pool=pool, dropout=dropout, filters=4)
        models = [ac.models.tiny_cnn(nn=nn, **options) for nn in (ac.layers, reference)]
        _, params, state = models[0].init((3, 1), (1, 8, 8))
        assert_close(*(model.loss_and_grad(params, state, batch, key=7) for model in models), 1e-12)
        assert_close(
            *(model.loss_and_grad(params, state, batch, train=False) for model in models), 1e-12
        )


@pytest.mark.parametrize("word", ["tanh", "scaled_tanh", "sigmoid", "silu", "gelu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_numbers_neither_overflow_nor_warn(word, dtype, nn):
    """autograd's own tanh divides by cosh(x)^2, which overflows beyond 355."""
    layer = getattr(nn, word)()
    x = np.array([[-8000.0, -400, -90, 0, 90, 400, 8000]], dtype)
    y, _, backward = layer.vjp({}, {}, x)
    dx, _ = backward(np.ones_like(y))
    assert np.isfinite(y).all() and np.isfinite(dx).all()
    expected = getattr(reference, word)().vjp({}, {}, x.astype("float64"))[2](np.ones(x.shape))[0]
    np.testing.assert_allclose(dx, expected, rtol=1e-5, atol=1e-6)
