"""Images and labels of one's own as a data set: layouts, ranges, labels, splits, and what is
refused.
"""

import copy
import pickle
import warnings

import numpy as np
import pytest

import autocnn as ac

RNG = np.random.default_rng(4)
BYTES = RNG.integers(0, 256, (20, 9, 8), dtype=np.uint8)
LABELS = np.arange(20) % 4


@pytest.mark.parametrize(
    "images",
    [BYTES, BYTES[:, None], BYTES[..., None], BYTES.astype(int), BYTES / 255, BYTES.tolist()],
    ids=["bytes", "channels first", "channels last", "wider integers", "floats", "lists"],
)
def test_forms_of_the_same_images(images):
    data = ac.data.from_arrays(images, LABELS, validation=(images, LABELS))
    assert data.x_train.shape == (20, 1, 9, 8) and data.x_train.dtype == np.float32
    assert np.allclose(data.x_train[:, 0], BYTES / 255, atol=1e-7)
    assert np.array_equal(data.x_val, data.x_train)


def test_colours_last_become_channels_first():
    images = RNG.random((6, 10, 12, 3))
    data = ac.data.from_arrays(images, [0, 1] * 3, validation=0.3, dtype="float64")
    whole = np.concatenate([data.x_train, data.x_val])
    assert whole.shape == (6, 3, 10, 12)
    assert sorted(whole[:, 2, 3, 4]) == sorted(images[:, 3, 4, 2])


def test_sixteen_bits_rows_and_booleans():
    deep = (BYTES[:, :8].astype(np.uint16) * 257).reshape(20, 64)
    assert np.allclose(
        ac.data.from_arrays(deep, LABELS, (deep, LABELS)).x_train[:, 0], BYTES[:, :8] / 255
    )
    flags = BYTES > 127
    assert set(np.unique(ac.data.from_arrays(flags, LABELS).x_train)) == {0.0, 1.0}


@pytest.mark.parametrize(
    "labels",
    [
        np.array(list("dbca"))[LABELS],
        np.array([30, 10, 20, 5])[LABELS],
        np.array([30.0, 10, 20, 5])[LABELS],
        np.array(["d", "b", "c", "a"], object)[LABELS].tolist(),
    ],
    ids=["strings", "integers", "whole floats", "a list"],
)
def test_labels_of_any_kind_are_numbered_in_sorted_order(labels):
    data = ac.data.from_arrays(BYTES, labels, (BYTES, labels))
    assert np.array_equal(data.y_train, np.array([3, 1, 2, 0])[LABELS])
    assert data.classes in (tuple("abcd"), ("5", "10", "20", "30"))


def test_one_hot_labels():
    data = ac.data.from_arrays(BYTES, np.eye(4)[LABELS], classes=("n", "e", "s", "w"))
    assert data.classes == ("n", "e", "s", "w") and sorted(np.bincount(data.y_val)) == [1] * 4


def test_the_split_holds_out_each_class_and_repeats():
    labels = np.repeat([0, 1, 2], [10, 20, 5])
    images = np.arange(35, dtype=np.float32)[:, None, None, None] / 35 * np.ones((35, 1, 4, 4))
    one, two, other = (ac.data.from_arrays(images, labels, 0.2, seed=s) for s in (0, 0, 1))
    assert np.bincount(one.y_val).tolist() == [2, 4, 1] and len(one.x_train) == 28
    drawn = np.concatenate([one.x_train, one.x_val])[:, 0, 0, 0]
    assert len(np.unique(drawn)) == 35
    assert np.array_equal(one.x_val, two.x_val) and not np.array_equal(one.x_val, other.x_val)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((BYTES * 1.0, LABELS), "[0, 1]; these reach from 0 to 255. Pass images / 255"),
        ((BYTES - 128.0, LABELS), "reach from"),
        ((BYTES / np.nan, LABELS), "NaN"),
        ((BYTES, LABELS[:-1]), "20 images and 19 labels"),
        ((BYTES, np.ones((20, 4))), "one-hot"),
        ((BYTES, LABELS, 1.5), "between 0 and 1"),
        ((BYTES, LABELS, (BYTES[:, 1:], LABELS)), "validation images are 1x8x8"),
        ((BYTES, LABELS, (BYTES, LABELS + 1)), "label 4 occurs among the validation images only"),
        ((BYTES[:, :, :7].reshape(20, -1), LABELS), "rows of 63 numbers"),
        (([BYTES[0], BYTES[1, 1:]], [0, 1]), "image 1 is 8x8, image 0 9x8: resize them first"),
        ((BYTES, np.arange(20)), "no class has two images"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(arguments, words):
    with pytest.raises(ValueError) as error:
        ac.data.from_arrays(*arguments)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_train_takes_a_dict_or_four_arrays_and_says_what_else_it_needs():
    model = ac.models.tiny_cnn(4)
    drawn = model.init(0, (1, 9, 8))
    data = ac.data.from_arrays(BYTES, LABELS, dtype="float64")
    runs = [
        ac.train(drawn[1], form, model, epochs=1).history["train_loss"]
        for form in (data, data[:4], dict(zip(data._fields, data, strict=True)))
    ]
    assert runs[0] == runs[1] == runs[2]
    for params, form, words in (
        (drawn[1], (BYTES, LABELS), "ac.data.from_arrays(images, labels)"),
        (drawn[1], (BYTES, LABELS, BYTES), "tuple of 3; use ac.data.from_arrays(images, labels)"),
        (drawn[1], {"x": BYTES, "y": LABELS}, "dict with x, y; use"),
        (drawn, data, "out_shape, params, state = model.init"),
        (drawn[1], data._replace(x_train=BYTES[:, None]), "astype('float32') / 255"),
    ):
        with pytest.raises(ValueError, match=r"^.*$") as error:
            ac.train(params, form, model, epochs=1)
        assert words in str(error.value)


def test_the_classifier_and_predict_say_how_to_pass_one_image():
    sklearn = pytest.importorskip("autocnn.sklearn")
    classifier = sklearn.CNNClassifier(epochs=1).fit(BYTES, LABELS)
    last = sklearn.CNNClassifier(epochs=1, random_state=0).fit(BYTES[..., None], LABELS)
    assert last.image_shape_ == (1, 9, 8)
    model = ac.models.tiny_cnn(4)
    _, params, state = model.init(0, (1, 9, 8))
    for call, words in (
        (lambda: classifier.predict(BYTES[0]), "X is one image of 9x8; pass X[None]"),
        (lambda: classifier.fit([BYTES[0], BYTES[1, 1:]], [0, 1]), "image 1 is 8x8, image 0 9x8"),
        (lambda: ac.training.predict(model, params, state, BYTES / 255), "x[:, None] for grey"),
    ):
        with pytest.raises(ValueError) as error:
            call()
        assert words in str(error.value)


def test_integers_of_few_or_many_bits_are_scaled_by_what_they_reach():
    sixteen = RNG.integers(0, 17, (20, 8, 8))
    sixteen[0, 0, 0] = 16
    for images, divisor in (
        (sixteen, 16),
        (sixteen.astype(np.uint8), 16),
        ((sixteen > 8).astype(np.uint8), 1),
        (BYTES, 255),
        (BYTES.astype(np.uint16) * 257, 65535),
        (BYTES.astype(np.uint16) * 16, 4095),
    ):
        data = ac.data.from_arrays(images, LABELS, None)
        assert np.allclose(data.x_train[:, 0], images / divisor, atol=1e-7)
        assert ("divided by" in repr(data)) == (divisor not in (1, 255))
    floats = ac.data.from_arrays(BYTES * 1.0, LABELS, None, scale=255)
    assert np.allclose(floats.x_train[:, 0], BYTES / 255, atol=1e-7)
    standard = (BYTES - BYTES.mean()) / BYTES.std()
    assert np.allclose(ac.data.from_arrays(standard, LABELS, None).x_train[:, 0], standard)


def test_validation_is_scaled_as_the_training_images_are():
    dark = BYTES // 8  # at most 31: by itself it would be divided by that
    data = ac.data.from_arrays(BYTES, LABELS, (dark, LABELS), test=(dark, LABELS))
    assert np.allclose(data.x_val[:, 0], dark / 255) and np.array_equal(data.x_test, data.x_val)


def test_classes_that_do_not_occur_are_kept():
    rows = np.eye(6, dtype=int)[LABELS]
    assert ac.data.from_arrays(BYTES, rows).classes == tuple("012345")
    names = ("a", "b", "c", "d", "e", "f")
    data = ac.data.from_arrays(BYTES, LABELS + 1, None, classes=names)
    assert data.classes == names and np.array_equal(data.y_train, LABELS + 1)
    text = np.array(names)[LABELS]
    data = ac.data.from_arrays(BYTES, text, None, classes=names[::-1])
    assert np.array_equal(data.y_train, 5 - LABELS)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([None, *"abc"] * 5, "5 labels are missing, the first of image 0"),
        ([np.nan, 1.0, 2.0, 3.0] * 5, "5 of them are NaN"),
        ([[1], [2, 3]] * 10, "rows of different lengths"),
        (LABELS + 0.5, "integers or strings, got float64"),
    ],
)
def test_labels_that_are_none(labels, words):
    with pytest.raises(ValueError, match=words):
        ac.data.from_arrays(BYTES, labels)


@pytest.mark.parametrize("factor", [255, 16, 1 / 255], ids=["bytes", "digits", "divided twice"])
def test_images_of_another_scale_are_told_of_once(factor):
    model = ac.models.tiny_cnn(4)
    _, params, state = model.init(0, (1, 9, 8))
    x = BYTES[:, None] / 255 * factor
    for call, name in (
        (lambda: ac.train(params, (x, LABELS), model, epochs=2, validation=0.5), "data.x_train"),
        (lambda: ac.evaluate(model, params, state, x, LABELS), "x"),
        (lambda: ac.predict(model, params, state, x), "x"),
    ):
        with (
            pytest.warns(ac.data.UnscaledImages, match=f"^{name} reaches") as told,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", ac.training.ConvergenceWarning)  # that follows
            call()
        assert len(told) == 1 and told[0].filename == __file__


def test_the_advice_names_a_scale_only_where_the_values_tell_it():
    model = ac.models.tiny_cnn(4)
    _, params, state = model.init(0, (1, 9, 8))
    for most, advice in ((250, "by 255,"), (15, r"by the most that it can be, .* scale=\.\.\.")):
        with pytest.warns(ac.data.UnscaledImages, match=f"Divide it {advice}"):
            ac.predict(model, params, state, np.full((1, 1, 9, 8), float(most)))


@pytest.mark.parametrize("labels", [np.zeros, lambda n: ["cat"] * n, lambda n: np.ones((n, 1))])
def test_labels_of_one_class_teach_nothing(labels):
    with pytest.raises(ValueError, match=r"all labels are '(0|1|cat)'; a network tells two"):
        ac.data.from_arrays(BYTES, labels(len(BYTES)))


def test_images_of_another_shape_get_an_error_only(recwarn):
    model = ac.models.tiny_cnn(4)
    _, params, state = model.init(0, (1, 9, 8))
    with pytest.raises(ValueError, match="conv needs images"):
        ac.predict(model, params, state, BYTES[:1] * 1.0)
    assert not recwarn


def test_other_scales_of_about_one_are_not(recwarn):
    model = ac.models.tiny_cnn(4)
    _, params, state = model.init(0, (1, 9, 8))
    x = BYTES[:, None] / 255
    for images in (x, (x - x.mean()) / x.std(), x * 2 - 1, x * 0, x[:1] * 1.275 - 0.1):
        ac.predict(model, params, state, images)
    assert not recwarn


def test_a_data_set_holds_test_images_and_notes_beside_its_five_fields(tmp_path):
    data = ac.data.from_arrays(BYTES, LABELS, test=(BYTES[:5], LABELS[:5]))
    x_train, _, x_val, _, classes = data
    assert len(x_train) + len(x_val) == 20 and classes == tuple("0123")
    assert len(data.x_test) == len(data.y_test) == 5
    assert repr(data).startswith("Dataset(16 + 4 + 5 images of 1x9x8")
    for copied in (pickle.loads(pickle.dumps(data)), data._replace(x_val=None), copy.copy(data)):
        assert type(copied) is ac.data.Dataset and np.array_equal(copied.x_test, data.x_test)
    with pytest.raises(ValueError, match="no field 'x_tests'"):
        data._replace(x_tests=None)
