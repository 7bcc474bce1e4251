"""Losses: each gradient by hand agrees with autograd's, with the complex step and with torch."""

import pickle

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn import ops
from autocnn.losses import cross_entropy, mse, smoothed_cross_entropy
from autocnn.trees import leaves
from reference.loss import loss_and_gradient

TARGETS = {
    "cross_entropy": (cross_entropy, np.array([0, 2, 1, 2])),
    "smoothed by 0.1": (smoothed_cross_entropy(0.1), np.array([0, 2, 1, 2])),
    "smoothed by 0.9": (smoothed_cross_entropy(0.9), np.array([1, 1, 0, 2])),
    "mse": (mse, np.array([[0.5, -1, 2], [1, 0, 0], [3, 2, 1], [0, 0, 0.25]])),
    "mse of labels": (mse, np.array([0, 2, 1, 2])),
}


def network(nn):
    return nn.serial(nn.conv(3, 3), nn.sigmoid(), nn.flatten(), nn.dense(3))


@pytest.mark.parametrize("weights", [None, np.array([1.0, 0, 2, 0.5])], ids=["mean", "weighted"])
@pytest.mark.parametrize("name", TARGETS)
def test_all_interpretations_agree(name, weights):
    loss, targets = TARGETS[name]
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 6))
    batch = (x, targets) if weights is None else (x, targets, weights)
    _, params, state = network(reference).init(1, (2, 5, 6))
    found = [
        network(nn).loss_and_grad(params, state, batch, loss=loss)[:2]
        for nn in (ac.layers, reference, ac.fast)
    ]
    for value, grads in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-13)
        for (path, a), (_, b) in zip(leaves(grads), leaves(found[0][1]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14, err_msg=path)


@pytest.mark.parametrize("name", TARGETS)
def test_the_slope_is_the_complex_step_s(name):
    loss, targets = TARGETS[name]
    y = np.random.default_rng(1).normal(size=(4, 3))
    slope = loss.slope(y, targets)
    for index in np.ndindex(y.shape):
        step = np.zeros(y.shape, complex)
        step[index] = 1e-30j
        expected = loss.each(np, y + step, targets).sum().imag / 1e-30
        assert slope[index] == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("name", TARGETS)
def test_torch_computes_the_same(name):
    torch = pytest.importorskip("torch")
    loss, targets = TARGETS[name]
    y = np.random.default_rng(2).normal(size=(4, 3))
    theirs = torch.tensor(y, requires_grad=True)
    if name == "mse":
        value = torch.nn.functional.mse_loss(theirs, torch.tensor(targets))
    elif name == "mse of labels":
        value = torch.nn.functional.mse_loss(theirs, torch.eye(3, dtype=theirs.dtype)[targets])
    else:
        value = torch.nn.functional.cross_entropy(
            theirs,
            torch.tensor(targets),
            label_smoothing=float(name.partition(" by ")[2] or 0),
        )
    value.backward()
    found, slope = loss_and_gradient(loss, y, targets)
    assert found == pytest.approx(value.item(), rel=1e-14)
    np.testing.assert_allclose(slope, theirs.grad.numpy(), rtol=1e-12, atol=1e-16)


def test_float32_stays_float32(nn):
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 6)).astype("float32")
    _, params, state = network(nn).init(1, (2, 5, 6), "float32")
    for loss, targets in TARGETS.values():
        value, grads, _ = network(nn).loss_and_grad(params, state, (x, targets), loss=loss)
        assert {value.dtype, *(leaf.dtype for _, leaf in leaves(grads))} == {np.dtype("float32")}


def test_label_smoothing(patterns):
    """It is a value like any other loss: it pickles, 0 is none, and trained logits stay finite."""
    assert smoothed_cross_entropy(0) is cross_entropy
    loss = pickle.loads(pickle.dumps(smoothed_cross_entropy(0.25)))
    assert repr(loss) == "Loss(smoothed_cross_entropy(0.25))"
    y, labels = np.random.default_rng(3).normal(size=(4, 3)), np.array([0, 2, 1, 2])
    expected = ops.cross_entropy(y, labels, label_smoothing=0.25)
    assert loss_and_gradient(loss, y, labels)[0] == pytest.approx(expected, rel=1e-14)
    # The gradient is 0 where the softmax equals the smoothed labels.
    best = np.log(np.eye(3)[[1]] * 0.75 + 0.25 / 3)
    np.testing.assert_allclose(loss.slope(best, np.array([1])), 0, atol=1e-15)
    model = ac.models.tiny_cnn(nn=ac.fast)
    _, params, _ = model.init(3, (1, 8, 8))
    run = ac.train(params, patterns, model=model, epochs=4, loss=loss)
    assert run.history["val_loss"][-1] < run.history["val_loss"][0]
    for wrong in (1, -0.1, float("nan"), "0.1", True):
        with pytest.raises(ValueError, match="label smoothing is a share of the target"):
            smoothed_cross_entropy(wrong)


def test_training_to_targets(patterns):
    """Regression to the images' mean brightness, and classes by squared error."""
    target = [x.mean(axis=(1, 2, 3))[:, None] for x in (patterns.x_train, patterns.x_val)]
    data = patterns._replace(y_train=target[0], y_val=target[1])
    model = ac.models.tiny_cnn(classes=1, nn=ac.fast)
    _, params, _ = model.init(3, (1, 8, 8))
    options = dict(model=model, epochs=5, loss=mse, optimizer=ac.optim.adam(0.01))
    run = ac.train(params, data, **options)
    losses = run.history["val_loss"]
    assert losses[-1] < 0.2 * losses[0]
    assert np.isnan(run.history["val_acc"]).all()
    y = model.apply(run.params, run.state, data.x_val)[0]
    assert losses[-1] == pytest.approx(((y - target[1]) ** 2).mean(), rel=1e-6)
    best = ac.train(params, data, **options, restore="best", monitor="val_loss")
    assert best.epoch == int(np.argmin(best.history["val_loss"]))

    model = ac.models.tiny_cnn()
    run = ac.train(model.init(3, (1, 8, 8))[1], patterns, model=model, epochs=10, loss=mse)
    assert run.history["val_acc"][-1] > 0.9


def test_bad_targets(patterns, tiny):
    model, params, state, (x, labels) = tiny
    for targets, says in (
        (labels.astype(float), r"mse needs targets of the outputs' shape \(18, 3\)"),
        (np.full((18, 3), np.nan), "finite"),
        (labels + 1, "labels must lie in 0..2"),
        (["a"] * 18, "mse needs targets"),
    ):
        with pytest.raises(ValueError, match=says):
            model.loss_and_grad(params, state, (x, targets), loss=mse)
    with pytest.raises(ValueError, match="loss is a Loss, such as cross_entropy or mse; got 'mse'"):
        model.loss_and_grad(params, state, (x, labels), loss="mse")
    data = patterns._replace(y_train=np.zeros((180, 3)), y_val=np.zeros((90, 3)))
    for options, says in (
        (dict(patience=3), "monitor='val_loss'"),
        (dict(restore="best"), "monitor='val_loss'"),
        (dict(class_weight="balanced"), "class_weight needs integer labels"),
    ):
        with pytest.raises(ValueError, match=says):
            ac.train(params, data, model=model, loss=mse, epochs=1, **options)


def test_mse_loss_averages_over_all_entries():
    a, b = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    assert ops.mse_loss(a, b) == ((a - b) ** 2).mean() == ops.mse_loss(a, b, "sum") / 6
    np.testing.assert_array_equal(ops.mse_loss(a, b, "none"), (a - b) ** 2)
