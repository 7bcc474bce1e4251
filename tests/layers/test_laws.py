"""What must hold for any input: ops against their algebra, random networks through every
interpretation, optimizers, files.
"""

import math
import os
import tempfile

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import autocnn as ac
import reference
from autocnn import autodiff, checkpoint, images, ops, optim
from autocnn.trees import leaves, tree_map
from tests.helpers import same_bits

# Derandomized: a test that fails does so for everyone, each time.
some = settings(max_examples=40, deadline=None, derandomize=True)
few = settings(max_examples=20, deadline=None, derandomize=True)

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)
)  # N, C, H, W
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
LOGITS = hnp.arrays(
    float, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e5, 1e5)
)


def drawn(seed, *shapes):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) for shape in shapes]


# --- ops
# ------------------------------------------------------------------------------------------


@some
@given(SIZES, PAIRS, PAIRS, st.integers(0, 2), SEEDS)
def test_convolution_is_linear_in_both_and_its_derivatives_are_adjoint(
    size, kernel, stride, padding, seed
):
    assume(all(n + 2 * padding >= k for n, k in zip(size[2:], kernel, strict=True)))
    weights = (4, size[1], *kernel)
    x, x_, w, w_ = drawn(seed, size, size, weights, weights)

    def conv(x, w):
        return ops.conv2d(x, w, None, stride, padding)

    np.testing.assert_allclose(
        conv(2 * x - x_, w), 2 * conv(x, w) - conv(x_, w), rtol=1e-10, atol=1e-10
    )
    np.testing.assert_allclose(
        conv(x, 2 * w - w_), 2 * conv(x, w) - conv(x, w_), rtol=1e-10, atol=1e-10
    )
    y, _, backward = autodiff.vjp(lambda x, w: (conv(x, w), None), x, w)
    (dy,) = drawn(seed + 1, y.shape)
    dx, dw = backward(dy)
    # A bilinear map: both inner products with the derivatives are the one with the output.
    np.testing.assert_allclose(
        [np.vdot(dx, x), np.vdot(dw, w)], np.vdot(dy, y), rtol=1e-9, atol=1e-9
    )


@some
@given(SIZES, PAIRS, PAIRS, SEEDS)
def test_pooling(size, window, stride, seed):
    assume(all(n >= k for n, k in zip(size[2:], window, strict=True)))
    (x,) = drawn(seed, size)
    highest, mean = ops.max_pool2d(x, window, stride), ops.avg_pool2d(x, window, stride)
    lowest = -ops.max_pool2d(-x, window, stride)
    assert (lowest - 1e-12 <= mean).all() and (mean <= highest + 1e-12).all()
    np.testing.assert_array_equal(
        ops.max_pool2d(np.exp(x), window, stride), np.exp(highest)
    )  # what is monotone commutes
    np.testing.assert_allclose(
        ops.avg_pool2d(3 * x + 1, window, stride), 3 * mean + 1, rtol=1e-10, atol=1e-10
    )
    y, _, backward = autodiff.vjp(lambda x: (ops.max_pool2d(x, window, stride), None), x)
    (dy,) = drawn(seed + 1, y.shape)
    (dx,) = backward(dy)
    assert dx.sum() == pytest.approx(
        dy.sum(), abs=1e-9
    )  # every window hands all of its gradient to one cell


@some
@given(LOGITS, st.floats(-1e4, 1e4))
def test_softmax(logits, shift):
    p = ops.softmax(logits)
    assert np.isfinite(ops.log_softmax(logits)).all() and (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(ops.softmax(logits + shift), p, atol=1e-9)
    np.testing.assert_allclose(np.exp(ops.log_softmax(logits)), p, rtol=1e-9, atol=1e-300)
    for row, shares in zip(logits, p, strict=True):
        assert (np.diff(shares[np.argsort(row, kind="stable")]) >= 0).all()


@some
@given(LOGITS, SEEDS)
def test_cross_entropy_and_its_gradient(logits, seed):
    n, k = logits.shape
    labels = np.random.default_rng(seed).integers(0, k, n)
    loss, _, backward = autodiff.vjp(lambda z: (ops.cross_entropy(z, labels), None), logits)
    assert 0 <= loss < math.inf
    (dz,) = backward(np.float64(1))
    np.testing.assert_allclose(dz, (ops.softmax(logits) - np.eye(k)[labels]) / n, atol=1e-12)


@some
@given(st.integers(2, 5), st.integers(1, 3), st.floats(0.1, 50), st.floats(-50, 50), SEEDS)
def test_batch_norm_forgets_scale_and_offset_in_training(n, c, scale, offset, seed):
    (x,) = drawn(seed, (n, c, 3, 2))
    statistics = np.zeros(c), np.ones(c)
    y = ops.batch_norm(x, *statistics, training=True, eps=0)
    np.testing.assert_allclose(
        ops.batch_norm(scale * x + offset, *statistics, training=True, eps=0), y, atol=1e-8
    )
    np.testing.assert_allclose(
        [y.mean(axis=(0, 2, 3)), y.var(axis=(0, 2, 3))], [np.zeros(c), np.ones(c)], atol=1e-9
    )


@some
@given(SIZES, st.integers(1, 5), SEEDS)
def test_response_norm_keeps_signs_and_shrinks(size, channels, seed):
    (x,) = drawn(seed, size)
    y = ops.local_response_norm(x, channels, alpha=2.0)
    assert (np.sign(y) == np.sign(x)).all() and (np.abs(y) <= np.abs(x)).all()


@some
@given(SIZES, PAIRS, PAIRS, PAIRS, SEEDS)
def test_windows_and_unwindows_are_adjoint(size, kernel, stride, dilation, seed):
    assume(all(n > d * (k - 1) for n, k, d in zip(size[2:], kernel, dilation, strict=True)))
    (x,) = drawn(seed, size)
    w = ops.windows(x, kernel, stride, dilation)
    (p,) = drawn(seed + 1, w.shape)
    np.testing.assert_allclose(
        np.vdot(w, p),
        np.vdot(x, ops.unwindows(p, size[2:], stride, dilation)),
        rtol=1e-9,
        atol=1e-9,
    )


@some
@given(SIZES, st.floats(0, 0.95), st.sampled_from(["float32", "float64"]), SEEDS)
def test_dropout_keeps_or_drops_and_keeps_the_mean(size, p, dtype, seed):
    layer, x = ac.layers.dropout(p), np.ones((50, *size), dtype)
    y, _ = layer.apply({}, {}, x, train=True, key=seed)
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    assert y.dtype == dtype and abs(kept.mean() - (1 - p)) <= 6 * math.sqrt(p * (1 - p) / x.size)
    assert layer.apply({}, {}, x)[0] is x


# --- networks
# ------------------------------------------------------------------------------------------


WORDS = ["conv", "relu", "tanh", "batch_norm", "max_pool", "avg_pool", "lrn", "residual", "dropout"]


@st.composite
def networks(draw):
    """A random network as a function of the vocabulary, for images (2, 6, 7); it ends in three
    logits.
    """
    layers, small, flags = [], st.integers(1, 3), st.booleans()
    for _ in range(draw(st.integers(0, 4))):
        filters, kernel, groups, stride = (
            draw(small) * 2,
            draw(small),
            draw(st.sampled_from([1, 2])),
            draw(st.integers(1, 2)),
        )
        word = draw(st.sampled_from(WORDS))
        bias, size = draw(flags), draw(st.integers(1, 2))
        layers.append(
            {
                "conv": lambda nn, f=filters, k=kernel, g=groups, s=stride, b=bias: nn.conv(
                    f, k, s, k // 2, groups=g, bias=b
                ),
                "relu": lambda nn: nn.relu(),
                "tanh": lambda nn: nn.tanh(),
                "batch_norm": lambda nn: nn.batch_norm(),
                "max_pool": lambda nn, k=size, s=stride: nn.max_pool(k, s, padding=k // 2),
                "avg_pool": lambda nn, k=size, s=stride: nn.avg_pool(k, s, padding=k // 2),
                "lrn": lambda nn, n=kernel: nn.local_response_norm(n, alpha=0.5),
                "residual": lambda nn, f=filters, s=stride: nn.residual(
                    nn.serial(nn.conv(f, 3, s, 1), nn.tanh(), nn.conv(f, 1)),
                    nn.conv(f, 1, s, bias=False),
                ),
                "dropout": lambda nn: nn.dropout(0.25),
            }[word]
        )
    end = draw(st.sampled_from(["flatten", "global_avg_pool"]))
    return lambda nn: nn.serial(*(layer(nn) for layer in layers), getattr(nn, end)(), nn.dense(3))


@some
@given(networks(), SEEDS)
def test_random_networks_have_one_gradient(build, seed):
    _, params, state = build(ac.layers).init(seed, (2, 6, 7))
    (x,) = drawn(seed, (4, 2, 6, 7))
    labels = np.arange(4) % 3
    ours, *others = [
        build(nn).loss_and_grad(params, state, (x, labels), key=seed)
        for nn in (ac.layers, reference, ac.fast)
    ]
    for found in others:
        for (path, a), (path_, b) in zip(leaves(list(ours)), leaves(list(found)), strict=True):
            assert path == path_
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=path)


@few
@given(networks(), SEEDS)
def test_random_networks_export(build, seed):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from autocnn.export import to_onnx

    model = build(ac.layers)
    _, params, state = model.init(seed, (2, 6, 7), "float32")
    state = tree_map(lambda s: s + np.float32(0.3), state)
    (x,) = drawn(seed, (2, 2, 6, 7))
    made = to_onnx(model, params, state, (2, 6, 7)).SerializeToString()
    (y,) = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"]).run(
        None, {"images": x.astype("f")}
    )
    ours = model.apply(params, state, x.astype("f"))[0]
    assert np.abs(y - ours).max() <= 1e-5 * max(1, np.abs(ours).max())


# --- optimizers
# ------------------------------------------------------------------------------------------

OPTIMIZERS = st.sampled_from(
    [
        lambda: optim.sgd(0.1),
        lambda: optim.sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda: optim.adam(0.01),
        lambda: optim.adam(optim.cosine(0.01, 5), beta1=0.5, weight_decay=0.1),
    ]
)


@some
@given(OPTIMIZERS, st.lists(st.integers(1, 4), min_size=1, max_size=4), SEEDS)
def test_optimizers_treat_every_number_alike_wherever_it_is(make, sizes, seed):
    """One long vector moves as its pieces do in a tree, and in any order."""
    opt, n = make(), sum(sizes)
    p, *grads = drawn(seed, *[(n,)] * 4)
    cuts = np.cumsum(sizes)[:-1]

    def descend(split):
        params = split(p)
        state = opt.init(params)
        for g in grads:
            params, state = opt.update(params, split(g), state)
        return np.concatenate([leaf.ravel() for _, leaf in leaves(params)])

    whole = descend(lambda a: a)
    pieces = descend(lambda a: [{"w": part} for part in np.split(a, cuts)])
    turned = descend(lambda a: (a[::-1].copy(), []))
    assert np.array_equal(whole, pieces) and np.array_equal(whole, turned[::-1])


@some
@given(OPTIMIZERS, st.sampled_from(["float32", "float64"]), SEEDS)
def test_optimizers_change_nothing_in_place_and_keep_dtypes(make, dtype, seed):
    opt = make()
    pairs = (drawn(seed + i, (3,), (2, 2)) for i in range(3))
    params, *grads = ([{"w": a.astype(dtype)}, (b.astype(dtype), {})] for a, b in pairs)
    state = opt.init(params)
    for g in grads:
        for _, leaf in leaves([params, g, state]):
            leaf.setflags(write=False)  # who writes in place fails
        before, (params, state) = params, opt.update(params, g, state)
        shapes = tree_map(
            lambda p, q: (p.shape, p.dtype) == (q.shape, dtype), params, before
        )  # one structure, too
        assert all(same for _, same in leaves(shapes))


@some
@given(st.floats(0, 0.99), st.booleans(), st.floats(0, 0.5), SEEDS)
def test_sgd_is_its_formula(momentum, nesterov, decay, seed):
    p, *grads = drawn(seed, *[(4,)] * 5)
    opt = optim.sgd(0.1, momentum, nesterov and momentum > 0, decay)
    params, state = [p], opt.init([p])
    q, v = p.copy(), np.zeros(4)
    for g in grads:
        params, state = opt.update(params, [g], state)
        g = g + decay * q
        v = momentum * v + g
        q = q - 0.1 * (g + momentum * v if nesterov and momentum > 0 else v)
    np.testing.assert_allclose(params[0], q, rtol=1e-12, atol=1e-12)


@some
@given(st.floats(1e-3, 1e3), SEEDS)
def test_adam_does_not_see_the_gradients_scale(scale, seed):
    opt, (p, *grads) = optim.adam(0.01, eps=0), drawn(seed, *[(5,)] * 4)
    ends = []
    for factor in (1, scale):
        params, state = p, opt.init(p)
        for g in grads:
            params, state = opt.update(params, factor * g, state)
        ends.append(params)
    np.testing.assert_allclose(*ends, rtol=1e-9, atol=1e-12)
    assert np.abs(ends[0] - p).max() <= 3 * 0.01 * 1.2


@some
@given(st.floats(1e-3, 1e3), SEEDS)
def test_clipping_keeps_direction_and_bounds_length(longest, seed):
    grads = [{"w": g} for g in drawn(seed, (3, 2), (4,))]
    seen = []
    opt = optim.clip_by_global_norm(
        optim.Optimizer(lambda p: None, lambda p, g, s: (seen.append(g), s)), longest
    )
    opt.update(None, grads, None)
    length = optim.global_norm(grads)
    factor = min(1, longest / length)
    assert optim.global_norm(seen[0]) == pytest.approx(min(length, longest), rel=1e-12)
    for (_, a), (_, b) in zip(leaves(seen[0]), leaves(grads), strict=True):
        np.testing.assert_allclose(a, factor * b, rtol=1e-12)


@some
@given(st.floats(0, 10), st.floats(0, 1), st.integers(1, 60), st.data())
def test_schedules_stay_between_their_ends(peak, share, steps, data):
    warmup, end = data.draw(st.integers(0, steps - 1)), share * peak
    rates = [optim.cosine(peak, steps, warmup, end)(t) for t in range(steps + 3)]
    assert all(-1e-12 <= r <= peak + 1e-12 for r in rates)
    assert (np.diff(rates[:warmup]) >= 0).all() and (np.diff(rates[warmup:]) <= 1e-12).all()
    assert rates[-1] == pytest.approx(end, abs=1e-12)


# --- files
# ------------------------------------------------------------------------------------------

DTYPES = st.sampled_from(["float32", "float64", "float16", "int64", "uint8", "bool"])
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=4))
KEYS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="."), min_size=1, max_size=8
)
TREES = st.recursive(
    ARRAYS,
    lambda t: st.lists(t, max_size=3) | st.tuples(t, t) | st.dictionaries(KEYS, t, max_size=3),
    max_leaves=6,
)
JSON = st.dictionaries(
    KEYS,
    st.none()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
)


@some
@given(TREES, TREES, JSON)
def test_what_is_saved_comes_back_bit_for_bit(params, state, metadata):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "checkpoint")
        checkpoint.save(path, params, state, metadata)
        found = checkpoint.load(path)
        assert (
            same_bits(found.params, params)
            and same_bits(found.state, state)
            and found.metadata == metadata
        )
        assert os.listdir(folder) == ["checkpoint"]


@some
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.sampled_from([1, 3]), st.integers(1, 12), st.integers(1, 12)),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.booleans(),
    st.sampled_from([None, 20 / 28, 1.0]),
    SEEDS,
)
def test_any_picture_becomes_an_image(size, shape, colour, invert, dark, box, seed):
    picture = np.random.default_rng(seed).random((*size, 3) if colour else size, np.float32)
    try:
        x, steps = images.fit(picture, shape, invert, dark, box)
    except images.NoInk:
        assert box is not None
        return
    assert x.shape == shape and x.dtype == np.float32 and x.flags.c_contiguous
    assert x.min() >= 0 and x.max() <= 1 and all(steps)
    assert ("x" in "".join(steps[-1:])) or size == shape[1:]
