"""Each op against its namesake in torch: the value, every gradient, ties and edges, float64 and
float32.
"""

import numpy as np
import pytest

from autocnn import autodiff

torch = pytest.importorskip("torch")
F = torch.nn.functional

IMAGES = {"x": (2, 4, 9, 8)}
CONV = {**IMAGES, "weight": (6, 4, 3, 2), "bias": (6,)}
GROUPS = {**IMAGES, "weight": (6, 2, 3, 2), "bias": (6,)}
DEPTHWISE = {**IMAGES, "weight": (8, 1, 3, 3), "bias": (8,)}
TRANSPOSED = {**IMAGES, "weight": (4, 6, 3, 2), "bias": (6,)}
NORM = {**IMAGES, "running_mean": (4,), "running_var": (4,), "weight": (4,), "bias": (4,)}
LOGITS = {"logits": (5, 7)}
LABELS = np.array([3, 0, 6, 6, 2])
CONSTANT = ("running_mean", "running_var")

# name in both, shapes of the arrays that are differentiated, further arguments
CASES = [
    ("conv2d", CONV, {}),
    ("conv2d", CONV, dict(stride=2)),
    ("conv2d", CONV, dict(stride=(2, 3), padding=(2, 1), dilation=(1, 2))),
    ("conv2d", CONV, dict(padding="valid", stride=2)),
    ("conv2d", CONV, dict(padding="same")),
    ("conv2d", CONV, dict(padding="same", dilation=(3, 1))),
    ("conv2d", GROUPS, dict(groups=2, stride=(1, 2), padding=1)),
    ("conv2d", DEPTHWISE, dict(groups=4, padding=(0, 2), dilation=2)),
    ("conv2d", {"x": (1, 3, 5, 5), "weight": (2, 3, 5, 5)}, {}),
    ("max_pool2d", IMAGES, dict(kernel_size=2)),
    ("max_pool2d", IMAGES, dict(kernel_size=3, stride=2, padding=1)),
    ("max_pool2d", IMAGES, dict(kernel_size=(3, 2), stride=(1, 3), dilation=(2, 1))),
    ("max_pool2d", IMAGES, dict(kernel_size=2, ceil_mode=True)),
    ("max_pool2d", IMAGES, dict(kernel_size=(4, 3), stride=(3, 2), padding=(2, 1), ceil_mode=True)),
    ("max_pool2d", {"x": (1, 1, 2, 2)}, dict(kernel_size=3, stride=2, ceil_mode=True)),
    ("avg_pool2d", IMAGES, dict(kernel_size=2)),
    ("avg_pool2d", IMAGES, dict(kernel_size=3, stride=(2, 1), padding=1)),
    ("avg_pool2d", IMAGES, dict(kernel_size=3, stride=2, padding=1, count_include_pad=False)),
    ("avg_pool2d", IMAGES, dict(kernel_size=(4, 3), stride=3, padding=(2, 1), ceil_mode=True)),
    (
        "avg_pool2d",
        IMAGES,
        dict(kernel_size=(4, 3), stride=3, padding=(2, 1), ceil_mode=True, count_include_pad=False),
    ),
    ("avg_pool2d", IMAGES, dict(kernel_size=2, ceil_mode=True, divisor_override=3)),
    ("adaptive_avg_pool2d", IMAGES, dict(output_size=(1, 1))),
    ("adaptive_avg_pool2d", IMAGES, dict(output_size=1)),
    ("adaptive_avg_pool2d", IMAGES, dict(output_size=(4, 3))),
    ("adaptive_avg_pool2d", IMAGES, dict(output_size=(None, 11))),
    ("batch_norm", NORM, dict(training=True)),
    ("batch_norm", NORM, dict(training=True, momentum=0.3, eps=1e-2)),
    ("batch_norm", NORM, dict(training=False, eps=1e-3)),
    ("batch_norm", {"x": (7, 4), "running_mean": (4,), "running_var": (4,)}, dict(training=True)),
    (
        "batch_norm",
        {"x": (7, 4), "running_mean": (4,), "running_var": (4,), "weight": (4,)},
        dict(training=False),
    ),
    ("local_response_norm", {"x": (2, 7, 3, 4)}, dict(size=5, alpha=5e-4, beta=0.75, k=2.0)),
    ("local_response_norm", {"x": (2, 7, 3, 4)}, dict(size=2, alpha=0.9, beta=0.6)),
    ("local_response_norm", {"x": (2, 7, 3)}, dict(size=9, alpha=2.0)),
    ("linear", {"x": (5, 6), "weight": (4, 6), "bias": (4,)}, {}),
    ("linear", {"x": (2, 3, 6), "weight": (4, 6)}, {}),
    ("relu", IMAGES, {}),
    ("tanh", IMAGES, {}),
    ("sigmoid", IMAGES, {}),
    ("silu", IMAGES, {}),
    ("gelu", IMAGES, {}),
    ("gelu", IMAGES, dict(approximate="tanh")),
    ("leaky_relu", {"x": (3, 5)}, dict(negative_slope=0.2)),
    ("relu6", {"x": (40, 5)}, {}),
    (
        "layer_norm",
        {"x": (2, 3, 4), "weight": (3, 4), "bias": (3, 4)},
        dict(normalized_shape=(3, 4)),
    ),
    ("layer_norm", {"x": (2, 3, 4), "weight": (4,)}, dict(normalized_shape=[4], eps=1e-2)),
    ("group_norm", {"x": (2, 6, 3, 4), "weight": (6,), "bias": (6,)}, dict(num_groups=3)),
    ("group_norm", {"x": (2, 6)}, dict(num_groups=2, eps=1e-2)),
    ("conv_transpose2d", TRANSPOSED, {}),
    ("conv_transpose2d", TRANSPOSED, dict(stride=(2, 3), padding=(1, 0), output_padding=(1, 2))),
    ("conv_transpose2d", TRANSPOSED, dict(dilation=2, stride=3, output_padding=(2, 0))),
    ("conv_transpose2d", {**TRANSPOSED, "bias": (12,)}, dict(groups=2, padding=1, stride=2)),
    ("softmax", {"x": (3, 4, 5)}, dict(dim=1)),
    ("softmax", {"x": (3, 4)}, dict(dim=-1)),
    ("log_softmax", {"x": (3, 4, 5)}, dict(dim=0)),
    ("cross_entropy", LOGITS, {}),
    ("cross_entropy", LOGITS, dict(reduction="sum")),
    ("cross_entropy", LOGITS, dict(reduction="none", label_smoothing=0.2)),
    ("cross_entropy", LOGITS, dict(weight=np.arange(1.0, 8), label_smoothing=0.1)),
    ("cross_entropy", LOGITS, dict(weight=np.arange(1.0, 8), ignore_index=6)),
    (
        "cross_entropy",
        LOGITS,
        dict(labels=np.random.default_rng(5).dirichlet(np.ones(7), size=5), label_smoothing=0.3),
    ),
]
OTHER_NAMES = {"x": "input", "logits": "input", "labels": "target"}


def draw(shapes, seed=0):
    """Multiples of 1/4 in x, so that windows tie and ReLU meets its kink; ``running_var`` is
    positive.
    """
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes.items():
        a = rng.normal(size=shape)
        arrays[name] = (
            np.round(4 * a) / 4 if name == "x" else abs(a) + 0.1 if name == "running_var" else a
        )
    return arrays


def ours(ops, name, arrays, options):
    """The value, and a function from dy to the gradients of the arrays that are no running
    statistics.
    """
    moving = {k: a for k, a in arrays.items() if k not in CONSTANT}
    fixed = {k: a for k, a in arrays.items() if k in CONSTANT}
    y, _, backward = autodiff.vjp(
        lambda t: (getattr(ops, name)(**t, **fixed, **options), None), moving
    )
    return y, lambda dy: backward(dy)[0]


def theirs(name, arrays, options):
    function = torch.tanh if name == "tanh" else getattr(F, name)
    tensors = {k: torch.tensor(a, requires_grad=k not in CONSTANT) for k, a in arrays.items()}
    given = {
        OTHER_NAMES.get(k, k): torch.tensor(v) if isinstance(v, np.ndarray) else v
        for k, v in options.items()
    }
    y = function(**{OTHER_NAMES.get(k, k): t for k, t in tensors.items()}, **given)

    def backward(dy):
        moving = {k: t for k, t in tensors.items() if k not in CONSTANT}
        grads = torch.autograd.grad(y, list(moving.values()), torch.tensor(dy))
        return {k: g.numpy() for k, g in zip(moving, grads, strict=True)}

    return y.detach().numpy(), backward, tensors


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 3e-5)])
@pytest.mark.parametrize(
    "name, shapes, options", CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_value_and_gradients_are_torchs(ops, name, shapes, options, dtype, tolerance):
    arrays = {k: a.astype(dtype) for k, a in draw(shapes).items()}
    options = {k: v.astype(dtype) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    if name == "cross_entropy" and "labels" not in options:
        options = dict(options, labels=LABELS)
    y, backward = ours(ops, name, arrays, options)
    y_, backward_, _ = theirs(name, arrays, options)
    assert y.dtype == dtype and y.shape == y_.shape
    np.testing.assert_allclose(y, y_, rtol=tolerance, atol=tolerance)
    dy = np.asarray(np.random.default_rng(1).normal(size=y.shape), dtype)
    grads, grads_ = backward(dy), backward_(dy)
    assert grads.keys() == grads_.keys()
    for key in grads:
        assert grads[key].dtype == dtype, key
        scale = np.abs(grads_[key]).max()
        np.testing.assert_allclose(
            grads[key], grads_[key], rtol=tolerance, atol=tolerance * scale, err_msg=key
        )


def test_the_cases_contain_ties_and_kinks(ops):
    x = draw(IMAGES)["x"]
    cells = np.sort(ops.windows(x, 2, 2).reshape(4, -1), axis=0)
    assert (cells[-1] == cells[-2]).sum() > 5
    assert (x == 0).sum() > 5


@pytest.mark.parametrize("options", [{}, dict(training=True, momentum=0.25)])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2, 5)])
def test_running_statistics_are_torchs_and_the_old_ones_stay(ops, shape, options):
    arrays = draw(
        {"x": shape, "running_mean": (4,), "running_var": (4,), "weight": (4,), "bias": (4,)}
    )
    before = {k: a.copy() for k, a in arrays.items()}
    y, mean, var = ops.batch_norm_and_statistics(**arrays, **options)
    y_, _, tensors = theirs("batch_norm", arrays, options)
    for got, need in (
        (y, y_),
        (mean, tensors["running_mean"].numpy()),
        (var, tensors["running_var"].numpy()),
    ):
        np.testing.assert_allclose(got, need, rtol=1e-12, atol=1e-13)
    for k in arrays:
        np.testing.assert_array_equal(arrays[k], before[k])
    assert (options == {}) == np.array_equal(mean, before["running_mean"])


@pytest.mark.parametrize("padding", [0, 1])
def test_max_pool_with_infinities_is_torchs(ops, padding):
    low, high = -np.inf, np.inf
    x = np.array(
        [
            [
                [
                    [1.0, low, 2.0, -3.0],
                    [low, low, low, high],
                    [-2.0, low, low, high],
                    [-9.0, -9.0, low, -9.0],
                ]
            ]
        ]
    )
    y, backward = ours(ops, "max_pool2d", {"x": x}, dict(kernel_size=2, padding=padding))
    y_, backward_, _ = theirs("max_pool2d", {"x": x}, dict(kernel_size=2, padding=padding))
    np.testing.assert_array_equal(y, y_)
    dy = np.random.default_rng(0).normal(size=y.shape)
    np.testing.assert_array_equal(backward(dy)["x"], backward_(dy)["x"])


def test_dropout_keeps_its_share_and_needs_a_key(ops):
    x = np.ones((100, 100), np.float32)
    y = ops.dropout(x, 0.3, key=4)
    assert y.dtype == np.float32
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.7], rtol=1e-6)
    assert abs((y == 0).mean() - 0.3) < 0.015
    np.testing.assert_array_equal(y, ops.dropout(x, 0.3, key=4))
    assert (y != ops.dropout(x, 0.3, key=(4, 0))).any()
    assert ops.dropout(x, 0.3, training=False) is x
    assert not ops.dropout(x, 1.0).any() and F.dropout(torch.ones(3), 1.0).sum() == 0
    with pytest.raises(ValueError, match="key"):
        ops.dropout(x, 0.3)


@pytest.mark.parametrize("dims", [(), (1,), (1, 2), (-2, -1), (0, 1)])
def test_flatten_is_torchs(ops, dims):
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(
        ops.flatten(x, *dims), torch.flatten(torch.tensor(x), *dims).numpy()
    )


BAD = [
    (lambda ops, x: ops.conv2d(x, np.ones((2, 4, 3, 3)), padding="same", stride=2), "stride 1"),
    (lambda ops, x: ops.conv2d(x, np.ones((2, 4, 3, 3)), padding="full"), '"valid" or "same"'),
    (lambda ops, x: ops.conv2d(x, np.ones((2, 4, 12, 3))), "does not fit"),
    (lambda ops, x: ops.conv2d(x, np.ones((2, 3, 3, 3))), "4 channels"),
    (lambda ops, x: ops.conv2d(x, np.ones((2, 4, 3, 3)), groups=3), "groups=3"),
    (lambda ops, x: ops.conv2d(x[0], np.ones((2, 4, 3, 3))), "needs x"),
    (lambda ops, x: ops.max_pool2d(x, 2, padding=2), "at most half"),
    (lambda ops, x: ops.max_pool2d(x, 2, stride=0), "stride"),
    (lambda ops, x: ops.avg_pool2d(x[0], 2), "images"),
    (lambda ops, x: ops.avg_pool2d(x, 2, divisor_override=0), "divisor_override"),
    (lambda ops, x: ops.batch_norm(x, np.zeros(3), np.ones(3)), "running_mean must be"),
    (lambda ops, x: ops.batch_norm(x, None, None), "training=True"),
    (
        lambda ops, x: ops.batch_norm(x[:1, :, :1, :1], None, None, training=True),
        "more than one value",
    ),
    (lambda ops, x: ops.local_response_norm(x, 0), "size"),
    (lambda ops, x: ops.cross_entropy(x[0, 0], np.full(9, -100)), "all labels are ignored"),
    (lambda ops, x: ops.cross_entropy(x[0, 0], np.full(9, -1)), r"0\.\.7; got -1"),
    (lambda ops, x: ops.cross_entropy(x[0, 0], np.zeros(9, int), reduction="avg"), "reduction"),
]


@pytest.mark.parametrize("call, message", BAD, ids=[m for _, m in BAD])
def test_bad_arguments_get_one_clear_error(ops, call, message):
    with pytest.raises(ValueError, match=message):
        call(ops, draw(IMAGES)["x"])
