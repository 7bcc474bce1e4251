"""The ops against scipy, against loops, and at their kinks."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.test_util import check_grads
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate
from scipy.special import log_softmax, softmax

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
GEOMETRIES = st.tuples(
    PAIRS, PAIRS, PAIRS, st.integers(7, 10), st.integers(7, 9)
)  # kernel, stride, dilation, h, w


@settings(max_examples=60, deadline=None)
@given(GEOMETRIES, st.integers(0, 10**6))
def test_windows_and_unwindows_are_adjoint(ops, geometry, seed):
    kernel, stride, dilation, h, w = geometry
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(2, 3, h, w))
    seen = ops.windows(x, kernel, stride, dilation)
    p = generator.normal(size=seen.shape)
    assert np.sum(seen * p) == pytest.approx(
        np.sum(x * ops.unwindows(p, (h, w), stride, dilation)), rel=1e-12, abs=1e-12
    )


def test_windows_see_what_a_loop_sees(ops, generator):
    x = generator.normal(size=(2, 3, 9, 8))
    seen = ops.windows(x, (2, 3), (3, 2), (2, 1))
    assert seen.shape == (2, 3, 2, 3, 3, 3)
    for u, v, i, j in np.ndindex(2, 3, 3, 3):
        assert np.array_equal(seen[u, v, :, :, i, j], x[:, :, 3 * i + 2 * u, 2 * j + v])


def test_windows_have_gradients_of_every_order_and_mode(ops, generator):
    x = generator.normal(size=(1, 2, 5, 6))
    check_grads(
        lambda x: anp.sin(ops.windows(x, (2, 3), (1, 2), (2, 1))), modes=["fwd", "rev"], order=3
    )(x)
    p = generator.normal(size=(2, 3, 1, 2, 3, 2))
    check_grads(
        lambda p: anp.sin(ops.unwindows(p, (5, 6), (1, 2), (2, 1))), modes=["fwd", "rev"], order=2
    )(p)


@settings(max_examples=40, deadline=None)
@given(
    GEOMETRIES,
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.sampled_from([1, 2]),
    st.integers(0, 10**6),
)
def test_convolution_is_scipys(ops, geometry, padding, groups, seed):
    """scipy correlates one image with one kernel; strides and dilation are applied from outside."""
    (kh, kw), stride, dilation, h, w = geometry
    generator = np.random.default_rng(seed)
    x, weight = generator.normal(size=(2, 4, h, w)), generator.normal(size=(6, 4 // groups, kh, kw))
    bias = generator.normal(size=6)
    y = ops.conv2d(x, weight, bias, stride, padding, dilation, groups)
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    spread = np.zeros((*weight.shape[:2], dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1))
    spread[:, :, :: dilation[0], :: dilation[1]] = weight
    for n, f in np.ndindex(2, 6):
        first = f // (6 // groups) * (4 // groups)
        planes = [
            correlate(x[n, first + c], spread[f, c], mode="valid", method="direct")
            for c in range(4 // groups)
        ]
        assert np.allclose(
            y[n, f], sum(planes)[:: stride[0], :: stride[1]] + bias[f], rtol=1e-11, atol=1e-11
        )


def test_second_derivatives_of_a_network_exist(ops, generator):
    """Twice through conv, pooling, tanh and the loss, against finite differences of the first
    derivative.
    """
    x, w = generator.normal(size=(2, 2, 6, 6)), generator.normal(size=(3, 2, 3, 3))

    def loss(w):
        y = anp.tanh(ops.max_pool2d(ops.conv2d(x, w, padding=1, groups=1), 2))
        return ops.cross_entropy(anp.sum(y, axis=(2, 3)), np.array([0, 2]))

    check_grads(loss, modes=["fwd", "rev"], order=2)(w)


@pytest.mark.parametrize(
    "value, slope", [(-1.0, 0.0), (-0.0, 0.0), (0.0, 0.0), (5e-324, 1.0), (1.0, 1.0)]
)
def test_relu_has_slope_zero_at_zero(ops, value, slope):
    assert autograd.grad(ops.relu)(value) == slope


def test_first_maximum_takes_all(ops):
    dx = autograd.grad(
        lambda x: np.array([[2.0, 3.0], [5.0, 7.0]]).ravel() @ anp.ravel(ops.max_pool2d(x, 2))
    )
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1, 2] = x[0, 0, 0, 3] = 1  # row by row, (0, 3) comes first
    expected = np.zeros((4, 4))
    expected[0, 0], expected[0, 3], expected[2, 0], expected[2, 2] = 2, 3, 5, 7
    assert np.array_equal(dx(x)[0, 0], expected)


def test_overlapping_windows_add_their_gradients(ops):
    dx = autograd.grad(lambda x: anp.sum(ops.max_pool2d(x, 3, 1)))
    x = np.zeros((1, 1, 5, 5))
    x[0, 0, 2, 2] = 1  # in all nine windows
    assert dx(x)[0, 0, 2, 2] == 9


def test_padding_never_wins(ops):
    x = -np.ones((1, 1, 2, 2))
    assert np.array_equal(ops.max_pool2d(x, 2, padding=1)[0, 0], -np.ones((2, 2)))
    assert ops.avg_pool2d(x, 2, padding=1)[0, 0, 0, 0] == -0.25


def test_average_pool_is_a_convolution(ops, generator):
    x = generator.normal(size=(2, 1, 7, 8))
    mean = ops.conv2d(x, np.full((1, 1, 3, 2), 1 / 6), stride=(2, 3), padding=(1, 1))
    assert np.allclose(ops.avg_pool2d(x, (3, 2), (2, 3), 1), mean, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0, 1e3, 1e6])
def test_softmax_and_cross_entropy_are_scipys_at_every_scale(ops, scale, generator):
    logits, labels = scale * generator.normal(size=(7, 5)), generator.integers(0, 5, 7)
    assert np.allclose(ops.softmax(logits), softmax(logits, axis=1), rtol=1e-12, atol=1e-300)
    assert np.allclose(ops.log_softmax(logits), log_softmax(logits, axis=1), rtol=1e-12)
    expected = -log_softmax(logits, axis=1)[np.arange(7), labels].mean()
    assert ops.cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-12)
    gradient = autograd.grad(ops.cross_entropy)(logits, labels)
    assert np.allclose(
        gradient, (softmax(logits, axis=1) - np.eye(5)[labels]) / 7, rtol=1e-9, atol=1e-15
    )


def test_linear_takes_torchs_layout(ops, generator):
    x, w, b = generator.normal(size=(4, 3)), generator.normal(size=(2, 3)), generator.normal(size=2)
    assert np.allclose(ops.linear(x, w, b), np.einsum("ni,oi->no", x, w) + b)


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda ops, x, w: ops.conv2d(x[0], w), r"x \(N, C, H, W\).*got \(2, 5, 5\)"),
        (lambda ops, x, w: ops.conv2d(x[:, :1], w), "1 channels"),
        (lambda ops, x, w: ops.conv2d(x, w, np.zeros(2)), r"bias must be \(3,\)"),
        (lambda ops, x, w: ops.conv2d(x, w, groups=2), "groups=2 must divide"),
        (lambda ops, x, w: ops.conv2d(x, w, dilation=3), "7x7 does not fit into an image of 5x5"),
        (lambda ops, x, w: ops.conv2d(x, w, stride=0), "1 or more; got 0"),
        (lambda ops, x, w: ops.conv2d(x, w, stride=(1, 1, 1)), "pair"),
        (lambda ops, x, w: ops.conv2d(x, w, padding=1.5), "int.*got 1.5"),
        (lambda ops, x, w: ops.max_pool2d(x, 6), "6x6 does not fit"),
        (lambda ops, x, w: ops.max_pool2d(x, 2, padding=2), "at most half"),
        (lambda ops, x, w: ops.avg_pool2d(x[0], 2), r"images \(N, C, H, W\)"),
        (
            lambda ops, x, w: ops.cross_entropy(x[0, 0], np.array([0, 1, 2])),
            r"5 integers.*got int64 of shape \(3,\)",
        ),
        (
            lambda ops, x, w: ops.cross_entropy(x[0, 0], np.zeros(5)),
            r"5 integers.*got float64 of shape \(5,\)",
        ),
        (
            lambda ops, x, w: ops.cross_entropy(x[0, 0], np.ones((1, 5))),
            r"got float64 of shape \(1, 5\)",
        ),
        (
            lambda ops, x, w: ops.cross_entropy(x[0, 0], np.zeros(5, int), label_smoothing=2),
            "label_smoothing must lie in",
        ),
    ],
)
def test_bad_arguments_are_named(ops, call, says):
    with pytest.raises(ValueError, match=says):
        call(ops, np.ones((1, 2, 5, 5)), np.ones((3, 2, 3, 3)))
