"""Data as people have them in Python: each trains with one call, or gets one line that says how."""

import warnings

import numpy as np
import pytest
from PIL import Image

import autocnn as ac
from tests.data.test_data_forms import FORMS

RNG = np.random.default_rng(6)
N = 24
PICTURES = RNG.integers(0, 256, (N, 8, 8), dtype=np.uint8)
LABELS = np.arange(N) % 3


class Series:
    """What pandas hands to NumPy: an object that becomes an array, of strings as objects."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def torch_tensor(array, **options):
    return pytest.importorskip("torch").tensor(array, **options)


def frame(values):
    return pytest.importorskip("pandas").DataFrame(values)


BROUGHT = {
    "sklearn's digits": lambda: (PICTURES // 16, LABELS),
    "sklearn's digits, flat": lambda: ((PICTURES // 16).reshape(N, 64) / 1.0, LABELS, 15),
    "openml, floats up to 255": lambda: (PICTURES.reshape(N, 64) * 1.0, LABELS.astype(str), 255),
    "Keras, channels last": lambda: (PICTURES[..., None], LABELS),
    "Keras, one-hot": lambda: (PICTURES / 255, np.eye(3)[LABELS]),
    "MedMNIST, labels (N, 1)": lambda: (PICTURES, LABELS[:, None]),
    "strings": lambda: (PICTURES, np.array(["ant", "bee", "cat"])[LABELS]),
    "strings as objects": lambda: (PICTURES, Series(np.array(["a", "b", "c"], object)[LABELS])),
    "floats that are integers": lambda: (PICTURES, LABELS * 1.0),
    "labels with gaps": lambda: (PICTURES, LABELS * 10 + 5),
    "booleans": lambda: (PICTURES > 100, LABELS == 0),
    "a list of PIL images": lambda: ([Image.fromarray(x) for x in PICTURES], LABELS.tolist()),
    "a table of pandas' shape": lambda: (Series(PICTURES.reshape(N, 64)), Series(LABELS)),
    "pandas": lambda: (frame(PICTURES.reshape(N, 64)), frame({"y": LABELS})["y"]),
    "tensors of torch": lambda: (torch_tensor(PICTURES[:, None] / 255), torch_tensor(LABELS)),
    "tensors that require gradients": lambda: (
        torch_tensor(PICTURES[:, None] / 255, requires_grad=True), torch_tensor(LABELS)
    ),
    "standardized": lambda: ((PICTURES - PICTURES.mean()) / PICTURES.std(), LABELS),
}  # fmt: skip


@pytest.mark.parametrize("name", BROUGHT)
def test_arrays_train_with_one_call(name):
    images, labels, *scale = BROUGHT[name]()
    if scale:
        with pytest.raises(ValueError, match=f"scale={scale[0]}"):
            ac.data.from_arrays(images, labels)
    data = ac.data.from_arrays(images, labels, scale=scale[0] if scale else None)
    model = ac.models.tiny_cnn(len(data.classes), nn=ac.fast)
    _, params, _ = model.init(0, data.x_train.shape[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ac.training.ConvergenceWarning)  # labels are of noise
        run = ac.train(params, data, model, epochs=2)
    assert len(data.x_train) + len(data.x_val) == N and np.isfinite(run.history["val_loss"]).all()
    assert data.x_train.shape[1:] == (1, 8, 8) and len(data.classes) in (2, 3)
    if name not in ("booleans", "standardized"):
        low, high = data.x_train.min(), data.x_train.max()
        assert low >= 0 and 0.9 < high <= 1


@pytest.mark.parametrize("form", ["Keras npz", "Kaggle csv", "ImageFolder", "CIFAR-10", "EMNIST"])
def test_files_train_with_one_call(form, tmp_path):
    write, shape, _, classes = FORMS[form]
    data = ac.data.load(write(tmp_path))
    model = ac.models.tiny_cnn(len(classes), nn=ac.fast)
    _, params, _ = model.init(0, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ac.training.ConvergenceWarning)
        run = ac.train(params, data, model, epochs=1)
    assert np.isfinite(run.history["val_loss"]).all()


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (["a.png", "b.png"], [0, 1], "images must be numbers"),
        (PICTURES[0], LABELS[:8], "rows of 8 numbers are no square image"),
        (PICTURES[:, :7, :7].reshape(N, 49)[:, :48], LABELS, r"reshape\(N, 3, 4, 4\)"),
        ([PICTURES[0], PICTURES[1, :6]], [0, 1], "image 1 is 6x8, image 0 8x8: resize them first"),
        (PICTURES, LABELS[:5], "24 images and 5 labels$"),
        (np.moveaxis(PICTURES, 0, -1), LABELS, r"24 labels; .*np.moveaxis\(images, -1, 0\)"),
        (np.zeros((32, 32, 3, N), np.uint8), LABELS, r"pass np.moveaxis\(images, -1, 0\)"),
        (PICTURES[:0], LABELS[:0], r"there are no images: .* empty, of shape \(0, 8, 8\)"),
        ([Image.new("P", (8, 8))] * N, LABELS, r"image 0 .* mode P, .*convert\('RGB'\)"),
        ([Image.new("L", (8, 8)), Image.new("RGB", (8, 8))], [0, 1], r"8x8x3, .*convert\('RGB'\)"),
        ([Image.new("L", (8, 8)), Image.new("L", (9, 8))], [0, 1], "8x9, .* resize them first"),
        (PICTURES, np.full((N, 3), 1 / 3), "one-hot rows"),
        (PICTURES - 128.0, LABELS, r"\(images - low\) / \(high - low\)"),
    ],
)
def test_what_cannot_be_trained_on_gets_one_line(images, labels, words):
    with pytest.raises(ValueError, match=words) as error:
        ac.data.from_arrays(images, labels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("shape", [(28, 28, 1), (224, 224, 3)])
def test_the_shape_of_an_image_with_its_channels_last_is_told_of(shape):
    first = (shape[2], *shape[:2])
    model = ac.models.resnet50() if shape[0] > 30 else ac.models.lenet5()
    with pytest.raises((ValueError, UserWarning), match=rf"pass \({', '.join(map(str, first))}\)"):
        model.init(None, shape)
    assert model.init(None, first)[0]
    tower = ac.layers.serial(ac.layers.conv(4, (3, 1)), ac.layers.flatten())
    assert tower.init(None, (16, 20, 1))[0] == (72,)  # a signal: 16 channels of 20 values


def test_what_needs_validation_images_says_so():
    data = ac.data.from_arrays(PICTURES, LABELS, validation=None)
    model = ac.models.tiny_cnn(3, nn=ac.fast)
    _, params, _ = model.init(0, (1, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ac.training.ConvergenceWarning)
        run = ac.train(params, data, model, epochs=1)
    with pytest.raises(ValueError, match="no validation images"):
        ac.sweep(ac.models.tiny_cnn, {"filters": (1,)}, data=data, seeds=1)
    pytest.importorskip("starlette")
    from autocnn.page.model import load

    with pytest.raises(ValueError, match="these data have none"):
        load(run, data)
