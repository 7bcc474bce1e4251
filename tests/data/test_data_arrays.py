"""Images and labels of one's own as a data set: layouts, ranges, labels, splits, and what is
refused.
"""

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
        (drawn[1], (BYTES, LABELS), "tuple of 2; use ac.data.from_arrays(*data)"),
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
