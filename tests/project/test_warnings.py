"""No public call warns at extreme but legal input: flat and overflowing activations, variance zero,
one image, one class, parts that are empty.
"""

import io
import warnings

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn import losses, ops, optim
from autocnn.trees import leaves, tree_map
from tests.cases import select
from tests.helpers import INTERPRETATIONS, setup_case

DTYPES = {"float64": 1e300, "float32": 1e38}
LOGITS = {
    "apart": [[400.0, -400.0, 0.0], [1e4, 1e4, -1e4]],
    "equal": [[0.0, 0.0, 0.0], [7.0, 7.0, 7.0]],
    "far apart": [[1e30, -1e30, 0.0], [-1e30, -1e30, 1e30]],
    "one image": [[1.0, 2.0, 3.0]],
}
LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "smoothed": losses.smoothed_cross_entropy(0.1),
    "mse": losses.mse,
}
FUNCTIONS = ("gelu", "leaky_relu", "log_softmax", "relu", "relu6", "sigmoid", "silu", "softmax")
WORDS = [case for case in select("word")]


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", [*FUNCTIONS, "tanh"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_of_numbers(name, dtype):
    large = DTYPES[dtype]
    numbers = [0.0, -0.0, 400.0, -400.0, 1e4, -1e4, large, -large, 1e-37]
    x = np.array([numbers], dtype)
    y = getattr(ops, name)(x)
    assert y.dtype == dtype and y.shape == x.shape and np.isfinite(y).all()


@pytest.mark.parametrize("nn", INTERPRETATIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_of_the_largest_numbers(nn, dtype):
    """With their derivatives, which are squares, cubes and exponentials on the way."""
    largest = np.finfo(dtype).max
    x = np.array([largest, 1e30, 1e19, 1e13, 400, 0], dtype)
    x = np.concatenate([x, -x])[None, None, None]
    for word in ("gelu", "leaky_relu", "relu", "relu6", "scaled_tanh", "sigmoid", "silu", "tanh"):
        for options in ({}, {"approximate": "tanh"}) if word == "gelu" else ({},):
            layer = getattr(INTERPRETATIONS[nn], word)(**options)
            y, _, backward = layer.vjp({}, {}, x)
            dx, _ = backward(np.ones_like(y))
            assert np.isfinite(y).all() and np.isfinite(dx).all(), word
            if word in ("gelu", "silu", "relu"):
                assert y.flat[0] == largest and dx.flat[0] == 1 and y.flat[6] == dx.flat[6] == 0
    assert np.array_equal(ops.softmax(np.array([[largest, -largest]], dtype)), [[1, 0]])


def test_no_images():
    """Ops keep the shape of a batch of none; what would average over it says so."""
    x = np.zeros((0, 4, 6, 6))
    assert ops.max_pool2d(x, 2).shape == ops.avg_pool2d(x, 2).shape == (0, 4, 3, 3)
    assert ops.group_norm(x, 2).shape == x.shape
    with pytest.raises(ValueError, match="more than one value to have a variance"):
        ops.batch_norm(x, None, None, training=True)
    for mean in (
        lambda: ops.mse_loss(x, x),
        lambda: ops.cross_entropy(x[:, 0, 0], np.zeros(0, int)),
    ):
        with pytest.raises(ValueError, match="leave this batch out"):
            mean()
    for loss in LOSSES.values():
        with pytest.raises(ValueError, match="leave this batch out"):
            reference.loss_and_gradient(loss, x[:, 0, 0], np.zeros(0, int))


@pytest.mark.parametrize("case", WORDS, ids=lambda case: case.name)
@pytest.mark.parametrize("n", [1, 3])
def test_words_of_constant_images(case, n):
    for dtype in DTYPES:
        for nn in INTERPRETATIONS.values():
            layer, params, state, x, dy = setup_case(case, nn, dtype=dtype, n=n)
            for value in (0.5, -3.0):
                if n == 1 and case.name.startswith("batch_norm") and x[0, 0].size == 1:
                    continue  # one number has no variance, which it says
                y, _, backward = layer.vjp(params, state, np.full_like(x, value), train=True, key=9)
                dx, dparams = backward(dy)
                for _, a in leaves([y, dx, dparams]):
                    assert np.isfinite(a).all()


@pytest.mark.parametrize("nn", INTERPRETATIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pools_of_the_smallest_numbers(nn, dtype):
    """Padding is -inf; images with infinite pixels are refused."""
    pool = INTERPRETATIONS[nn].max_pool(3, stride=1, padding=1)
    _, params, state = pool.init(0, (1, 4, 4), dtype)
    x = np.full((2, 1, 4, 4), np.finfo(dtype).min, dtype)
    y, _, backward = pool.vjp(params, state, x)
    dx, _ = backward(np.ones_like(y))
    assert (y == np.finfo(dtype).min).all() and dx.sum() == y.size
    with pytest.raises(ValueError, match="x must be finite, got -inf"):
        pool.vjp(params, state, np.full_like(x, -np.inf))


@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses(loss, logits, dtype):
    x = np.array(LOGITS[logits], dtype)
    if loss == "mse" and logits == "far apart":
        x = np.sign(x) * np.sqrt(DTYPES[dtype] / 1e3).astype(dtype)
    labels = np.array([1, 2])[: len(x)]
    found = LOSSES[loss]
    each, slope = found.each(np, x, labels), found.slope(x, labels)
    assert np.isfinite(each).all() and np.isfinite(slope).all() and slope.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "clipped"])
def test_optimizers_of_extreme_gradients(name, dtype):
    made = {"sgd": optim.sgd(0.1), "momentum": optim.sgd(0.1, momentum=0.9), "adam": optim.adam()}
    made["clipped"] = optim.clip_by_global_norm(optim.adam(), 1.0)
    optimizer = made[name]
    params = {"w": np.ones(4, dtype)}
    state = optimizer.init(params)
    for size in (0.0, 1e-30, 1e15, 0.0):
        params, state = optimizer.update(params, {"w": np.full(4, size, dtype)}, state)
        assert np.isfinite(params["w"]).all() and params["w"].dtype == dtype


def small(classes=3, train=2, validation=2):
    """Images of constant grey, ``train`` and ``validation`` of them, all of class 0."""
    x = np.full((train + validation, 1, 8, 8), 0.5)
    y = np.zeros(train + validation, int)
    return ac.data.Dataset(x[:train], y[:train], x[train:], y[train:], tuple("abc"[:classes]))


@pytest.mark.parametrize("train", [1, 2])
@pytest.mark.parametrize("nn", INTERPRETATIONS, ids=str)
def test_training_on_constant_images_of_one_class(nn, train):
    model = ac.models.tiny_cnn(nn=INTERPRETATIONS[nn])
    _, params, state = model.init(3, (1, 8, 8))
    data = small(train=train, validation=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # it says that nothing is learned
        run = ac.train(params, data, model, state, epochs=2, batch_size=2)
    for values in run.history.values():
        assert np.isfinite(values).all()
    assert np.isfinite(ac.evaluate(model, run.params, run.state, data.x_val, data.y_val)).all()


@pytest.mark.slow
def test_what_is_shown_of_a_dead_network():
    model = ac.models.tiny_cnn(nn=reference)
    _, params, state = model.init(3, (1, 8, 8))
    params = tree_map(np.zeros_like, params)
    data = small()
    assert len(ac.predict(model, params, state, data.x_val)) == 2
    taps = ac.trace(model, params, state, data.x_val[:1])
    from autocnn.plots.predict import activations
    from autocnn.plots.training import confusion, curves

    one = {name: a[0] for name, a in taps.items()}
    figures = [activations(one, data.classes), confusion(np.zeros((3, 3), int), data.classes)]
    history = {"epoch": [0], "train_loss": [1.0], "train_acc": [0.0], "val_loss": [1.0]}
    figures.append(curves(history | {"val_acc": [0.0]}))
    for figure in figures:
        figure.savefig(io.BytesIO())


def test_the_estimator(tmp_path):
    """Every way through it, with labels that are words and images of bytes."""
    pytest.importorskip("sklearn")
    from sklearn.model_selection import GridSearchCV

    from autocnn.sklearn import CNNClassifier

    x = np.zeros((24, 8, 8), np.uint8)
    y = np.array(["bar", "dot"])[np.arange(24) % 2]
    x[y == "bar", :, 2:4], x[y == "dot", 5:7, 5:7] = 255, 255
    one = CNNClassifier(epochs=1, random_state=0, early_stopping=True, class_weight="balanced")
    one.fit(x, y, sample_weight=np.ones(24))
    assert set(one.predict(x)) <= {"bar", "dot"} and one.score(x, y) >= 0.5
    np.testing.assert_allclose(one.predict_proba(x).sum(axis=1), 1, rtol=1e-6)
    one.save(tmp_path / "c.safetensors")
    two = CNNClassifier.load(tmp_path / "c.safetensors")
    assert np.array_equal(one.predict_proba(x), two.predict_proba(x))
    two.set_params(class_weight=None).partial_fit(x, y)
    search = GridSearchCV(
        CNNClassifier("tiny-mlp", epochs=1, random_state=0), {"rate": [0.01, 0.02]}, cv=2
    )
    assert search.fit(x.reshape(24, 64), y).best_params_["rate"] in (0.01, 0.02)


def test_the_estimator_as_onnx(tmp_path):
    pytest.importorskip("sklearn")
    pytest.importorskip("onnx")
    from autocnn.sklearn import CNNClassifier

    x, y = np.random.default_rng(0).random((8, 8, 8)), np.arange(8) % 2
    one = CNNClassifier(random_state=0).partial_fit(x, y, [0, 1])
    with warnings.catch_warnings():
        # of onnx itself, about Python's own modules
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="onnx|google")
        one.to_onnx(tmp_path / "c.onnx")
    assert (tmp_path / "c.onnx").stat().st_size > 1000
