"""What goes wrong gets one ValueError that says what was got, what is needed, and what would
work.
"""

import copy

import numpy as np
import pytest

import autocnn as ac


def changed(a, at, value):
    a = a.copy()
    a[at] = value
    return a


@pytest.mark.parametrize(
    "build, says",
    [
        (lambda nn: nn.conv(0, 3), "filters must be an int, 1 or more; got 0"),
        (lambda nn: nn.conv(3, 2.5), "kernel must be an int.*got 2.5"),
        (lambda nn: nn.conv(3, (3, 3, 3)), "kernel.*pair"),
        (lambda nn: nn.conv(3, 3, stride=0), "stride.*got 0"),
        (lambda nn: nn.conv(3, 3, padding=-1), "padding must be an int, 0 or more; got -1"),
        (lambda nn: nn.conv(True, 3), "filters.*got True"),
        (lambda nn: nn.dense(-4), "units.*got -4"),
        (lambda nn: nn.dropout(1.0), "0 <= p < 1; got 1.0"),
        (lambda nn: nn.max_pool(2, padding=2), r"padding \(2, 2\) must be at most half the window"),
        (lambda nn: nn.serial(nn.relu), r"serial got relu.*call it: relu\(\)"),
        (lambda nn: nn.residual(3), "residual got 3"),
        (
            lambda nn: nn.local_response_norm(5, alpha=[1]),
            r"local_response_norm: alpha must be a number; got \[1\]",
        ),
        (lambda nn: nn.local_response_norm(5, k=np.nan), "k must be a number; got nan"),
        (lambda nn: nn.batch_norm(eps=np.inf), "eps must be a number"),
        (lambda nn: nn.scaled_tanh("a"), "amplitude must be a number; got 'a'"),
        (lambda nn: nn.rbf(3), "codes must be K rows"),
        (lambda nn: nn.rbf(((1, 2), (3,))), "codes must be K rows"),
        (lambda nn: nn.rbf((("a", "b"),)), "codes must be K rows"),
        (lambda nn: nn.table_conv(3, 3), "the table needs one row a filter"),
        (lambda nn: nn.table_conv((0, 1), 3), "the table needs one row a filter"),
    ],
)
def test_layers_that_cannot_be(build, says, nn):
    with pytest.raises(ValueError, match=says):
        build(nn)


@pytest.mark.parametrize(
    "build, shape, says",
    [
        (lambda nn: nn.conv(3, 5), (1, 4, 8), "does not fit"),
        (lambda nn: nn.conv(3, 3), (8, 8), r"images \(C, H, W\).*grey image is \(1, H, W\)"),
        (lambda nn: nn.conv(3, 3, groups=2), (3, 8, 8), "groups=2 must divide both 3"),
        (lambda nn: nn.max_pool(3), (1, 2, 2), "does not fit"),
        (lambda nn: nn.dense(3), (1, 8, 8), r"put flatten\(\) before it"),
        (
            lambda nn: nn.residual(nn.conv(4, 3)),
            (4, 8, 8),
            r"main ends in \(4, 6, 6\) and the shortcut in \(4, 8, 8\)",
        ),
    ],
)
def test_shapes_that_do_not_fit(build, shape, says, nn):
    with pytest.raises(ValueError, match=says):
        build(nn).init(0, shape)


WORDS = {
    "conv": lambda nn: nn.conv(2, 1),
    "dense": lambda nn: nn.dense(3),
    "relu": lambda nn: nn.relu(),
    "flatten": lambda nn: nn.flatten(),
    "max_pool": lambda nn: nn.max_pool(1),
    "global_avg_pool": lambda nn: nn.global_avg_pool(),
    "batch_norm": lambda nn: nn.batch_norm(),
    "serial": lambda nn: nn.serial(),
    "residual": lambda nn: nn.residual(nn.relu()),
    "tiny_cnn": lambda nn: ac.models.tiny_cnn(nn=nn),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    "shape",
    [
        8,
        None,
        "abc",
        (),
        (0, 8, 8),
        (1, 0, 8),
        (1, 8, -8),
        (1, 8, 8.0),
        (1, 8, True),
        ("1", "8", "8"),
        {1, 8},
        np.int64(8),
    ],
    ids=repr,
)
def test_shapes_that_are_none(word, shape, nn):
    with pytest.raises(ValueError, match=r"got the shape .*as in model\.init\(0, \(1, 28, 28\)\)"):
        WORDS[word](nn).init(0, shape)


@pytest.mark.parametrize("shape", [(1, 10**30, 8), (1, 10**9, 10**9)])
def test_shapes_larger_than_memory(shape, nn):
    with pytest.raises(ValueError, match="more numbers than fit into memory"):
        ac.models.tiny_cnn(nn=nn).init(None, shape)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("dtype", ["floaty", "int64", int, bool, 3, "object", "U3"])
def test_dtypes_that_are_none(word, dtype, nn):
    with pytest.raises(
        ValueError, match="dtype must be a type of floats, 'float32' or 'float64'; got"
    ):
        WORDS[word](nn).init(0, (1, 8, 8), dtype)


def test_shapes_and_dtypes_in_other_spellings(nn):
    for shape, dtype in (
        ([1, 8, 8], "f4"),
        (np.array([1, 8, 8]), np.float32),
        ((np.int64(1), 8, 8), np.dtype("float32")),
    ):
        out, params, _ = ac.models.tiny_cnn(nn=nn).init(0, shape, dtype)
        assert out == (3,) and params[0]["w"].dtype == np.float32


def test_a_layer_of_ones_own_is_checked_too(nn):
    def backprop(params, state, x, train, key):
        return 2 * x, state, lambda dy: (2 * dy, {})

    def init(key, shape, dtype="float64"):
        return shape, {}, {}

    mine = nn.Layer("mine", {}, init, backprop=backprop)
    assert mine.init(0, [2, 3])[0] == (2, 3)
    assert mine.init.unchecked is mine.replace(name="other").init.unchecked is init  # once only
    with pytest.raises(ValueError, match="got the shape 3"):
        mine.init(0, 3)


BATCHES = [
    (lambda x, y: (x[0], y), "shape"),
    (lambda x, y: (x[:, 0], y), r"\(C, H, W\)"),
    (lambda x, y: (x[:0], y[:0]), "at least 1"),
    (lambda x, y: (np.repeat(x, 2, axis=1), y), "not this network's"),
    (lambda x, y: (x[..., :6], y), "not this network's"),
    (lambda x, y: (x[..., :2], y), "does not fit"),
    (lambda x, y: (changed(x, (3, 0, 1, 2), np.nan), y), "finite"),
    (lambda x, y: (changed(x, (3, 0, 1, 2), -np.inf), y), "finite"),
    (lambda x, y: ((x * 255).astype(int), y), "floats"),
    (lambda x, y: (x.astype(object), y), "floats"),
    (lambda x, y: (x.tolist(), y), "got list"),
    (lambda x, y: (np.ma.masked_array(x), y), "got MaskedArray"),
    (lambda x, y: (x * 1j, y), "floats.*got complex128"),
    (lambda x, y: (np.float64(3), y), "must be an array, got float64"),
    (lambda x, y: (None, y), "must be an array, got NoneType"),
    (lambda x, y: None, r"a batch is a pair \(x, labels\), got NoneType"),
    (lambda x, y: (x,), "got tuple of 1"),
    (lambda x, y: [x, y, y, y], "got list of 4"),
    (lambda x, y: (x, y, y[1:]), "18 numbers; got int64 of shape"),
    (lambda x, y: x, "a batch is a pair"),
    (lambda x, y: (x, [[0], [1, 2]]), r"18 integers.*got \[\[0\], \[1, 2\]\]"),
    (lambda x, y: (x, "abc"), "18 integers"),
    (lambda x, y: (x, y.astype(float)), "integers.*got float64"),
    (lambda x, y: (x, changed(y, 0, 3)), r"0\.\.2 for 3 outputs; got 0\.\.3"),
    (lambda x, y: (x, changed(y, 0, -1)), r"got -1\.\.2"),
    (lambda x, y: (x, y[:-1]), r"18 integers.*\(17,\)"),
    (lambda x, y: (x, np.eye(3)[y]), "integers"),
]


@pytest.mark.parametrize("spoil, says", BATCHES)
def test_batches(spoil, says, tiny, nn):
    _, params, state, batch = tiny
    with pytest.raises(ValueError, match=says):
        ac.models.tiny_cnn(nn=nn).loss_and_grad(params, state, spoil(*batch))


@pytest.mark.parametrize(
    "dy", [None, 1.0, "abc", np.ones((18, 4)), np.ones((17, 3)), np.ones((18, 3), object)], ids=repr
)
def test_what_backward_takes(dy, tiny, nn):
    _, params, state, (x, _) = tiny
    _, _, backward = ac.models.tiny_cnn(nn=nn).vjp(params, state, x)
    with pytest.raises(
        ValueError, match=r"backward takes dy, floats of the output's shape \(18, 3\); got"
    ):
        backward(dy)
    assert backward(np.ones((18, 3)).tolist())[0].shape == x.shape


PARAMETERS = [
    (lambda p: ac.models.tiny_mlp().init(0, (1, 8, 8))[1], "params are not this network's"),
    (lambda p: p[:-1], "params are not this network's"),
    (lambda p: [{**p[0], "c": np.ones(3)}, *p[1:]], "params are not this network's"),
    (lambda p: [{**p[0], "w": p[0]["w"][:2]}, *p[1:]], r"0.w.*\(2, 1, 3, 3\)"),
    (lambda p: [{**p[0], "b": np.zeros(3, int)}, *p[1:]], "0.b.*floats, got int64"),
    (lambda p: [{**p[0], "b": [0.0, 0.0, 0.0]}, *p[1:]], "not|floats"),
    (lambda p: [{**p[0], "b": np.zeros(3, object)}, *p[1:]], "0.b.*floats, got object"),
    (lambda p: [{**p[0], "b": np.ma.zeros(3)}, *p[1:]], "0.b.*MaskedArray"),
    (lambda p: None, "params"),
    (lambda p: "abc", "params"),
]


@pytest.mark.parametrize("spoil, says", PARAMETERS)
def test_parameters(spoil, says, tiny, nn):
    _, params, state, batch = tiny
    model = ac.models.tiny_cnn(nn=nn)
    for call in (
        lambda p: model.apply(p, state, batch[0]),
        lambda p: model.loss_and_grad(p, state, batch),
    ):
        with pytest.raises(ValueError, match=says):
            call(spoil(params))


def test_a_loss_is_of_real_numbers(tiny, nn):
    _, params, state, batch = tiny
    turned = [{**params[0], "b": np.zeros(3, complex)}, *params[1:]]
    model = ac.models.tiny_cnn(nn=nn)
    assert model.apply(turned, state, batch[0])[0].dtype == complex  # which the complex step needs
    with pytest.raises(ValueError, match=r"0\.b.*floats, got complex128"):
        model.loss_and_grad(turned, state, batch)


@pytest.mark.parametrize(
    "state", [None, {}, [], (), [{}], [{}] * 4 + [{"mean": np.zeros(3)}]], ids=repr
)
def test_states(state, tiny, nn):
    _, params, _, batch = tiny
    with pytest.raises(ValueError, match=r"state (are not this network's|leaf)"):
        ac.models.tiny_cnn(nn=nn).apply(params, state, batch[0])


def test_state_that_is_not_finite(nn):
    layer = nn.batch_norm()
    _, params, state = layer.init(0, (2, 3, 3))
    with pytest.raises(ValueError, match="state leaf 'var' must be finite"):
        layer.apply(params, {**state, "var": np.array([1, np.nan])}, np.ones((2, 2, 3, 3)))


def test_keys_in_another_order_and_tuples_are_welcome(tiny, nn):
    _, params, state, batch = tiny
    model = ac.models.tiny_cnn(nn=nn)
    loss, grads, _ = model.loss_and_grad(params, state, batch)
    turned = tuple(dict(reversed(part.items())) for part in params)
    loss_, grads_, _ = model.loss_and_grad(turned, tuple(state), batch)
    assert loss == loss_
    assert type(grads_) is tuple
    assert np.array_equal(grads[0]["w"], grads_[0]["w"])
    assert ac.optim.sgd(0.1).update(turned, grads_, ac.optim.sgd(0.1).init(turned))


@pytest.mark.parametrize("key", [1.5, "a", True, (), (1, -1), -1])
def test_keys(key, nn):
    with pytest.raises(ValueError, match="a key is an int seed"):
        ac.models.tiny_cnn(nn=nn).init(key, (1, 8, 8))


def test_infinite_parameters(tiny, nn):
    _, params, state, batch = tiny
    spoiled = [{**params[0], "b": np.array([0, np.inf, 0])}, *params[1:]]
    with pytest.raises(ValueError, match=r"'0.b' must be finite, got inf at \[1\]"):
        ac.models.tiny_cnn(nn=nn).apply(spoiled, state, batch[0])


def test_large_but_finite_values_pass(tiny, nn):
    _, params, state, (x, _) = tiny
    y, _ = ac.models.tiny_cnn(nn=nn).apply(params, state, x * 1e200)
    assert np.isfinite(y).all()


def test_dropout_without_a_key(tiny, nn):
    model = ac.models.tiny_cnn(dropout=0.3, nn=nn)
    _, params, state = model.init(0, (1, 8, 8))
    with pytest.raises(ValueError, match=r"dropout needs a key.*key=0"):
        model.loss_and_grad(params, state, tiny[3])


@pytest.mark.parametrize(
    "arguments, says",
    [
        (dict(epochs=0), "epochs must be an int, 1 or more; got 0"),
        (dict(epochs=1.5), "epochs.*got 1.5"),
        (dict(batch_size=0), "batch_size.*got 0"),
        (dict(batch_size=-3), "batch_size.*got -3"),
        (dict(seed=-1), "key is an int seed"),
        (dict(seed=0.5), "key is an int seed"),
        (dict(data="patterns"), r"data needs x_train.*got str; use ac.data.load\('patterns'\)"),
        (dict(params=[]), "no leaves"),
        (dict(params=[], model=ac.models.tiny_cnn()), "no leaves"),
        (
            dict(params=copy.deepcopy(ac.models.tiny_mlp().init(0, (1, 8, 8))[1])),
            r"are not TinyCNN's.*train\(params, data, model=...\)",
        ),
        (
            dict(optimizer=0.1),
            r"optimizer must be an optimizer, such as optimizer=ac\.optim\.sgd\(0\.1\); got 0\.1",
        ),
        (
            dict(optimizer=ac.optim.sgd),
            r"optimizer=ac\.optim\.sgd\(0\.1\); got the function sgd, which makes one",
        ),
        (
            dict(model=ac.models.tiny_cnn),
            r"model=ac\.models\.tiny_cnn\(\); got the function tiny_cnn, which makes one",
        ),
        (dict(model="tiny-cnn"), "model must be a network.*got 'tiny-cnn'"),
        (dict(model=ac.models.tiny_mlp()), "params are not this network's"),
    ],
)
def test_train(arguments, says, tiny, patterns):
    arguments = {"params": tiny[1], "data": patterns} | arguments
    with pytest.raises(ValueError, match=says):
        ac.train(arguments.pop("params"), arguments.pop("data"), **arguments)


@pytest.mark.parametrize(
    "field, spoil, says",
    [
        ("x_train", lambda a: a[:0], "x_train is empty"),
        ("x_val", lambda a: a[:0], "x_val is empty"),
        ("x_train", lambda a: a[:9], "labels must be 9 integers"),
        ("y_val", lambda a: a[:9], "labels"),
        ("y_val", lambda a: a + 1, r"0\.\.2.*got 1\.\.3"),
        ("x_val", lambda a: changed(a, (0, 0, 0, 0), np.nan), "finite"),
        (
            "x_train",
            lambda a: (255 * a).astype("uint8"),
            "x_train must be floats in .0, 1., got uint8; scale them",
        ),
    ],
)
def test_data(field, spoil, says, tiny, patterns):
    data = patterns._replace(**{field: spoil(getattr(patterns, field))})
    with pytest.raises(ValueError, match=says):
        ac.train(tiny[1], data, epochs=1)


def test_a_diverging_run_stops_and_says_where(tiny, patterns):
    with pytest.raises(ValueError, match=r"epoch .*lower the rate"), np.errstate(all="ignore"):
        ac.train(tiny[1], patterns, optimizer=ac.optim.sgd(1e200), epochs=2)


def test_evaluate(tiny, patterns):
    model, params, state, (x, y) = tiny
    with pytest.raises(ValueError, match="at least 1"):
        ac.evaluate(model, params, state, x[:0], y[:0])
    with pytest.raises(ValueError, match="labels"):
        ac.evaluate(model, params, state, x, y[:-1])
    with pytest.raises(ValueError, match="18 images and 19 labels"):
        ac.evaluate(model, params, state, x, np.append(y, 0), batch_size=9)


def test_rebuild_needs_the_word():
    with pytest.raises(ValueError, match="has no word 'conv'"):
        ac.models.rebuild(ac.layers.conv(3, 3), ac.optim)


def test_trace_and_summary(tiny):
    model, params, state, (x, _) = tiny
    with pytest.raises(ValueError, match="one image goes in as"):
        ac.trace(model, params, state, x[0, 0, 0])
    with pytest.raises(ValueError, match="images"):
        ac.summary(model, (8, 8))
