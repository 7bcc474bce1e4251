"""What ``train`` offers beyond the chapter: augmentation, metrics on a subset, moments to go on
from, and divergence.
"""

import numpy as np
import pytest

import autocnn as ac
from autocnn import optim
from autocnn.training import Diverged, TrainState, predict
from autocnn.trees import leaves

# These runs take high rates and labels that say nothing, so that every step moves much.
pytestmark = pytest.mark.filterwarnings("ignore::autocnn.training.ConvergenceWarning")


@pytest.fixture
def setting(patterns):
    """Arguments of a short run in which everything is random: dropout, shifts, shuffling; 20
    steps of 5 epochs.
    """
    model = ac.models.tiny_cnn(dropout=0.2)
    _, params, state = model.init((0, 1), (1, 8, 8))
    data = patterns._replace(x_train=patterns.x_train[:34], y_train=np.arange(34) % 3)
    return dict(
        params=params,
        data=data,
        model=model,
        state=state,
        optimizer=optim.adam(optim.cosine(0.01, 20, 3), weight_decay=0.1),
        epochs=5,
        batch_size=10,
        seed=2,
        augment=ac.augment.shifts(1),
        metric_subset=7,
    )


def same(run, other):
    assert run.history == other.history
    for part in ("params", "opt_state"):
        for (_, a), (_, b) in zip(
            leaves(getattr(run, part)), leaves(getattr(other, part)), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    return True


def test_a_run_goes_on_from_any_step_to_the_same_bits(setting):
    after_steps, after_epochs = [], []
    whole = ac.train(**setting, on_step=after_steps.append, on_epoch=after_epochs.append)
    assert [m.step for m in after_steps] == list(range(1, 21))
    assert [m.step for m in after_epochs] == [0, 4, 8, 12, 16, 20]
    for moment in [*after_steps[::3], *after_steps[3::4], *after_epochs]:
        assert same(ac.train(**setting, start=moment), whole)


def test_moments_are_not_changed_later(setting):
    seen = []
    ac.train(
        **setting,
        on_step=lambda m: seen.append(
            (m, [leaf.copy() for _, leaf in leaves(m.params)], str(m.history))
        ),
    )
    for moment, copies, history in seen:
        assert isinstance(moment, TrainState)
        assert str(moment.history) == history
        for (_, leaf), copy in zip(leaves(moment.params), copies, strict=True):
            np.testing.assert_array_equal(leaf, copy)


def test_augmentation_sees_every_batch_once_with_a_key_of_its_own(setting):
    calls = []

    def note(key, x):
        calls.append((key, len(x)))
        return x

    plain = ac.train(**setting | dict(augment=None))
    noted = ac.train(**setting | dict(augment=note))
    assert same(plain, noted)
    assert [n for _, n in calls] == [10, 10, 10, 4] * 5
    assert len({key for key, _ in calls}) == 20
    assert not same_params(ac.train(**setting), plain)


def test_no_two_steps_share_a_random_stream(setting):
    """The keys of dropout and augmentation, of the permutations and of a sample of initial
    weights all differ.
    """
    model, keys = setting["model"], []

    class Noting:
        name, parts, apply = model.name, model.parts, model.apply

        def init(self, *args):
            return model.init(*args)

        def loss_and_grad(self, params, state, batch, key):
            keys.append(key)
            return model.loss_and_grad(params, state, batch, key)

    ac.train(**setting | dict(model=Noting(), augment=lambda key, x: keys.append(key) or x))
    assert len(keys) == len({*keys}) == 40
    assert (2,) not in keys


def same_params(run, other):
    return all(
        np.array_equal(a, b)
        for (_, a), (_, b) in zip(leaves(run.params), leaves(other.params), strict=True)
    )


def test_metric_subset_is_evenly_spread(setting):
    data, model = setting["data"], setting["model"]
    run = ac.train(**setting | dict(epochs=1))
    at = [0, 4, 9, 14, 19, 24, 29]  # i * 34 // 7
    want = ac.evaluate(model, run.params, run.state, data.x_train[at], data.y_train[at])
    assert (run.history["train_loss"][-1], run.history["train_acc"][-1]) == want
    every = ac.train(**setting | dict(epochs=1, metric_subset=34))
    assert every.history == ac.train(**setting | dict(epochs=1, metric_subset=None)).history
    assert every.history != run.history


@pytest.mark.parametrize("metric_subset", [0, -1, 2.5, True])
def test_metric_subset_must_be_a_count(setting, metric_subset):
    with pytest.raises(ValueError, match="metric_subset"):
        ac.train(**setting | dict(metric_subset=metric_subset))


@pytest.mark.parametrize("rate, dtype", [(1e30, "float32"), (1e200, "float32"), (1e200, "float64")])
def test_divergence_is_told_from_bad_input(setting, rate, dtype):
    _, params, state = setting["model"].init(0, (1, 8, 8), dtype)
    changes = dict(params=params, state=state, optimizer=optim.sgd(rate))
    with np.errstate(all="ignore"), pytest.raises(Diverged, match=r"epoch 1, step \d+"):
        ac.train(**setting | changes)
    bad = setting["data"]._replace(y_train=setting["data"].y_train + 1)
    with pytest.raises(ValueError, match="labels") as caught:
        ac.train(**setting | changes | dict(data=bad))
    assert not isinstance(caught.value, Diverged)


def test_predict_gives_probabilities_in_order(tiny, patterns):
    model, params, state, _ = tiny
    probs = predict(model, params, state, patterns.x_val, batch_size=7)
    assert probs.shape == (90, 3)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(probs, predict(model, params, state, patterns.x_val), rtol=1e-12)
    _, accuracy = ac.evaluate(model, params, state, patterns.x_val, patterns.y_val)
    assert (probs.argmax(axis=1) == patterns.y_val).mean() == accuracy


def longer(setting, **changes):
    """The setting with a rate that does not depend on the number of epochs, and too high for the
    last to be the best.
    """
    return (
        setting
        | dict(optimizer=optim.adam(optim.warmup_constant(0.1, 3), weight_decay=0.1))
        | changes
    )


def test_five_epochs_and_five_more_are_ten(setting):
    whole, first = ac.train(**longer(setting, epochs=10)), ac.train(**longer(setting))
    assert first.epoch == 5 and whole.epoch == 10
    assert same(ac.train(**longer(setting, epochs=10), start=first.train_state), whole)
    assert same(ac.train(**longer(setting), start=first.train_state), first)  # done already


def test_a_schedule_may_span_more_epochs_than_are_run(setting):
    """A cosine over five epochs, stopped after the second: the optimizer is told of all five,
    ``epochs`` of two.
    """
    assert same(
        ac.train(**setting, start=ac.train(**setting | dict(epochs=2)).train_state),
        ac.train(**setting),
    )


def best_of(history, monitor):
    values = np.array(history[monitor]) * (1 if monitor == "val_acc" else -1)
    return int(values.argmax())


@pytest.mark.parametrize("monitor", ["val_acc", "val_loss"])
def test_the_best_epoch_is_restored(setting, monitor):
    moments = []
    options = longer(setting, epochs=20, monitor=monitor)
    last = ac.train(**options, on_epoch=moments.append)
    best = ac.train(**options, restore="best")
    at = best_of(last.history, monitor)
    assert best.epoch == at < 20 and best.history == last.history
    for part in ("params", "state", "opt_state"):
        for (_, a), (_, b) in zip(
            leaves(getattr(best, part)), leaves(getattr(moments[at], part)), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    assert best.train_state.best.step == 4 * at
    assert same(
        best._replace(params=best.train_state.params, opt_state=best.train_state.opt_state), last
    )


@pytest.mark.parametrize("monitor", ["val_acc", "val_loss"])
@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping(setting, monitor, patience):
    whole = ac.train(**longer(setting, epochs=30))
    run = ac.train(**longer(setting, epochs=30, monitor=monitor, patience=patience))
    n = len(run.history["epoch"])
    assert n < 31 and {name: values[:n] for name, values in whole.history.items()} == run.history
    values = run.history[monitor]
    # At the end, and never before, patience epochs in a row are no better than the best before.
    for i in range(n):
        earlier = values[: max(0, i + 1 - patience)]
        late = values[max(0, i + 1 - patience) : i + 1]
        done = bool(earlier) and (
            max(late) <= max(earlier) if monitor == "val_acc" else min(late) >= min(earlier)
        )
        assert done == (i == n - 1)


def test_a_run_that_goes_on_stops_where_the_whole_one_does(setting):
    options, moments = longer(setting, epochs=30, patience=3, restore="best"), []
    whole = ac.train(**options, on_step=moments.append, on_epoch=moments.append)
    for moment in [*moments[::7], moments[-1], whole.train_state]:
        again = ac.train(**options, start=moment)
        assert same(again, whole) and again.epoch == whole.epoch
    further = ac.train(**options | dict(patience=6), start=whole.train_state)
    assert further.history == ac.train(**options | dict(patience=6)).history
    assert len(further.history["epoch"]) > len(whole.history["epoch"])


def test_a_best_epoch_that_is_gone_is_not_restored(setting):
    moments, options = [], longer(setting, epochs=12)
    run = ac.train(**options, on_epoch=moments.append, on_step=moments.append)
    best = best_of(run.history, "val_acc")
    with pytest.raises(
        ValueError,
        match=f"needs the parameters of epoch {best}, the best so far, which start does not hold",
    ):
        ac.train(**options | dict(epochs=13), restore="best", start=run.train_state)
    at = next(m for m in moments if m.history["epoch"][-1] == best)
    found = ac.train(**options, restore="best", start=at)  # the moment is itself the best
    assert found.epoch == best and same(
        found._replace(params=run.params, opt_state=run.opt_state), run
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(patience=0), "patience must be an int, 1 or more; got 0"),
        (dict(patience=1.5), "patience"),
        (dict(monitor="loss"), "monitor must be 'val_acc', .* or 'train_loss'; got 'loss'"),
        (dict(restore="first"), "restore must be 'last' or 'best'; got 'first'"),
    ],
)
def test_bad_words(setting, options, words):
    with pytest.raises(ValueError, match=words):
        ac.train(**setting | options)


WRONG = [
    (lambda run: run, "start=run.train_state"),
    (lambda run: run.params, "TrainState"),
    (lambda run: 3, "int"),
]


@pytest.mark.parametrize("wrong, says", WRONG)
def test_a_start_is_a_moment(setting, wrong, says):
    run = ac.train(**setting | {"epochs": 1})
    with pytest.raises(ValueError, match=says):
        ac.train(**setting, start=wrong(run))
