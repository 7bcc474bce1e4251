"""Real images: MNIST, Fashion-MNIST, scikit-learn's digits, or any folder of IDX files, as a
Dataset.
"""

import warnings
from pathlib import Path

import numpy as np

from autocnn.data import find, idx
from autocnn.data.dataset import Dataset
from autocnn.data.digits import digits
from autocnn.data.known import FILES, KNOWN
from autocnn.text import did_you_mean, shape_text


class DifferentData(UserWarning):
    """The files of a published data set are not the published ones: results will not compare."""


class MissingData(FileNotFoundError, ValueError):
    """A published data set is not on this machine."""


def load(name, dtype="float32"):
    """A Dataset of real images (N, C, H, W) in [0, 1], float32 or float64, and labels int64.

    `name` is "digits" (see `autocnn.data.digits.digits`), "mnist", "fashion-mnist", or the path of
    a folder of four IDX files, gzipped or not. The two published sets are looked for in
    $AUTOCNN_DATA (in a folder of their name, in torchvision's layout, or right there), in the
    user's cache folder, and where Debian's package dataset-fashion-mnist puts them; `autocnn data`
    shows what is found. Byte values are divided by 255 and not normalised further. The published
    10,000 test images are the validation set, as the field reports them.

    A folder's classes are named "0", "1", ... up to the largest training label, unless its files
    are a published set's. Files under a published name that are not the published ones load with
    one DifferentData warning. ValueError for an unknown name, damaged files, or images and labels
    that do not fit together; MissingData if the set is not here.

    >>> data = load("digits")
    >>> data.x_train.shape, data.x_val.shape, data.x_train.dtype
    ((1442, 1, 8, 8), (355, 1, 8, 8), dtype('float32'))
    """
    dtype = _float_type(dtype)
    if name == "digits":
        return digits(dtype)
    published = name if isinstance(name, str) and name in KNOWN else None
    folder = _where(published) if published else _folder(name)

    paths = find.idx_files(folder)
    x_train, y_train, train_sha256 = _part(*paths[:2], dtype)
    x_val, y_val, val_sha256 = _part(*paths[2:], dtype)
    if x_train.shape[1:] != x_val.shape[1:]:
        raise ValueError(
            f"{paths[0]} holds images of {_size(x_train)} and {paths[2]} of {_size(x_val)}; they must be of one size"
        )
    sha256 = train_sha256 + val_sha256
    if published and sha256 != KNOWN[published].sha256:
        _warn(published, paths, sha256)
    same = published or next(
        (other for other, known in KNOWN.items() if known.sha256 == sha256), None
    )
    classes = KNOWN[same].classes if same else tuple(str(i) for i in range(y_train.max() + 1))
    _check_labels(paths[1], y_train, classes)
    _check_labels(paths[3], y_val, classes)
    return Dataset(x_train, y_train, x_val, y_val, classes)


def _part(images_path, labels_path, dtype):
    """Images (N, 1, H, W) in [0, 1], labels (N,) int64 and the two files' sha256."""
    images, labels = idx.read(images_path, "images"), idx.read(labels_path, "labels")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images and {labels_path} {len(labels)} labels; "
            f"every image needs one label"
        )
    x = np.divide(images, 255, dtype=dtype)[:, None]
    return x, labels.astype(np.int64), (idx.digest(images), idx.digest(labels))


def _float_type(dtype):
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(
            f"dtype must be 'float32' or 'float64', got {dtype!r}: load('digits', dtype='float64')"
        )
    return np.dtype(dtype)


def _where(name):
    folder = find.find(name)
    if folder is None:
        looked = "\n".join(
            f"  {place}: {find.why_not(place, name)}" for place in find.folders(name)
        )
        raise MissingData(
            f"{name} is not on this machine. `autocnn data fetch {name}` gets it; or put {', '.join(FILES)} "
            f"(or .gz) into one of the folders that were searched:\n{looked}"
        )
    return folder


def _folder(name):
    try:
        folder = Path(name).expanduser()
    except TypeError:
        raise ValueError(
            f"a data set is a name or a folder, got {name!r}: load('digits')"
        ) from None
    if folder.is_dir():
        return folder
    names = ["digits", *KNOWN]
    hint = did_you_mean(name, names)
    if name == "patterns":
        hint = "; the patterns are drawn: autocnn.data.patterns()."
    raise ValueError(
        f"there is no data set or folder {str(name)!r}{hint} Data sets are {', '.join(names)}."
    )


def _check_labels(path, labels, classes):
    if labels.max() >= len(classes):
        first = int(np.argmax(labels >= len(classes)))
        raise ValueError(
            f"{path}: label {labels[first]} of image {first} is out of range: there are {len(classes)} classes, "
            f"0 to {len(classes) - 1}"
        )


def _warn(name, paths, sha256):
    differing = [
        f"{path} (sha256 {got[:12]}..., published {wanted[:12]}...)"
        for path, got, wanted in zip(paths, sha256, KNOWN[name].sha256, strict=True)
        if got != wanted
    ]
    warnings.warn(
        f"not the published {KNOWN[name].title}, results will not compare: {'; '.join(differing)}",
        DifferentData,
        stacklevel=3,
    )


def _size(x):
    return shape_text(x.shape[2:], "x")
