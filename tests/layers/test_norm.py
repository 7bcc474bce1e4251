"""Normalisation and LeNet's words against their formulas: loops, scipy and the papers' own
numbers.
"""

import numpy as np
import pytest
from autograd.test_util import check_grads
from scipy.signal import correlate
from scipy.spatial.distance import cdist

from autocnn import ops
from autocnn.trees import leaves


def start(layer, shape, generator):
    """The layer's trees, with random numbers in place of ones and zeros."""
    _, params, state = layer.init(2, shape)
    params = {name: p + generator.normal(size=p.shape) for name, p in params.items()}
    state = {name: s + generator.uniform(0.1, 1, size=s.shape) for name, s in state.items()}
    return params, state


@pytest.mark.parametrize("shape", [(3, 4, 5), (4,)])
def test_batch_norm_normalises_and_moves_its_statistics(nn, shape, generator):
    layer = nn.batch_norm(momentum=0.25, eps=1e-3)
    params, state = start(layer, shape, generator)
    x = generator.normal(2, 3, size=(6, *shape))
    y, after = layer.apply(params, state, x, train=True)
    for c in range(shape[0]):
        values = x[:, c]
        scaled = (values - values.mean()) / np.sqrt(values.var() + 1e-3)
        np.testing.assert_allclose(
            y[:, c], params["w"][c] * scaled + params["b"][c], rtol=1e-12, atol=1e-12
        )
        assert after["mean"][c] == pytest.approx(0.75 * state["mean"][c] + 0.25 * values.mean())
        assert after["var"][c] == pytest.approx(
            0.75 * state["var"][c] + 0.25 * values.var(ddof=1)
        )  # n / (n - 1)
    y, same = layer.apply(params, state, x)
    scale = (len(shape) - 1) * (1,)
    mean, var, w, b = (
        a.reshape(-1, *scale) for a in (state["mean"], state["var"], params["w"], params["b"])
    )
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-3) * w + b, rtol=1e-12, atol=1e-12)
    assert all(np.array_equal(same[name], state[name]) for name in state)


def test_batch_norm_starts_as_the_identity_in_evaluation(nn, generator):
    layer = nn.batch_norm(eps=0.0)
    out, params, state = layer.init(None, (3, 2, 2))
    assert out == (3, 2, 2)
    x = generator.normal(size=(4, 3, 2, 2))
    np.testing.assert_allclose(layer.apply(params, state, x)[0], x, rtol=1e-15)
    assert [path for path, _ in leaves([params, state])] == ["0.w", "0.b", "1.mean", "1.var"]


def test_no_gradient_moves_a_batch_along_its_mean_or_scale(nn, generator):
    """In training y does not change when a channel is shifted or (for eps = 0) stretched, so dx
    is orthogonal to both.
    """
    layer = nn.batch_norm(eps=0.0)
    params, state = start(layer, (3, 4, 2), generator)
    x = generator.normal(size=(5, 3, 4, 2))
    y, _, backward = layer.vjp(params, state, x, train=True)
    dx, _ = backward(generator.normal(size=y.shape))
    assert np.abs(dx).max() > 0.1
    assert np.abs(dx.sum(axis=(0, 2, 3))).max() < 1e-12
    assert np.abs((dx * x).sum(axis=(0, 2, 3))).max() < 1e-12


def test_new_statistics_are_constants_outside_of_any_trace(nn, generator):
    model = nn.serial(nn.dense(3), nn.batch_norm())
    _, params, state = model.init(0, (4,))
    batch = generator.normal(size=(6, 4)), np.arange(6) % 3
    for after in (
        model.vjp(params, state, batch[0], train=True)[1],
        model.loss_and_grad(params, state, batch)[2],
    ):
        assert [type(leaf) for _, leaf in leaves(after)] == [np.ndarray, np.ndarray]
        assert not np.array_equal(after[1]["mean"], state[1]["mean"])


def test_running_statistics_converge_to_the_data(nn, generator):
    layer = nn.batch_norm()
    _, params, state = layer.init(0, (2,))
    for _ in range(300):
        _, state = layer.apply(
            params, state, generator.normal((3.0, -1.0), (2.0, 0.5), size=(64, 2)), train=True
        )
    np.testing.assert_allclose(state["mean"], (3, -1), atol=0.15)
    np.testing.assert_allclose(state["var"], (4, 0.25), rtol=0.1)


def test_one_value_a_channel_is_refused_in_training_only(nn):
    layer = nn.serial(nn.conv(2, 3), nn.batch_norm())
    _, params, state = layer.init(0, (1, 3, 3))
    with pytest.raises(ValueError, match="more than one value"):
        layer.apply(params, state, np.ones((1, 1, 3, 3)), train=True)
    assert layer.apply(params, state, np.ones((1, 1, 3, 3)))[0].shape == (1, 2, 1, 1)
    assert layer.apply(params, state, np.ones((2, 1, 3, 3)), train=True)[0].shape == (2, 2, 1, 1)


def test_response_normalisation_is_krizhevskys(nn, generator):
    """b_i = a_i / (k + alpha sum_j a_j^2)^beta over j from max(0, i - n/2) to min(N - 1, i +
    n/2), alpha not divided by n.
    """
    k, n, alpha, beta = 2, 5, 1e-4, 0.75
    a = 100 * generator.normal(size=(2, 9, 3, 2))  # large, so that alpha matters
    b = np.empty_like(a)
    for i in range(9):
        near = range(max(0, i - n // 2), min(9 - 1, i + n // 2) + 1)
        b[:, i] = a[:, i] / (k + alpha * sum(a[:, j] ** 2 for j in near)) ** beta
    layer = nn.local_response_norm(n, alpha=n * alpha, beta=beta, k=k)
    np.testing.assert_allclose(layer.apply({}, {}, a)[0], b, rtol=1e-12)
    assert np.abs(b - a / k**beta).max() > 1


def test_table_convolution_sees_only_its_channels(nn, generator):
    table = ((0, 2), (1,), (0, 1, 2))
    layer = nn.table_conv(table, (2, 3))
    params, _ = start(layer, (4, 5, 6), generator)
    assert params["w"].shape == (6, 2, 3)
    x = generator.normal(size=(2, 4, 5, 6))
    y, _ = layer.apply(params, {}, x)
    kernels = iter(params["w"])
    for f, row in enumerate(table):
        own = [next(kernels) for _ in row]
        for n in range(2):
            planes = [
                correlate(x[n, c], kernel, mode="valid") for c, kernel in zip(row, own, strict=True)
            ]
            np.testing.assert_allclose(
                y[n, f], sum(planes) + params["b"][f], rtol=1e-11, atol=1e-12
            )


def test_a_filters_weights_are_scaled_by_its_own_fan_in(nn):
    table = ((0,) * 1, tuple(range(16)))
    _, params, _ = nn.table_conv(table, 25).init(3, (16, 30, 30))
    assert params["w"][0].std() == pytest.approx(np.sqrt(2 / 625), rel=0.1)
    assert params["w"][1:].std() == pytest.approx(np.sqrt(2 / 625 / 16), rel=0.05)


def test_subsampling_adds_blocks(nn, generator):
    layer = nn.subsample(2)
    _, params, _ = layer.init(0, (3, 5, 4))
    x = generator.normal(size=(2, 3, 5, 4))
    average, _ = layer.apply(params, {}, x)
    np.testing.assert_allclose(average[:, :, 1, 0], x[:, :, 2:4, 0:2].mean(axis=(2, 3)), rtol=1e-12)
    params, _ = start(layer, (3, 5, 4), generator)
    y, _ = layer.apply(params, {}, x)
    np.testing.assert_allclose(
        y, 4 * average * params["w"][:, None, None] + params["b"][:, None, None], rtol=1e-12
    )


def test_the_squashing_function_maps_one_to_one(nn):
    """LeCun et al. 1998, appendix A: f(1) = 1 and f(-1) = -1, to the digits of 1.7159."""
    y, _ = nn.scaled_tanh().apply({}, {}, np.array([[-1.0, 0.0, 1.0, 100.0]]))
    np.testing.assert_allclose(y, [[-1, 0, 1, 1.7159]], atol=2e-5)


def test_rbf_is_minus_the_squared_distance_and_its_cross_entropy_the_papers_loss(nn, generator):
    codes = ((1, -1, 1), (-1, -1, 1), (1, 1, 1), (-1, 1, -1))
    x = generator.normal(size=(5, 3))
    y, _ = nn.rbf(codes).apply({}, {}, x)
    distances = cdist(x, codes, "sqeuclidean")
    np.testing.assert_allclose(y, -distances, rtol=1e-12)
    labels = np.array([0, 3, 1, 2, 2])
    loss, grads, _ = nn.rbf(codes).loss_and_grad({}, {}, (x, labels))
    equation_9 = distances[np.arange(5), labels] + np.log(
        np.exp(-distances).sum(axis=1)
    )  # without e^-j
    assert loss == pytest.approx(equation_9.mean(), rel=1e-12)
    assert grads == {}


BAD = [
    (lambda nn: nn.batch_norm(momentum=2), "momentum"),
    (lambda nn: nn.batch_norm(eps=-1e-5), "eps"),
    (lambda nn: nn.local_response_norm(0), "size"),
    (lambda nn: nn.global_avg_pool().init(0, (3,)), "images"),
    (lambda nn: nn.table_conv((), 3), "table"),
    (lambda nn: nn.table_conv(((0, 0),), 3), "different channels"),
    (lambda nn: nn.table_conv(((0, -1),), 3), "channel"),
    (lambda nn: nn.table_conv(((0, 5),), 3).init(0, (3, 9, 9)), "channel 5"),
    (lambda nn: nn.subsample(0), "size"),
    (lambda nn: nn.subsample(2).init(0, (4,)), "images"),
    (lambda nn: nn.rbf(()), "codes"),
    (lambda nn: nn.rbf(((1, 1), (1, -1))).init(0, (3,)), "2 numbers"),
]


@pytest.mark.parametrize("call, message", BAD)
def test_bad_arguments_get_one_clear_error(nn, call, message):
    with pytest.raises(ValueError, match=message):
        call(nn)


SECOND_ORDER = {
    "conv2d in groups": lambda x, w: ops.conv2d(x, w, padding=1, groups=2),
    "conv2d same": lambda x, w: ops.conv2d(x, w, padding="same", groups=2),
    "batch_norm in training": lambda x, w: ops.batch_norm(
        x, None, None, w[:4, 0, 0, 0], w[:4, 1, 0, 0], True
    ),
    "batch_norm in evaluation": lambda x, w: ops.batch_norm(
        x, np.zeros(4), np.ones(4), w[:4, 0, 0, 0]
    ),
    "local_response_norm": lambda x, w: ops.local_response_norm(x, 3, 0.5, 0.75, 2.0),
    "max_pool2d": lambda x, w: ops.max_pool2d(x * x, 3, 2, 1, ceil_mode=True),
    "avg_pool2d": lambda x, w: ops.avg_pool2d(
        x * x, 3, 2, 1, ceil_mode=True, count_include_pad=False
    ),
    "adaptive_avg_pool2d": lambda x, w: ops.adaptive_avg_pool2d(x * x, (2, 3)),
    "dropout": lambda x, w: ops.dropout(x * x, 0.4, key=1),
    "cross_entropy": lambda x, w: ops.cross_entropy(
        x[:, :, 0, 0], np.array([0, 2, 1]), label_smoothing=0.1
    ),
}


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_ops_have_second_derivatives_in_both_modes(name, generator):
    x, w = generator.normal(size=(3, 4, 5, 4)), generator.normal(size=(6, 2, 3, 2))
    check_grads(SECOND_ORDER[name], modes=["fwd", "rev"], order=2)(x, w)
