"""``CNNClassifier``: scikit-learn's own checks, its tools, every form in which images come, and
what is refused.
"""

import functools
import pickle
import re

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_sample_weight_equivalence_on_dense_data,
    parametrize_with_checks,
)

import autocnn as ac
from autocnn.sklearn import CNNClassifier
from autocnn.sklearn.images import split_validation
from autocnn.trees import leaves


@parametrize_with_checks([CNNClassifier(epochs=10)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    """300 of the 8x8 digits, rows (300, 64) in 0..16, and their labels as words."""
    data = ac.data.load("digits", "float64")
    names = np.array(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
    return (data.x_train[:300].reshape(300, 64) * 16), names[data.y_train[:300]]


QUICK = dict(epochs=8, random_state=0)


@pytest.fixture(scope="module")
def usual(digits):
    """Fitted to 200 digits."""
    x, y = digits
    return CNNClassifier(**QUICK).fit(x[:200], y[:200])


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.tolist(),
        lambda x: x.reshape(-1, 8, 8),
        lambda x: x.reshape(-1, 1, 8, 8),
        lambda x: x.astype("uint8"),
        lambda x: x.astype("float32") / 16,
        lambda x: 1000 * x - 5,
    ],
    ids=["lists", "(N, H, W)", "(N, C, H, W)", "bytes", "float32", "another scale"],
)
def test_images_in_every_form_give_the_same_answers(form, digits, usual):
    x, y = digits
    fitted = CNNClassifier(**QUICK).fit(form(x[:200]), y[:200])
    assert fitted.image_shape_ == (1, 8, 8) and fitted.n_features_in_ == 64
    np.testing.assert_allclose(
        fitted.predict_proba(form(x[200:])), usual.predict_proba(x[200:]), atol=1e-3
    )
    assert fitted.score(form(x[200:]), y[200:]) > 0.8


def test_the_network_is_the_one_that_was_asked_for(digits):
    x, y = digits

    def layers(network, rows, **options):
        found = CNNClassifier(network, epochs=1, **options).fit(rows, y[: len(rows)])
        return found, [a.shape for _, a in leaves(found.params_)]

    assert layers("auto", x)[1] == [(12, 1, 3, 3), (12,), (108, 10), (10,)]
    assert layers("auto", x[:, :63])[1] == [(63, 72), (72,), (72, 10), (10,)]
    assert layers("auto", x[:, :49])[1][0] == (
        49,
        72,
    )  # 7 x 7 is a square, and too small for an image
    assert layers("tiny-cnn", x[:, :30])[1] == [
        (3, 1, 1, 3),
        (3,),
        (3 * 14, 10),
        (10,),
    ]  # a line of 30
    assert layers("tiny_cnn", x[:, :1])[1] == [(3, 1, 1, 1), (3,), (3, 10), (10,)]
    found, shapes = layers("tiny-cnn", x[:, :60], image_shape=(2, 5, 6), width=2)
    assert found.image_shape_ == (2, 5, 6) and shapes[0] == (6, 2, 3, 3)
    assert layers("lenet5", np.resize(x, (9, 28, 28)), width=2)[1][0] == (12, 1, 5, 5)
    builder = functools.partial(ac.models.tiny_cnn, filters=4, kernel=5)
    assert layers(builder, x)[1][0] == (4, 1, 5, 5)
    assert layers(ac.models.tiny_mlp, x, engine="reference")[1][0] == (64, 18)


def test_networks_with_state_and_dropout(digits):
    def build(classes, nn):
        return nn.serial(
            nn.conv(4, 3),
            nn.batch_norm(),
            nn.relu(),
            nn.dropout(0.2),
            nn.flatten(),
            nn.dense(classes),
        )

    x, y = digits
    fitted = CNNClassifier(build, epochs=3, random_state=1).fit(x, y)
    assert fitted.score(x, y) > 0.9
    assert np.ptp(fitted.state_[1]["mean"]) > 0
    pieces = CNNClassifier(build, random_state=1)
    for _ in range(3):
        pieces.partial_fit(x, y, classes=np.unique(y))
    assert pieces.score(x, y) > 0.8


def test_one_random_state_one_result(digits):
    x, y = digits
    a, b, c, d = (
        CNNClassifier(epochs=2, random_state=seed).fit(x, y).predict_proba(x)
        for seed in (1, 1, 2, None)
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c) and not np.array_equal(a, d)


def test_fitting_again_starts_anew_and_partial_fit_goes_on(digits):
    x, y = digits
    once = CNNClassifier(**QUICK).fit(x, y)
    again = pickle.loads(pickle.dumps(clone(once).fit(x[:50], y[:50]).fit(x, y)))
    assert np.array_equal(once.predict_proba(x), again.predict_proba(x))
    fresh = clone(once).partial_fit(x, y, np.unique(y))
    assert again.partial_fit(x, y).score(x, y) > 0.95 > fresh.score(x, y)
    pieces = [clone(once).partial_fit(x[:64], y[:64], np.unique(y)) for _ in range(2)]
    pieces[0].partial_fit(x[64:96], y[64:96]).partial_fit(x[96:], y[96:])
    pieces[1].partial_fit(x[64:], y[64:])
    assert np.array_equal(
        *(piece.predict_proba(x) for piece in pieces)
    )  # the pieces do not matter, the momenta are kept


def test_history(digits):
    history = CNNClassifier(epochs=4, random_state=0).fit(*digits).history_
    assert history["epoch"] == [0, 1, 2, 3, 4]
    assert (
        history["loss"][-1] < history["loss"][0]
        and history["accuracy"][-1] > history["accuracy"][0]
    )


def test_works_in_scikit_learns_tools(digits):
    x, y = digits
    pipeline = make_pipeline(StandardScaler(), CNNClassifier(**QUICK))
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.8
    options = {
        "cnnclassifier__network": ["tiny-cnn", "tiny-mlp"],
        "cnnclassifier__rate": [1e-5, 0.01],
    }
    grid = GridSearchCV(pipeline, options, cv=2).fit(x, y)
    assert grid.best_params_["cnnclassifier__rate"] == 0.01 and grid.best_score_ > 0.7
    assert (
        cross_val_score(
            CNNClassifier(**QUICK), x.reshape(-1, 8, 8), y, cv=2, n_jobs=1, scoring="neg_log_loss"
        ).mean()
        > -1
    )


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(network="tiny-gnn"), "no network 'tiny-gnn'"),
        (dict(network="lenet5"), "'lenet5' does not fit images of 1x8x8: conv"),
        (dict(network=ac.models.tiny_cnn, width=2), "builder takes its width itself"),
        (dict(width=0), "width is a factor"),
        (dict(width="wide"), "width"),
        (dict(epochs=0), "epochs must be an int"),
        (dict(batch_size=2.5), "batch_size must be an int"),
        (dict(rate=-1), "rate must be"),
        (dict(optimizer="lion"), "optimizer is 'adam', 'sgd' or an Optimizer"),
        (dict(engine="torch"), "no engine 'torch'"),
        (dict(image_shape=(8, 9)), r"image_shape=\(8, 9\) must be .* the 64 numbers of a row"),
        (dict(image_shape=(8, 8.0)), "image_shape: each size must be an int"),
        (dict(rate=1e12, optimizer="sgd"), "lower the rate"),
    ],
)
def test_bad_settings(options, words, digits):
    with pytest.raises(ValueError, match=words), np.errstate(all="ignore"):
        CNNClassifier(**{"epochs": 3, "random_state": 0, **options}).fit(*digits)


def test_bad_data(digits):
    x, y = digits
    fitted = CNNClassifier(epochs=1).fit(x, y)
    with pytest.raises(
        ValueError,
        match=re.escape("shape (1, 4, 16), but the network was fitted to images of (1, 8, 8)"),
    ):
        fitted.predict(x.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="63 features, but CNNClassifier is expecting 64"):
        fitted.predict(x[:, 1:])
    with pytest.raises(ValueError, match=r"not among the classes.*ten"):
        fitted.partial_fit(x[:2], ["ten", "one"])
    with pytest.raises(ValueError, match="not the same as on the last call"):
        fitted.partial_fit(x, y, classes=["one", "two"])
    with pytest.raises(ValueError, match="first call of partial_fit needs all labels"):
        CNNClassifier().partial_fit(x, y)
    with pytest.raises(ValueError, match="NaN"):
        fitted.predict(np.full((1, 8, 8), np.nan))
    with pytest.raises(ValueError, match="Expected 2D array"):
        fitted.predict(x[0])
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        fitted.predict(x[:0].reshape(0, 8, 8))
    with pytest.raises(NotFittedError):
        CNNClassifier().predict(x)


def test_weights_and_repetitions_are_the_same_in_one_batch(digits):
    x, y = digits
    times = np.arange(300) % 4
    options = dict(epochs=20, batch_size=10_000, random_state=0)
    weighted = CNNClassifier(**options).fit(x, y, sample_weight=times)
    repeated = CNNClassifier(**options).fit(x.repeat(times, axis=0), y.repeat(times))
    np.testing.assert_allclose(
        weighted.predict_proba(x), repeated.predict_proba(x), rtol=1e-7, atol=1e-10
    )


@pytest.mark.xfail(
    strict=True,
    reason="batches are drawn from the samples: from repeated ones, more batches and others",
)
def test_weights_and_repetitions_are_not_the_same_in_small_batches():
    check_sample_weight_equivalence_on_dense_data(
        "CNNClassifier", CNNClassifier(epochs=10, batch_size=8)
    )


def test_class_weights(digits):
    x, y = digits
    rare = np.flatnonzero((y != "one") | (np.arange(300) % 10 == 0))
    x_rare, y_rare = x[rare], y[rare]
    share = []
    for class_weight in (None, "balanced", {"one": 50}):
        fitted = CNNClassifier(epochs=3, random_state=0, class_weight=class_weight).fit(
            x_rare, y_rare
        )
        share.append((fitted.predict(x[y == "one"]) == "one").mean())
    assert share[0] < share[1] <= share[2]


def test_weights_of_partial_fit_multiply(digits):
    """A class's weight is that of each of its samples; one of weight 0 is not there."""
    x, y = digits
    classes, kept, fives = np.unique(y), np.arange(300) % 3 > 0, np.where(y == "one", 5.0, 1.0)
    fresh = CNNClassifier(random_state=0)
    begun = [clone(fresh).partial_fit(x, y, classes) for _ in range(4)]  # the scale is learnt
    begun[0].set_params(class_weight={"one": 5.0}).partial_fit(x, y, sample_weight=kept)
    begun[1].partial_fit(x, y, sample_weight=fives * kept)
    begun[2].partial_fit(x[kept], y[kept], sample_weight=fives[kept])
    begun[3].partial_fit(x[kept], y[kept])
    probs = [estimator.predict_proba(x) for estimator in begun]
    assert np.array_equal(probs[0], probs[1]) and np.array_equal(probs[1], probs[2])
    assert not np.array_equal(probs[2], probs[3])
    with pytest.raises(ValueError, match="partial_fit cannot balance classes"):
        clone(fresh).set_params(class_weight="balanced").partial_fit(x, y, classes)


def test_early_stopping(digits):
    x, y = digits
    options = dict(
        epochs=60, random_state=0, early_stopping=True, n_iter_no_change=4, validation_fraction=0.2
    )
    fitted = CNNClassifier(**options).fit(x, y)
    accuracy = fitted.history_["val_accuracy"]
    assert len(accuracy) == fitted.epoch_ + 5 < 61 and accuracy[fitted.epoch_] == max(accuracy)
    labels = np.searchsorted(fitted.classes_, y)
    kept, held = split_validation(labels, 0.2, fitted._seed)
    assert len(held) == 60 and sorted([*kept, *held]) == list(range(300))
    assert abs(np.bincount(labels[held]) - np.bincount(labels) / 5).max() < 1
    assert fitted.score(x[held], y[held]) == pytest.approx(accuracy[fitted.epoch_])
    assert list(CNNClassifier(epochs=1).fit(x, y).history_) == ["epoch", "loss", "accuracy"]


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(class_weight="fair"), "class_weight is 'balanced', a dict"),
        (dict(class_weight={"eleven": 2}), r"names labels that are not among the classes.*eleven"),
        (dict(class_weight={"one": -1}), "class_weight must be finite numbers, 0 or more"),
        (
            dict(early_stopping=True, validation_fraction=1.0),
            "validation_fraction is a number between 0 and 1",
        ),
        (dict(early_stopping=True, n_iter_no_change=0), "n_iter_no_change must be an int"),
        (
            dict(early_stopping=True, validation_fraction=0.99),
            "early_stopping: 297 of 300 samples cannot be held out",
        ),
    ],
)
def test_bad_settings_of_weights_and_early_stopping(options, words, digits):
    with pytest.raises(ValueError, match=words):
        CNNClassifier(epochs=1, **options).fit(*digits)
    with pytest.raises(
        ValueError,
        match=r"sample_weight must be 300 numbers, one for each example; got shape \(2,\)",
    ):
        CNNClassifier(epochs=1).fit(*digits, sample_weight=[1, 2])


def test_early_stopping_needs_a_sample_that_counts_to_train_on():
    X, y = np.random.default_rng(0).normal(size=(40, 64)), np.arange(40) % 2
    classifier = CNNClassifier(epochs=1, early_stopping=True, random_state=0).fit(X, y)
    _, held = split_validation(y, 0.1, classifier._seed)
    with pytest.raises(ValueError, match="held out every sample whose weight"):
        classifier.fit(X, y, np.eye(40)[held[0]])
