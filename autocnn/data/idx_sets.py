"""Data sets of four IDX files: training and validation images with their labels."""

import re
import sys
from pathlib import Path

import numpy as np

from autocnn.data import find, idx
from autocnn.data.arrays import channels_first
from autocnn.data.dataset import Dataset
from autocnn.data.known import FILES, KNOWN
from autocnn.text import shape_text, visible
from reference.warn import warn

__all__ = ["DifferentData", "MissingData", "load_folder", "load_published"]


class DifferentData(UserWarning):
    """The files of a published data set are not the published ones: results will not compare."""


class MissingData(FileNotFoundError, ValueError):
    """A published data set is not on this machine. The message has a line for each folder."""


def load_published(name: str, dtype: np.dtype) -> Dataset:
    """Load a data set of ``KNOWN`` from wherever it is on this machine; see ``load``."""
    folder = find.find(name)
    if folder is None:
        searched = "\n".join(
            f"  {visible(place)}: {visible(find.mismatch(place, name))}"
            for place in find.folders(name)
        )
        raise MissingData(
            f"{name} is not on this machine. `autocnn data fetch {name}` gets it; or put "
            f"{', '.join(FILES)} (or .gz) into one of the folders that were searched:\n{searched}"
        )
    paths, arrays, sha256 = _read(folder, dtype)
    published = KNOWN[name]
    if sha256 != published.sha256:
        different = [
            f"{visible(path)} (sha256 {got[:12]}..., published {wanted[:12]}...)"
            for path, got, wanted in zip(paths, sha256, published.sha256, strict=True)
            if got != wanted
        ]
        warn(
            f"not the published {published.title}, results will not compare: "
            f"{'; '.join(different)}",
            DifferentData,
        )
    return _dataset(paths, arrays, published.classes)


def load_folder(path: Path, dtype: np.dtype, transpose: bool | None = None) -> Dataset:
    """Load four IDX files from a folder, or from beside one of them; see ``load``.

    transpose: swap rows and columns; None does so for files whose names begin with emnist, whose
    images are stored that way.
    """
    folder, like = (path, "") if path.is_dir() else (path.parent, path.name)
    paths, arrays, sha256 = _read(folder, dtype, like)
    for published in KNOWN.values():
        if sha256 == published.sha256 and not transpose:
            return _dataset(paths, arrays, published.classes)
    notes: tuple[str, ...] = ()
    is_emnist = paths[0].name.lower().startswith("emnist")
    if transpose or (transpose is None and is_emnist):
        x, y, x_val, y_val = arrays
        arrays = np.swapaxes(x, 2, 3).copy(), y, np.swapaxes(x_val, 2, 3).copy(), y_val
        notes = ("rows and columns were swapped" + ", as EMNIST needs" * is_emnist,)
    arrays, classes = _with_names(arrays, _mapping(paths[0]) if is_emnist else {}, paths[3])
    return _dataset(paths, arrays, classes)._replace(notes=notes)


def _mapping(path: Path) -> dict[int, str]:
    """Return {label: character} of EMNIST's file emnist-SPLIT-mapping.txt, {} without one.

    Its lines are a label, the code of the upper-case character, and that of the lower-case one.
    """
    found = re.match(r"(emnist-\w+)-train", path.name, flags=re.IGNORECASE)
    file = path.with_name(f"{found[1]}-mapping.txt") if found else path
    if not found or not file.is_file():
        return {}
    rows = [line.split() for line in file.read_text("ascii", "replace").splitlines()]
    return {
        int(row[0]): chr(int(row[1]))
        for row in rows
        if len(row) > 1 and all(cell.isdecimal() for cell in row[:2])
        and max(map(len, row[:2])) <= 7 and int(row[1]) <= sys.maxunicode
    }  # fmt: skip


def _with_names(
    arrays: tuple[np.ndarray, ...], names: dict[int, str], labels_path: Path
) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    """Return the arrays and the classes' names; labels that do not begin with 0, such as those of
    EMNIST's letters, are counted from 0, so that no output of a network is for none of them.

    labels_path: of the validation labels, which must be among those of the training images.
    """
    x, y, x_val, y_val = arrays
    used = np.unique(y)
    if not np.isin(used, list(names)).all():
        # Of labels from 0 on, those that happen not to occur in a small part stay classes.
        labels = range(int(used[-1]) + 1) if used[0] == 0 else used.tolist()
        names = {label: str(label) for label in labels}
    known = np.array(sorted(names))
    strange = ~np.isin(y_val, known)
    if strange.any():
        first = int(np.argmax(strange))
        raise ValueError(
            f"{labels_path}: label {y_val[first]} of image {first} is out of range: there are "
            f"{len(known)} classes, {known[0]} to {known[-1]}"
        )
    indices = [np.searchsorted(known, labels).astype(np.int64) for labels in (y, y_val)]
    return (x, indices[0], x_val, indices[1]), tuple(names[label] for label in known.tolist())


def _read(
    folder: Path, dtype: np.dtype, like: str = ""
) -> tuple[tuple[Path, ...], tuple[np.ndarray, ...], tuple[str, ...]]:
    """Return the paths, arrays (images in [0, 1], labels int64) and sha256 of the four files."""
    paths = find.idx_files(folder, like)
    x_train, y_train, *train_sha256 = _read_pair(paths[0], paths[1], dtype)
    x_val, y_val, *val_sha256 = _read_pair(paths[2], paths[3], dtype)
    if x_train.shape[1:] != x_val.shape[1:]:
        train_size, val_size = shape_text(x_train.shape[2:], "x"), shape_text(x_val.shape[2:], "x")
        raise ValueError(
            f"{paths[0]} holds images of {train_size} and {paths[2]} of {val_size}; they must be "
            "of one size"
        )
    return paths, (x_train, y_train, x_val, y_val), (*train_sha256, *val_sha256)


def _read_pair(
    images_path: Path, labels_path: Path, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray, str, str]:
    images, labels = idx.read(images_path, "images"), idx.read(labels_path, "labels")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images and {labels_path} {len(labels)} labels; "
            "every image needs one label"
        )
    sha256 = idx.digest(images)
    images = images[:, None] if images.ndim == 3 else channels_first(images)
    x = np.divide(np.ascontiguousarray(images), 255, dtype=dtype)  # (N, C, H, W)
    return x, labels.astype(np.int64), sha256, idx.digest(labels)


def _dataset(
    paths: tuple[Path, ...], arrays: tuple[np.ndarray, ...], classes: tuple[str, ...]
) -> Dataset:
    for path, labels in ((paths[1], arrays[1]), (paths[3], arrays[3])):
        if labels.max() >= len(classes):
            first = int(np.argmax(labels >= len(classes)))
            raise ValueError(
                f"{path}: label {labels[first]} of image {first} is out of range: there are "
                f"{len(classes)} classes, 0 to {len(classes) - 1}"
            )
    x, y, x_val, y_val = arrays
    return Dataset(x, y, x_val, y_val, classes)
