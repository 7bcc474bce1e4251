"""Divergence: a run whose numbers stop being finite ends, and names the step and the first layer
or leaf that is to blame.
"""

import re

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn import optim
from autocnn.inspection import diagnose
from autocnn.training import Diverged, mpi
from autocnn.trees import leaves, tree_map


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def bad(nn, value=np.nan, at=0.0):
    """A layer that gives ``value`` for one number of its output when its input's sum is beyond
    ``at``; else its input.
    """

    def f(x):
        return np.where((np.arange(x.size).reshape(x.shape) == 0) & (x.sum() > at), value, 1) * x

    def forward(params, state, x, train, key):
        y = f(x)
        return (y, state, lambda dy: (dy, {})) if nn is reference else (y, state)

    way = {"backprop": forward} if nn is reference else {"forward": forward}
    return nn.Layer("bad", {}, lambda key, shape, dtype="float64": (shape, {}, {}), **way)


def network(nn, where):
    """Conv, a residual block, dense, with a bad layer at one of several places."""
    main = nn.serial(nn.conv(2, 1), bad(nn)) if where == "2.main.1" else nn.conv(2, 1)
    if where == "1":
        return nn.serial(nn.conv(2, 3), bad(nn), nn.relu(), nn.flatten(), nn.dense(3))
    return nn.serial(
        nn.conv(2, 3), nn.relu(), nn.residual(main, bad(nn)), nn.flatten(), nn.dense(3)
    )


@pytest.mark.parametrize("where", ["1", "2.main.1", "2.shortcut"])
@pytest.mark.parametrize("nn", [ac.layers, reference], ids=["autograd", "reference"])
def test_the_first_layer_is_named(nn, where, generator):
    model = network(nn, where)
    _, params, state = model.init(0, (1, 8, 8))
    x = generator.random((3, 1, 8, 8)) + 10
    params = tree_map(np.abs, params)  # so that all sums are above 0
    assert (
        diagnose.explain_loss(model, params, state, x, True)
        == f"layer {where} (bad) is the first whose output is not finite"
    )
    assert diagnose.explain_evaluation(model, params, state, np.concatenate([x * 0, x]), 3) == (
        f"layer {where} (bad) is the first whose output is not finite"
    )


def test_the_sum_of_a_residual_can_be_the_first(nn):
    """Two finite paths whose sum is not."""
    model = nn.serial(nn.residual(nn.identity()), nn.flatten(), nn.dense(2))
    _, params, state = model.init(0, (1, 2, 2), "float32")
    x = np.full((1, 1, 2, 2), 3e38, "float32")
    assert diagnose.explain_loss(model, params, state, x, True).startswith(
        "layer 0 (residual) is the first"
    )


def test_the_walk_draws_the_masks_of_the_failed_step(nn, generator):
    """Dropout makes the difference: with the step's own key the large number is dropped, with
    others it is not.
    """
    model = nn.serial(
        nn.residual(nn.serial(nn.dropout(0.5), nn.dropout(0.5))), nn.flatten(), nn.dense(2)
    )
    _, params, state = model.init(0, (1, 8, 8), "float32")
    x = np.zeros((1, 1, 8, 8), "float32")
    x[0, 0, 3, 3] = 1.5e38
    for key in range(12):
        y = model.parts[0].forward(params[0], state[0], x, True, ac.keys.child(key, 0))[0]
        said = diagnose.explain_loss(model, params, state, x, True, key)
        assert np.isfinite(y).all() != ("is the first whose output is not finite" in said)


def test_a_loss_alone_can_overflow(nn):
    model = nn.serial(nn.flatten(), nn.dense(2))
    _, params, state = model.init(0, (1, 1, 1), "float32")
    params[1]["w"][:] = [[3e38, -3e38]]
    x = np.ones((1, 1, 1, 1), "float32")
    assert not np.isfinite(model.loss_and_grad(params, state, (x, np.array([1])))[0])
    assert diagnose.explain_loss(model, params, state, x, True) == (
        "every layer's output is finite, but the loss of logits as large as 3e+38 is not"
    )


def test_a_model_without_layers(tiny):
    _, params, state, (x, _) = tiny

    class Own:
        def apply(self, params, state, x, train=False, key=None):
            return np.full((len(x), 3), np.nan), state

    assert (
        diagnose.explain_loss(Own(), params, state, x, True)
        == "the network is the first whose output is not finite"
    )


def test_a_model_shared_among_ranks_is_made_of_layers(tiny):
    model, params, state, (x, _) = tiny
    shared = mpi.Sharded(model, mpi.World(None, 0, 1))
    explained = diagnose.explain_loss(shared, params, state, x * np.inf, True)
    assert explained == "layer 0 (conv) is the first whose output is not finite"


def test_values_and_not_sentences_say_where_it_began(tiny):
    model, params, state, (x, _) = tiny
    layer, logits = diagnose.first_nonfinite_layer(model, params, state, x)
    assert layer is None
    np.testing.assert_array_equal(logits, model.apply(params, state, x)[0])
    assert diagnose.first_nonfinite_leaf(params) is None
    bad = tree_map(np.copy, params)
    bad[0]["b"][1] = np.inf
    bad[4]["b"][0] = np.nan
    assert diagnose.first_nonfinite_leaf(bad) == ("0.b", np.inf)
    path, value = diagnose.first_nonfinite_leaf(bad, last=True)
    assert path == "4.b" and np.isnan(value)
    # A finite first batch, and then one whose logits overflow: both are looked at.
    images = np.concatenate([x, x * np.inf])
    said = diagnose.explain_evaluation(model, params, state, images, batch_size=len(x))
    assert said == "layer 0 (conv) is the first whose output is not finite"
    assert "logits as large as" in diagnose.explain_evaluation(model, params, state, x)


def told(run):
    with pytest.raises(Diverged) as caught:
        run()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("; lower the rate or clip gradients")
    return str(caught.value)


def test_training_names_step_and_layer(patterns, nn):
    """The third of ten batches of an epoch has one huge number, in the second epoch."""
    model = ac.models.tiny_cnn(nn=nn)
    _, params, _ = model.init(3, (1, 8, 8), "float32")
    calls = []

    def spoil(key, x):
        calls.append(key)
        return (
            x
            if len(calls) < 13
            else np.where(np.arange(64).reshape(8, 8) == 9, np.float32(3e38), x)
        )

    words = told(lambda: ac.train(params, patterns, model=model, epochs=3, augment=spoil))
    assert re.match(
        r"the loss became (nan|inf) at epoch 2, step 13: "
        r"layer 0 \(conv\) is the first whose output",
        words,
    )


@pytest.mark.parametrize("start", [10, 13])
def test_a_run_that_goes_on_counts_on(patterns, start):
    model, moments, calls = ac.models.tiny_cnn(), [], []
    _, params, _ = model.init(3, (1, 8, 8))
    ac.train(
        params, patterns, model=model, epochs=2, on_step=moments.append, on_epoch=moments.append
    )
    moment = next(m for m in moments if m.step == start)

    def spoil(key, x):
        calls.append(key)
        return x * (1e200 if len(calls) == 3 else 1)

    class Cubed:
        name, parts = model.name, model.parts
        init, apply, forward = staticmethod(model.init), model.apply, staticmethod(model.forward)

        def loss_and_grad(self, params, state, batch, key):
            loss, grads, state = model.loss_and_grad(params, state, batch, key)
            return loss**3, grads, state

    words = told(
        lambda: ac.train(params, patterns, model=Cubed(), epochs=3, augment=spoil, start=moment)
    )
    assert f"at epoch 2, step {start + 3}: every layer's output is finite" in words


def test_parameters_that_overflow_by_the_update(patterns, nn):
    model = ac.models.tiny_cnn(nn=nn)
    _, params, _ = model.init(3, (1, 8, 8), "float32")
    huge = optim.sgd(lambda step: 1e39 if step == 4 else 0.1)
    words = told(lambda: ac.train(params, patterns, model=model, optimizer=huge, epochs=1))
    assert re.match(
        r"at epoch 1, step 5, params leaf '0.w' became -?inf: "
        r"its gradient was finite, the update overflowed",
        words,
    )
    last = optim.sgd(
        lambda step: 1e39 if step == 9 else 0.1
    )  # the last step of the epoch: its metrics come next
    assert "at epoch 1, step 10, params leaf" in told(
        lambda: ac.train(params, patterns, model=model, optimizer=last, epochs=1)
    )


class Spoiled:
    """A model whose gradient of one leaf is not finite from a given call on."""

    def __init__(self, model, path, value, call):
        self.model, self.path, self.value, self.left = model, path, value, call
        self.name, self.parts, self.init, self.apply = (
            model.name,
            model.parts,
            model.init,
            model.apply,
        )

    def loss_and_grad(self, params, state, batch, key):
        self.left -= 1
        loss, grads, state = self.model.loss_and_grad(params, state, batch, key)
        if self.left <= 0:
            for path, leaf in leaves(grads):
                if path in self.path:
                    leaf.flat[0] = self.value
        return loss, grads, state


@pytest.mark.parametrize("clipped", [False, True])
def test_gradients_that_are_not_finite(tiny, patterns, clipped):
    """Named is the leaf nearest to the loss, where the way back begins; clipping notices at
    once, the network a step later.
    """
    model = Spoiled(tiny[0], ("0.w", "4.w"), np.nan, 7)
    optimizer = optim.clip_by_global_norm(optim.sgd(0.1), 5.0) if clipped else optim.sgd(0.1)
    words = told(lambda: ac.train(tiny[1], patterns, model=model, optimizer=optimizer, epochs=2))
    assert words.startswith(
        "at epoch 1, step 7, the gradient of params leaf '4.w' became nan, "
        "the first in the backward"
    )


@pytest.mark.filterwarnings("ignore::autocnn.data.scale.UnscaledImages")
def test_state_that_overflows(patterns, nn):
    model = nn.serial(nn.batch_norm(), nn.flatten(), nn.dense(3))
    _, params, state = model.init(3, (1, 8, 8), "float32")
    data = patterns._replace(x_train=patterns.x_train.astype("float32") * np.float32(1e19))
    words = told(
        lambda: ac.train(params, data, model=model, state=state, epochs=1, metric_subset=1, seed=1)
    )
    assert re.search(r"epoch \d, step \d+", words) and (
        "state leaf '0." in words or "layer 0 (batch_norm)" in words
    )


def test_metrics_that_are_not_finite(tiny, patterns):
    """The training goes well, the validation images make the logits overflow."""
    data = patterns._replace(x_val=patterns.x_val * 1e308)
    params = tree_map(lambda p: p + 10.0, tiny[1])
    words = told(lambda: ac.train(params, data, epochs=1))
    assert re.match(
        r"the validation loss became (nan|inf) at epoch 0, step 0: layer 0 \(conv\) is the first",
        words,
    )


def test_bad_input_is_not_divergence(tiny, patterns):
    for change in (
        dict(augment=lambda key, x: x * np.nan),
        dict(augment=lambda key, x: x[:, :, 1:]),
    ):
        with pytest.raises(ValueError) as caught:
            ac.train(tiny[1], patterns, epochs=1, **change)
        assert not isinstance(caught.value, Diverged)


def test_the_estimator_tells(patterns):
    pytest.importorskip("sklearn")
    from autocnn.sklearn import CNNClassifier

    x, y = patterns.x_train[:40], np.arange(40) % 3
    for fit in ("fit", "partial_fit"):
        options = {} if fit == "fit" else {"classes": [0, 1, 2]}
        for optimizer in (optim.sgd(1e200), optim.sgd(lambda step: 1e309 if step == 1 else 0.1)):
            estimator = CNNClassifier(batch_size=20, epochs=3, optimizer=optimizer, random_state=0)
            with pytest.raises(
                Diverged, match=r"step \d.*(layer \d \(\w+\) is the first|params leaf)"
            ):
                getattr(estimator, fit)(x, y, **options)
