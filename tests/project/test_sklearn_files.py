"""``CNNClassifier`` kept and continued: save and load, pickles, ONNX, warm starts, validation."""

import functools
import json
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import autocnn as ac
from autocnn import optim
from autocnn.sklearn import CNNClassifier
from tests.helpers import python

LABELS = {
    "ints": lambda y: y * 3 - 7,
    "words": lambda y: np.array(["zero", "one", "two"])[y % 3],
    "objects": lambda y: np.array(["a", "b", "c"], object)[y % 3],
    "floats": lambda y: (y % 2).astype(float),
    "bools": lambda y: y % 2 == 0,
    "uint8": lambda y: y.astype("uint8"),
}


@pytest.fixture(scope="module")
def digits():
    data = ac.data.load("digits", "float64")
    return data.x_train[:150, 0] * 16, data.y_train[:150]


def fitted(x, y, **options):
    return CNNClassifier(**{"epochs": 3, "random_state": 0, **options}).fit(x, y)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_save_and_load(labels, digits, tmp_path):
    x, y = digits[0], labels(digits[1])
    one = fitted(x, y, class_weight={y[0].item() if y.dtype != object else y[0]: 2.0})
    one.save(tmp_path / "c.safetensors")
    two = CNNClassifier.load(tmp_path / "c.safetensors")
    assert np.array_equal(one.predict_proba(x), two.predict_proba(x))
    assert np.array_equal(one.predict(x), two.predict(x))
    assert two.classes_.dtype == one.classes_.dtype and repr(two) == repr(one)
    for name in ("history_", "loss_curve_", "n_iter_", "epoch_", "image_shape_", "n_features_in_"):
        assert getattr(two, name) == getattr(one, name), name
    assert np.array_equal(clone(two).fit(x, y).predict_proba(x), one.predict_proba(x))


def test_partial_fit_goes_on_after_loading(digits, tmp_path):
    x, y = digits
    one = CNNClassifier(random_state=0).partial_fit(x, y, np.unique(y))
    one.save(tmp_path / "c")
    two = CNNClassifier.load(tmp_path / "c").partial_fit(x, y)
    assert np.array_equal(one.partial_fit(x, y).predict_proba(x), two.predict_proba(x))
    assert one.n_iter_ == two.n_iter_ == 2


def test_settings_that_no_file_holds(digits, tmp_path):
    x, y = digits
    build = functools.partial(ac.models.tiny_cnn, filters=2)
    one = fitted(x, y, network=build, optimizer=optim.adam(1e-2), epochs=1)
    one.save(tmp_path / "c")
    with pytest.raises(ValueError, match=r"a function as network, .*load.path, network="):
        CNNClassifier.load(tmp_path / "c")
    with pytest.warns(UserWarning, match=r"does not hold optimizer=adam\(0.01\)"):
        two = CNNClassifier.load(tmp_path / "c", network=build)
    three = CNNClassifier.load(tmp_path / "c", network=build, optimizer=optim.adam(1e-2))
    for other in (two, three):
        assert np.array_equal(other.predict_proba(x), one.predict_proba(x))


def test_what_is_no_such_file_is_refused(digits, tmp_path):
    x, y = digits
    with pytest.raises(NotFittedError):
        CNNClassifier().save(tmp_path / "c")
    with pytest.raises(NotFittedError):
        CNNClassifier().to_onnx(tmp_path / "c")
    dates = np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")[y % 2]
    one = fitted(x, y, epochs=1)
    one.classes_ = np.unique(dates)
    with pytest.raises(ValueError, match="numbers or strings"):
        one.save(tmp_path / "c")
    ac.checkpoint.save(tmp_path / "other", one.params_)
    with pytest.raises(ValueError, match=r"holds no autocnn\.sklearn\.CNNClassifier"):
        CNNClassifier.load(tmp_path / "other")


@pytest.mark.parametrize("labels", list(LABELS.values())[:2], ids=list(LABELS)[:2])
@pytest.mark.parametrize("last", [False, True], ids=["grey", "channels last"])
def test_onnx_holds_the_scaling_and_the_classes(labels, last, digits, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    x, y = digits[0] * 5 + 100, labels(digits[1])
    one = fitted(x[..., None].repeat(3, axis=3) if last else x, y)
    one.to_onnx(tmp_path / "c.onnx", opset=15)
    session = onnxruntime.InferenceSession(tmp_path / "c.onnx")
    given = np.float32(x[:, None].repeat(one.image_shape_[0], axis=1))
    (logits,) = session.run(None, {"images": given})
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert classes == one.classes_.tolist()
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, one.predict_proba(given), atol=1e-5)


def module_level(classes, nn):
    return ac.models.tiny_cnn(classes, nn=nn)


@pytest.mark.parametrize(
    "options",
    [{"optimizer": optim.adam(1e-3)}, {"network": module_level}, {"network": ac.models.tiny_mlp}],
    ids=["optimizer", "function", "library"],
)
def test_pickles(options, digits, tmp_path):
    import joblib

    x, y = digits
    one = fitted(x, y, epochs=1, **options)
    again = [pickle.loads(pickle.dumps(one))]
    joblib.dump(one, tmp_path / "c.joblib")
    again.append(joblib.load(tmp_path / "c.joblib"))
    for other in again:
        assert repr(other) == repr(one)
        assert np.array_equal(other.predict_proba(x), one.predict_proba(x))


def test_another_process_reads_the_file_and_the_pickle(digits, tmp_path):
    x, y = digits
    one = fitted(x, y, epochs=1, optimizer=optim.sgd(optim.cosine(0.1, 9), momentum=0.9))
    run = ac.train(ac.models.tiny_cnn().init(0, (1, 8, 8))[1], ac.data.patterns(), epochs=1)
    (tmp_path / "c.pickle").write_bytes(pickle.dumps((one, run, x)))
    one.save(tmp_path / "c.safetensors")
    code = f"""
import pickle, autocnn as ac
from autocnn.sklearn import CNNClassifier
one, run, x = pickle.load(open({str(tmp_path / "c.pickle")!r}, "rb"))
two = CNNClassifier.load({str(tmp_path / "c.safetensors")!r}, optimizer=ac.optim.adam())
print(one.predict(x).tolist(), two.predict(x).tolist())
print(ac.train(run.params, ac.data.patterns(), epochs=1).model)"""
    answers = one.predict(x).tolist()
    assert python(code, check=True).stdout == f"{answers} {answers}\n{run.model}\n"


def test_the_winner_of_a_search_is_readable(digits):
    x, y = digits
    grid = {"optimizer": [optim.adam(1e-3), optim.adam(1e-2)]}
    search = GridSearchCV(CNNClassifier(epochs=3, random_state=0), grid, cv=2).fit(x, y)
    assert str(search.best_params_) == "{'optimizer': adam(0.01)}"
    assert "adam(0.01)" in repr(search.best_estimator_)


def test_warm_start_goes_on(digits):
    x, y = digits
    one = fitted(x, y, epochs=2, warm_start=True)
    first, (mean, std) = one.params_, (one._mean, one._std)
    assert one.n_iter_ == 2 == len(one.loss_curve_)
    again = one.fit(x * 2, y)
    assert again is one and one.n_iter_ == 4 == len(one.loss_curve_)
    assert (one._mean, one._std) == (mean, std)
    assert one.loss_curve_[2:] == one.history_["loss"][1:] and one.params_ is not first
    cold = fitted(x, y, epochs=2)
    assert cold.fit(x, y).n_iter_ == 2
    with pytest.raises(ValueError, match="not among the classes"):
        one.fit(x, y + 1)
    with pytest.raises(ValueError, match="fitted to images of"):
        one.fit(x[:, :7, :7], y)


def test_validation_data(digits):
    x, y = digits
    one = CNNClassifier(epochs=3, random_state=0)
    one.fit(x[:100], y[:100], validation_data=(x[100:].tolist(), y[100:]))
    assert one.history_["val_accuracy"][-1] == one.score(x[100:], y[100:])
    early = CNNClassifier(epochs=9, random_state=0, early_stopping=True, n_iter_no_change=1)
    early.fit(x[:100], y[:100], validation_data=(x[:30], y[:30]))
    held = early.history_["val_accuracy"]
    assert max(held) == held[early.epoch_] == early.score(x[:30], y[:30])
    assert "val_accuracy" not in fitted(x, y, epochs=1).history_
    pipeline = make_pipeline(FunctionTransformer(), CNNClassifier(epochs=1))
    pipeline.fit(x, y, cnnclassifier__validation_data=(x[:9], y[:9]))
    assert "val_loss" in pipeline[-1].history_
    for bad, words in (
        (x, "validation_data is a pair"),
        ((x, y + 1), "not among the classes"),
        ((x[:, :7], y), "image"),
    ):
        with pytest.raises(ValueError, match=words):
            CNNClassifier(epochs=1).fit(x, y, validation_data=bad)


def test_layouts_are_inferred_or_asked_for(digits):
    x, y = digits
    big = np.kron(x, np.ones((3, 3)))
    assert fitted(x[..., None], y, epochs=1).image_shape_ == (1, 8, 8)
    assert fitted(big.reshape(len(x), -1), y, epochs=1).image_shape_ == (1, 24, 24)
    colour = big[..., None].repeat(3, axis=3)
    assert fitted(colour, y, epochs=1).image_shape_ == (3, 24, 24)
    rows = colour.reshape(len(x), -1)
    with pytest.warns(UserWarning, match=r"image_shape=\(3, 24, 24\) .*reshape\(-1, 24, 24, 3\)"):
        fitted(rows, y, epochs=1)
    assert fitted(rows, y, epochs=1, image_shape=(3, 24, 24)).image_shape_ == (3, 24, 24)
    with pytest.raises(ValueError, match=r"X is one image of 8x8; pass X\[None\]"):
        fitted(x, y, epochs=1).predict(x[0])
    with pytest.raises(ValueError, match="image 1 is 6x8, image 0 8x8: resize them first"):
        fitted([a[i % 2 * 2 :] for i, a in enumerate(x)], y)


def test_tensors_of_torch_are_arrays(digits):
    torch = pytest.importorskip("torch")
    x, y = (a[:40] for a in digits)
    labels = np.unique(y, return_inverse=True)[1]
    for images in (x, np.uint8(x)):
        given = fitted(torch.tensor(images), torch.tensor(labels), epochs=1)
        usual = fitted(images, labels, epochs=1)
        assert (given.predict_proba(torch.tensor(images)) == usual.predict_proba(images)).all()
        assert given.score(torch.tensor(images), labels) == usual.score(images, labels)
    with pytest.raises(ValueError, match=r"shape \(40, 10\); of one-hot rows, .*argmax\(axis=1\)"):
        fitted(x, np.eye(10)[labels], epochs=1)


def test_scikit_learns_warning_where_nothing_was_learned(digits):
    x, y = digits
    with pytest.warns(ConvergenceWarning, match=r"lower the rate \(rate=\), which is 9 here") as w:
        fitted(x, y, rate=9.0, epochs=8)
    assert w[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(x, y)


def test_probabilities_are_calibrated_on_validation_data(tmp_path):
    data = ac.data.load("digits", "float64")
    images, labels = data.x_train[:, 0], data.y_train
    draw = np.random.default_rng(0)
    wrong = np.where(draw.random(len(labels)) < 0.3, draw.integers(0, 10, len(labels)), labels)
    given = {"network": "tiny-mlp", "epochs": 60, "random_state": 0}
    held = images[300:600], wrong[300:600]
    fitted = CNNClassifier(**given).fit(images[:300], wrong[:300], validation_data=held)
    plain = CNNClassifier(**given).fit(images[:300], wrong[:300])
    assert plain.temperature_ == 1 and fitted.temperature_ > 1.5  # it has learned wrong labels
    probs = [one.predict_proba(images[600:900]) for one in (plain, fitted)]
    np.testing.assert_array_equal(*(p.argmax(axis=1) for p in probs))
    losses = [log_loss(wrong[600:900], p) for p in probs]
    assert losses[1] < 0.85 * losses[0]
    few = CNNClassifier(**given).fit(
        images[:300], wrong[:300], validation_data=(held[0][:49], held[1][:49])
    )
    assert few.temperature_ == 1
    fitted.save(tmp_path / "a")
    again = CNNClassifier.load(tmp_path / "a")
    np.testing.assert_array_equal(
        again.predict_proba(images[600:]), fitted.predict_proba(images[600:])
    )
    again.partial_fit(images[:32], wrong[:32])
    assert again.temperature_ == 1
