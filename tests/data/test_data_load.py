"""Real images: where they are found, what they become, and what is said when files are wrong,
missing or others.
"""

import doctest
import gzip
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from autocnn.data import Dataset, DifferentData, MissingData, find, idx, load, loaders
from autocnn.data.digits import SIZES
from autocnn.data.known import FILES, KNOWN


def small(seed=0, classes=10, train=20, val=10, size=6):
    """Four arrays as of a data set's four files."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (train + val, size, size + 1), np.uint8)
    y = rng.permutation(np.arange(train + val) % classes).astype(np.uint8)
    return x[:train], y[:train], x[train:], y[train:]


def put(folder, arrays, names=FILES, zipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(names, arrays, strict=True):
        idx.write(folder / name, array)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
            (folder / name).unlink()
    return folder


def published(monkeypatch, name, arrays, debian_folder=None):
    """Let these arrays be the published ones."""
    sha256 = tuple(idx.digest(array) for array in arrays)
    monkeypatch.setitem(
        KNOWN, name, KNOWN[name]._replace(sha256=sha256, debian_folder=debian_folder)
    )


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A machine without data: (what $AUTOCNN_DATA names, the cache folder), neither of which
    exists yet.
    """
    for name in KNOWN:
        published(monkeypatch, name, small(seed=100 + len(name)))
    monkeypatch.setenv("AUTOCNN_DATA", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "own", tmp_path / "cache" / "autocnn"


def same(data, arrays):
    for got, array in zip((data.x_train, data.x_val), arrays[::2], strict=True):
        np.testing.assert_array_equal(got, (array[:, None] / 255).astype(got.dtype))
    for got, array in zip((data.y_train, data.y_val), arrays[1::2], strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, array)
    return True


@pytest.mark.parametrize("zipped", [False, True], ids=["raw", "gzipped"])
@pytest.mark.parametrize("dtype", ["float32", "float64", np.float64])
def test_any_folder(tmp_path, dtype, zipped):
    arrays = small(classes=4)
    data = load(put(tmp_path, arrays, zipped=zipped), dtype=dtype)
    assert same(data, arrays)
    assert data.x_train.shape == (20, 1, 6, 7)
    assert data.x_train.dtype == data.x_val.dtype == np.dtype(dtype)
    assert data.x_train.max() == 1
    assert data.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    "names",
    [
        (
            "train-images.idx3-ubyte",
            "train-labels.idx1-ubyte",
            "t10k-images.idx3-ubyte",
            "t10k-labels.idx1-ubyte",
        ),
        ("Train_Images.idx", "Train_Labels.idx", "Test_Images.idx", "Test_Labels.idx"),
        (
            "my-train-images-ubyte",
            "my-train-labels-ubyte",
            "my-val-images-ubyte",
            "my-val-labels-ubyte",
        ),
    ],
)
def test_other_customs_of_naming(tmp_path, names):
    put(tmp_path, small(), names)
    (tmp_path / "readme.txt").write_text("train images and labels")
    (tmp_path / ".train-images-idx3-ubyte.part").write_text("")
    assert same(load(str(tmp_path)), small())


def test_a_file_is_preferred_to_its_gzipped_twin(tmp_path):
    put(tmp_path, small(0), zipped=True)
    put(tmp_path, small(1))
    assert same(load(tmp_path), small(1))


@pytest.mark.parametrize(
    "place", ["own/mnist", "own/MNIST/raw", "own", "cache/autocnn/mnist", "debian"]
)
def test_where_a_published_set_is_found(home, monkeypatch, tmp_path, place):
    arrays = small()
    published(monkeypatch, "mnist", arrays, str(tmp_path / "debian"))
    with pytest.raises(MissingData, match="autocnn data fetch mnist"):
        load("mnist")
    put(tmp_path / place, arrays, zipped=place == "debian")
    assert find.find("mnist") == tmp_path / place
    assert same(load("mnist"), arrays)  # no warning: they are errors here


def test_the_nearer_folder_wins_and_incomplete_ones_do_not_count(home, monkeypatch):
    own, cache = home
    published(monkeypatch, "mnist", small())
    put(cache / "mnist", small())
    put(own / "mnist", small())
    assert find.find("mnist") == own / "mnist"
    (own / "mnist" / FILES[2]).unlink()
    assert find.find("mnist") == cache / "mnist"
    (cache / "mnist" / FILES[0]).unlink()
    with pytest.raises(MissingData) as caught:
        load("mnist")
    assert f"{own / 'mnist'}: {own / 'mnist'} has no {FILES[2]}" in str(caught.value)
    assert f"{own / 'MNIST' / 'raw'}: no such folder" in str(caught.value)


def test_one_set_is_not_taken_for_the_other(home, monkeypatch):
    own, _ = home
    published(monkeypatch, "fashion-mnist", small())
    put(own, small())
    assert find.find("fashion-mnist") == own
    with pytest.raises(MissingData, match="holds fashion-mnist"):
        load("mnist")


def test_missing_data_is_both_a_missing_file_and_bad_input(home):
    with pytest.raises(FileNotFoundError):
        load("mnist")
    with pytest.raises(ValueError):
        load("fashion-mnist")


def test_names_of_the_classes(home, monkeypatch, tmp_path):
    published(monkeypatch, "fashion-mnist", small())
    by_path = load(put(tmp_path / "folder", small()))
    assert by_path.classes == KNOWN["fashion-mnist"].classes
    assert by_path.classes[0] == "T-shirt/top"
    assert by_path.classes[9] == "Ankle boot"
    put(home[1] / "mnist", small(seed=103 + 2))
    assert load("mnist").classes == tuple("0123456789")


def test_other_files_under_a_published_name_warn_once(home, monkeypatch):
    own, _ = home
    arrays = small()
    published(monkeypatch, "fashion-mnist", arrays)
    changed = [array.copy() for array in arrays]
    changed[0][3, 2, 1] ^= 1
    changed[3] = changed[3][::-1]
    put(own / "fashion-mnist", changed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = load("fashion-mnist")
    assert same(data, changed)
    (warning,) = caught
    assert warning.category is DifferentData
    assert warning.filename == __file__
    text = str(warning.message)
    assert "not the published Fashion-MNIST" in text
    assert [file in text for file in FILES] == [True, False, False, True]


WRONG = {
    "labels for images": (
        lambda a: (a[1], a[1], a[2], a[3]),
        "train-images-idx3-ubyte: .*looks like labels",
    ),
    "images for labels": (
        lambda a: (a[0], a[1], a[2], a[2]),
        "t10k-labels-idx1-ubyte: .*looks like images",
    ),
    "a label too few": (
        lambda a: (a[0], a[1][1:], a[2], a[3]),
        "holds 20 images and .*train-labels.* 19 labels",
    ),
    "a label too many": (
        lambda a: (a[0], a[1], a[2][2:], a[3]),
        "holds 8 images and .*t10k-labels.* 10 labels",
    ),
    "other sizes": (
        lambda a: (a[0], a[1], a[2][:, 1:], a[3]),
        "holds images of 6x7 and .*t10k-images.* of 5x7",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_files_that_do_not_fit_together(tmp_path, wrong):
    change, message = WRONG[wrong]
    put(tmp_path, change(small()))
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_labels_out_of_range(home, tmp_path):
    own, _ = home
    arrays = small(classes=3)
    arrays[3][4] = 3  # a class that no training image has
    with pytest.raises(
        ValueError,
        match=r"t10k-labels-idx1-ubyte: label 3 of image 4 is out of range.* 3 classes, 0 to 2",
    ):
        load(put(tmp_path / "folder", arrays))
    arrays[1][...] += 1
    arrays[3][...] = 1
    arrays[3][2] = 4
    with pytest.raises(ValueError, match=r"label 4 of image 2 is out of range.* 3 classes, 1 to 3"):
        load(put(tmp_path / "from one", arrays))
    arrays = small(classes=10)
    arrays[1][7] = 200
    put(own / "mnist", arrays)
    with (
        pytest.warns(DifferentData),
        pytest.raises(
            ValueError, match="train-labels-idx1-ubyte: label 200 of image 7 is out of range"
        ),
    ):
        load("mnist")


def test_two_files_of_a_kind(tmp_path):
    put(tmp_path, small())
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"has 2 files for train-images-idx3-ubyte: emnist.*; keep one"
    ):
        load(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("minst", "no data set or folder 'minst'; did you mean 'mnist'"),
        ("Fashion-MNIST", "did you mean 'fashion-mnist'"),
        ("fashion_mnist", "did you mean 'fashion-mnist'"),
        ("cifar", r"'cifar'\. Data sets are digits, mnist, fashion-mnist"),
        ("patterns", r"the patterns are drawn: autocnn.data.patterns\(\)"),
        (7, "a name or a folder, got 7"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ValueError, match=message):
        load(name)


def test_an_empty_folder_and_a_wrong_dtype(tmp_path):
    with pytest.raises(
        ValueError, match=r"holds nothing; a data set is a folder of image folders .*\.csv"
    ):
        load(tmp_path)
    for dtype in ("int64", "float16", 3):
        with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got"):
            load("digits", dtype=dtype)


@pytest.mark.parametrize(
    "platform, environment, expected",
    [
        ("linux", {}, "{home}/.cache/autocnn"),
        ("linux", {"XDG_CACHE_HOME": "/elsewhere"}, "/elsewhere/autocnn"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "{home}/.cache/autocnn"),
        ("darwin", {}, "{home}/Library/Caches/autocnn"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/autocnn"),
        ("win32", {}, "{home}/AppData/Local/autocnn"),
    ],
)
def test_the_cache_folder(monkeypatch, tmp_path, platform, environment, expected):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert find.cache_folder() == Path(expected.format(home=tmp_path))


def test_digits():
    sklearn = pytest.importorskip("sklearn.datasets")
    data = load("digits", dtype="float64")
    images, labels = sklearn.load_digits(return_X_y=True)
    x_train, y_train, x_val, y_val = [], [], [], []
    seen = dict.fromkeys(range(10), 0)
    for image, label in zip(images, labels, strict=True):
        seen[label] += 1
        (x_val if seen[label] % 5 == 0 else x_train).append(image.reshape(1, 8, 8) / 16)
        (y_val if seen[label] % 5 == 0 else y_train).append(label)
    for got, expected in zip(data[:4], (x_train, y_train, x_val, y_val), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert (len(y_train), len(y_val)) == SIZES
    assert load("digits").x_val.dtype == np.float32
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert np.bincount(data.y_val).min() >= 34
    assert doctest.testmod(loaders).failed == 0


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'autocnn\[sklearn\]'"):
        load("digits")


def test_importing_the_data_loads_no_optional_library():
    absent = {"sklearn", "pandas", "typer", "pickle5", "torch"}
    code = f"import sys, autocnn.data; print({absent!r} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, env=os.environ
    )
    assert done.stdout.strip() == "set()", done.stderr


@pytest.fixture(scope="module", params=["mnist", "fashion-mnist"])
def at_home(request):
    """A published data set as it lies on this machine; skipped where it does not."""
    if find.find(request.param) is None:
        pytest.skip(f"{request.param} is not on this machine: autocnn data fetch {request.param}")
    return request.param, load(request.param)


def test_the_published_sets(at_home):
    name, data = at_home  # loaded without a warning, so the sha256 are the published ones
    assert data.x_train.shape == (60000, 1, 28, 28)
    assert data.x_val.shape == (10000, 1, 28, 28)
    # Facts from outside: mean and deviation that everyone normalises with, and the first training
    # labels.
    mean, deviation, first = {
        "mnist": (0.1307, 0.3081, [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]),
        "fashion-mnist": (0.2860, 0.3530, [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]),
    }[name]
    assert data.x_train.mean(dtype=np.float64) == pytest.approx(mean, abs=5e-5)
    assert data.x_train.std(dtype=np.float64) == pytest.approx(deviation, abs=5e-5)
    assert data.y_train[:10].tolist() == first
    if name == "fashion-mnist":
        assert np.bincount(data.y_train).tolist() == [6000] * 10
        assert np.bincount(data.y_val).tolist() == [1000] * 10


def test_a_data_set_of_another_format_is_a_function_and_a_line(monkeypatch):
    def colours(dtype):
        x = np.linspace(0, 1, 2 * 3 * 4 * 5, dtype=dtype).reshape(2, 3, 4, 5)
        return Dataset(x[:1], np.array([0]), x[1:], np.array([1]), ("a", "b"))

    monkeypatch.setitem(loaders.LOADERS, "colours", colours)
    data = load("colours", "float64")
    assert data.x_train.shape == (1, 3, 4, 5) and data.x_val.dtype == np.float64
    with pytest.raises(ValueError, match="'colour'; did you mean 'colours'"):
        load("colour")
