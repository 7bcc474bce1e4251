"""Runs that have learned nothing say so and why; runs that learn, however slowly, say nothing."""

import functools
import pickle
import warnings

import numpy as np
import pytest

import autocnn as ac
from autocnn.data import Dataset
from autocnn.inspection.diagnose import dead_units
from autocnn.training import ConvergenceWarning, Diagnosis
from autocnn.training.guessing import guess

SHAPE = (1, 8, 8)
NOISE = np.random.default_rng(0)


def train(data, model=None, rate=0.12, epochs=3, key=3, optimizer=ac.optim.sgd, **options):
    """Train with warnings as errors turned into ``Run.diagnosis``."""
    model = ac.models.tiny_cnn(classes=len(data.classes), nn=ac.fast) if model is None else model
    _, params, state = model.init(key, data.x_train.shape[1:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = ac.train(params, data, model, state, optimizer(rate), epochs, **options)
    assert [str(w.message) for w in caught] == [str(run.diagnosis)] * (run.diagnosis is not None)
    assert all(w.category is ConvergenceWarning and w.filename == __file__ for w in caught)
    return run


def tanh_network(nn=ac.fast):
    return nn.serial(nn.flatten(), nn.dense(8), nn.tanh(), nn.dense(3))


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize(
    "model, rate, optimizer",
    [
        (None, 3.0, ac.optim.sgd),
        (None, 10.0, ac.optim.sgd),
        (None, 1.0, ac.optim.adam),
        (ac.models.tiny_mlp(nn=ac.fast), 100.0, ac.optim.sgd),
        (None, 30.0, lambda rate: ac.optim.clip_by_global_norm(ac.optim.sgd(rate), 5)),
        (None, 3.0, lambda rate: ac.optim.sgd(ac.optim.cosine(rate, 30, warmup=3), momentum=0.9)),
    ],
)
def test_dead_units_and_a_rate_too_high_are_named(model, rate, optimizer, epochs, patterns):
    run = train(patterns, model, rate, epochs, optimizer=optimizer)
    text = str(run.diagnosis)
    assert f"no better than guessing after {epochs} epoch" in text and "1.099 and 33.3%" in text
    assert "lower the rate, which is " in text and f"{rate:g} here" in text
    assert "the output is the same for every image" in text
    (layer,) = run.diagnosis.dead
    assert layer.layer.endswith("(relu)") and len(layer.dead) == layer.units
    assert f"{layer.units} of {layer.units} in {layer.layer}" in text


@pytest.mark.parametrize("epochs", [1, 3])
@pytest.mark.parametrize("rate", [1e-4, 1e-3, 0.01, 0.05, 0.12, 0.5])
def test_runs_that_learn_slowly_or_for_one_epoch_are_silent(rate, epochs, patterns):
    assert train(patterns, rate=rate, epochs=epochs).diagnosis is None


def test_the_chapters_runs_are_silent(patterns):
    assert train(patterns, epochs=12).diagnosis is None
    mlp = ac.models.tiny_mlp(nn=ac.fast)
    assert train(patterns, mlp, epochs=12, key=5).diagnosis is None


def test_a_rate_too_low_to_move_anything(patterns):
    run = train(patterns, rate=1e-6, epochs=8)
    assert "hardly moved" in str(run.diagnosis)
    assert str(run.diagnosis).endswith("raise the rate, which is 1e-06 here and 0.12 by default")


def test_a_network_without_relu_can_explode(patterns):
    run = train(patterns, tanh_network(), 1000.0)
    assert "the loss rose from" in str(run.diagnosis) and not run.diagnosis.dead
    assert "lower the rate, which is 1000 here" in str(run.diagnosis)


def test_a_run_that_learned_and_then_collapsed(patterns):
    rate = ac.optim.piecewise_constant({0: 0.12, 80: 50.0})
    run = train(patterns, rate=rate, epochs=12)
    assert "after epoch 8 and collapsed then" in str(run.diagnosis)
    assert run.history["val_acc"][8] > 0.9
    best = train(patterns, rate=rate, epochs=12, restore="best")
    assert best.diagnosis is None and best.epoch < 10


def test_early_stopping_at_the_parameters_before_training_is_judged_by_the_last(patterns):
    run = train(patterns, rate=10.0, epochs=9, patience=2, restore="best")
    assert run.epoch == 0 and "no better than guessing" in str(run.diagnosis)


def shuffled(data, seed):
    generator = np.random.default_rng(seed)
    return data._replace(
        y_train=generator.permutation(data.y_train), y_val=generator.permutation(data.y_val)
    )


def test_labels_that_carry_no_information():
    data = shuffled(ac.data.patterns(train_per_class=60, val_per_class=80), 0)
    run = train(data, ac.models.tiny_mlp(hidden=40, nn=ac.fast), epochs=150, rate=0.3)
    assert run.history["train_acc"][-1] > 0.8
    assert "% of the training images are right after 150 epochs" in str(run.diagnosis)
    assert "check that the labels belong to the images" in str(run.diagnosis)
    assert run.diagnosis.advice == "labels"


def test_overfitting_a_few_images_of_a_real_task_is_silent(patterns):
    few = patterns._replace(x_train=patterns.x_train[::30], y_train=patterns.y_train[::30])
    run = train(few, ac.models.tiny_mlp(nn=ac.fast), epochs=60)
    assert run.diagnosis is None
    assert run.history["train_acc"][-1] - run.history["val_acc"][-1] > 0.1


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("epochs", [1, 10])
def test_tiny_data_are_silent(n, epochs, patterns):
    few = Dataset(
        patterns.x_train[:n], patterns.y_train[:n], patterns.x_val[:2], patterns.y_val[:2],
        patterns.classes,
    )  # fmt: skip
    assert train(few, epochs=epochs).diagnosis is None


@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}])
@pytest.mark.parametrize("epochs", [1, 3, 15])
@pytest.mark.parametrize("rate", [0.01, 0.12])
def test_imbalanced_classes_are_silent(rate, epochs, options, patterns):
    rare = (patterns.y_train != 0) | (np.arange(len(patterns.y_train)) % 12 == 0)
    data = Dataset(
        patterns.x_train[rare], (patterns.y_train[rare] == 0).astype(int), patterns.x_val,
        (patterns.y_val == 0).astype(int), ("other", "rare"),
    )  # fmt: skip
    assert 0 < data.y_train.mean() < 0.1
    assert train(data, rate=rate, epochs=epochs, **options).diagnosis is None


def regression(data, targets):
    return data._replace(
        y_train=targets(data.x_train), y_val=targets(data.x_val), classes=("value",)
    )


def test_regression():
    model = ac.models.tiny_cnn(classes=1, nn=ac.fast)
    data = regression(ac.data.patterns(), lambda x: x.reshape(len(x), -1).mean(1, keepdims=True))
    options = dict(loss=ac.losses.mse, optimizer=ac.optim.adam)
    for epochs in (1, 5):
        assert train(data, model, 1e-3, epochs, **options).diagnosis is None
    dead = train(data, model, 3.0, 5, **options).diagnosis
    assert "no better than predicting the mean target" in str(dead) and dead.dead


def test_batch_norm_whose_running_statistics_lag_is_silent(patterns):
    def build(nn):
        words = nn.conv(4, 3), nn.batch_norm(momentum=0.001), nn.relu(), nn.flatten(), nn.dense(3)
        return nn.serial(*words)

    run = train(patterns, build(ac.fast), rate=0.05, epochs=3)
    assert run.diagnosis is None


def test_without_validation_images(patterns):
    _, params, _ = ac.models.tiny_cnn().init(3, SHAPE)
    pair = patterns.x_train, patterns.y_train
    assert ac.train(params, pair, epochs=2).diagnosis is None
    with pytest.warns(ConvergenceWarning, match="lower the rate"):
        ac.train(params, pair, epochs=2, optimizer=ac.optim.sgd(10.0))


def test_equal_images_are_no_constant_output(patterns):
    same = patterns._replace(x_train=np.ones_like(patterns.x_train))
    assert train(same, epochs=1).diagnosis is None


def test_a_loss_and_a_model_of_ones_own_are_taken(patterns):
    own = ac.losses.cross_entropy._replace(
        name="own",
        each=lambda xp, y, t: ac.losses.cross_entropy.each(xp, y[:, :3] + 0 * y[:, 2:], t),
    )
    assert train(patterns, epochs=2, loss=own).diagnosis is None

    class Own:
        inner = ac.models.tiny_cnn(nn=ac.fast)

        def __init__(self):
            for name in ("init", "apply", "vjp", "loss_and_grad"):
                setattr(self, name, getattr(self.inner, name))

    assert "the output is the same" in str(train(patterns, Own(), 10.0).diagnosis)


def test_an_optimizer_of_ones_own_has_no_rate_to_name(patterns):
    sgd = ac.optim.sgd(10.0)

    def own(rate):
        return ac.optim.Optimizer(sgd.init, lambda *args: sgd.update(*args))

    found = train(patterns, optimizer=own).diagnosis
    assert found.rate is None and str(found).endswith("lower the rate")


def test_the_text_compares_with_another_rate():
    found = Diagnosis("no better than guessing", ("a fact",), rate=0.5, usual_rate=(0.1, "usual"))
    assert found.text((0.002, "in the recipe"), "--rate") == (
        "no better than guessing; a fact; lower the rate (--rate), which is 0.5 here and 0.002 in "
        "the recipe"
    )
    assert "try another rate, which is 0.5 here and 0.1 usual; train longer" in str(found)
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("counts", [(1, 1, 1), (90, 9, 1), (3, 0, 7)])
def test_guessing_reaches_the_entropy_of_the_labels(counts, smoothing):
    y = np.repeat(np.arange(3), counts)
    p = np.array(counts) / sum(counts)
    loss = ac.losses.cross_entropy
    if smoothing:
        loss = ac.losses.smoothed_cross_entropy(smoothing)
    q = (1 - smoothing) * p + smoothing / 3
    entropy = -sum(v * np.log(v) for v in q if v)
    least, share = guess(loss, y)
    np.testing.assert_allclose((least, share), (entropy, p.max()), rtol=1e-12)


def test_guessing_of_weighted_labels_and_of_numbers():
    y, w = np.array([0, 1, 1, 1]), np.array([3.0, 1, 1, 1])
    np.testing.assert_allclose(guess(ac.losses.cross_entropy, y, w), (np.log(2), 0.5))
    t = NOISE.normal(size=(50, 2))
    np.testing.assert_allclose(guess(ac.losses.mse, t)[0], t.var(axis=0).mean())


def test_a_unit_can_be_dead_before_training_and_then_nothing_moves_it(patterns):
    model = ac.models.tiny_cnn(kernel=2)
    _, params, state = model.init(3, SHAPE)
    (found,) = dead_units(model, params, state, patterns.x_train, batch_size=50)
    assert str(found) == "layer 1 (relu): 1 of 3 units are 0 for every image"
    run = ac.train(params, patterns, epochs=2)
    assert run.diagnosis is None
    assert dead_units(model, run.params, run.state, patterns.x_train) == [found]
    assert np.array_equal(run.params[0]["w"][1], params[0]["w"][1]) and found.dead == (1,)


def test_dead_units_are_looked_for_in_every_image_and_layer(patterns):
    nn = ac.layers
    model = nn.serial(nn.residual(nn.relu()), nn.relu6(), nn.flatten(), nn.dense(3))
    x = np.full((5, 2, 2, 2), -1.0)
    x[3, 1, 0, 1] = 1.0
    _, params, state = model.init(0, (2, 2, 2))
    found = dead_units(model, params, state, x, batch_size=2)
    assert [unit.dead for unit in found] == [(0,), (0,)]
    assert [unit.layer for unit in found] == ["layer 0.main (relu)", "layer 1 (relu6)"]
    assert dead_units(functools.partial(model.apply), params, state, x) == []
