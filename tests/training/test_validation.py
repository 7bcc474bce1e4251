"""What a training is validated on: pairs, shares, nothing; and what then tells the best epoch."""

import numpy as np
import pytest

import autocnn as ac
from autocnn.plots.training import curves
from autocnn.training import epochs_since_best

DATA = ac.data.patterns(train_per_class=10, val_per_class=5)
MODEL = ac.models.tiny_cnn(3, nn=ac.fast)
PARAMS = MODEL.init(3, (1, 8, 8))[1]
TRAIN, VAL = DATA[:2], DATA[2:4]


def train(data, **options):
    return ac.train(PARAMS, data, MODEL, epochs=3, snapshots=(), **options)


def test_a_pair_and_a_validation_pair_are_the_data_set():
    wanted = train(DATA).history
    for data, options in (
        (TRAIN, {"validation": VAL}),
        ((TRAIN, VAL), {}),
        (DATA._replace(x_val=None, y_val=None), {"validation": list(VAL)}),
        (dict(zip(("x_train", "y_train"), TRAIN, strict=True)), {"validation": VAL}),
    ):
        assert train(data, **options).history == wanted


def test_a_share_is_held_out_class_by_class_whatever_the_seed():
    seen = []

    def look(key, x):
        seen.append(x)
        return x

    weights = np.ones(30)
    for seed in (0, 1):
        run = train(TRAIN, validation=0.3, seed=seed, augment=look, sample_weight=weights)
        assert set(run.history) == {"epoch", "train_loss", "train_acc", "val_loss", "val_acc"}
    first, second = np.concatenate(seen[:6]), np.concatenate(seen[6:])  # 2 batches, 3 epochs each
    assert len(first) == len(second) == 3 * 21
    assert {x.tobytes() for x in first} == {x.tobytes() for x in second}


def test_without_validation_images_the_history_has_no_columns_for_them():
    with_them, without = train(DATA), train(TRAIN)
    assert set(without.history) == {"epoch", "train_loss", "train_acc"}
    assert without.history["train_loss"] == with_them.history["train_loss"]
    assert len(curves(without.history).axes) == 2
    with pytest.raises(ValueError, match="no val_acc; it has epoch, train_loss"):
        epochs_since_best(without.history)


def test_the_best_epoch_is_then_told_by_the_training_images():
    run = train(TRAIN, restore="best", monitor="train_loss")
    losses = run.history["train_loss"]
    assert (
        run.epoch
        == losses.index(min(losses))
        == len(losses) - 1 - epochs_since_best(run.history, "train_loss")
    )
    for options in ({"patience": 2}, {"restore": "best"}, {"patience": 1, "monitor": "val_loss"}):
        with pytest.raises(ValueError, match=r"no validation images .* validation=0\.2"):
            train(TRAIN, **options)


def test_a_run_goes_on_with_the_same_validation_only():
    run = train(TRAIN)
    longer = ac.train(PARAMS, TRAIN, MODEL, epochs=4, snapshots=(), start=run.train_state)
    assert longer.history["epoch"] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="start is of a run without validation images"):
        train(DATA, start=run.train_state)
    with pytest.raises(ValueError, match="start is of a run with validation images"):
        train(TRAIN, start=train(DATA).train_state)


@pytest.mark.parametrize(
    ("data", "validation", "words"),
    [
        (DATA, 0.2, "hold validation images already"),
        (TRAIN, 1.5, "between 0 and 1"),
        (TRAIN, True, "between 0 and 1"),
        (TRAIN, (*VAL, 3), "3 values"),
        ((TRAIN[0], TRAIN[1][:-1]), 0.2, "30 images and 29 labels"),
    ],
)
def test_what_does_not_fit(data, validation, words):
    with pytest.raises(ValueError, match=words):
        train(data, validation=validation)
