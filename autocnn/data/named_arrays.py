"""Arrays in .npz, .npy and .mat files, whose names tell what they are.

Keras' x_train, y_train, x_test, y_test; MedMNIST's train_images, train_labels, val_images, ...;
X, y; images, labels; SVHN's X (H, W, C, N) and y.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autocnn.data.matlab import read_matlab
from autocnn.data.parts import Pair, Parts, as_bytes, check_memory
from autocnn.numpy_files import open_npz, read_npy

__all__ = ["read_mat", "read_npy_folder", "read_npz"]

PARTS = {
    "train": "train(?:ing)?",
    "val": "val(?:id(?:ation)?)?|dev",
    "test": "test(?:ing)?|t10k",
}
# In the order in which they are taken, where a file has several.
IMAGES = ("images", "image", "imgs", "img", "x", "data", "inputs", "features", "pixels")
LABELS = ("labels", "label", "y", "targets", "target", "class", "lbl")
NAMES = ("classnames", "classes", "labelnames", "targetnames", "names")
NEEDED = "x_train and y_train, train_images and train_labels, or X and y"


def read_npz(path: Path) -> Parts:
    """Read the arrays of a .npz file. ValueError when their names do not tell which are images and
    which labels, and for Python objects, which are never unpickled.
    """
    with open_npz(path) as members:
        total = sum(math.prod(one.shape) * one.dtype.itemsize for one in members.values())
        check_memory(total, f"{path}: its arrays", "save fewer images, or as bytes (uint8)")
        return _parts({name: member.read() for name, member in members.items()}, path)


def read_npy_folder(folder: Path) -> Parts:
    """Read a folder of .npy files, each an array that its name describes; errors as for .npz."""
    paths = sorted(folder.glob("*.npy"))
    check_memory(
        sum(path.stat().st_size for path in paths),
        f"{folder}: its arrays",
        "save fewer images, or as bytes (uint8)",
    )
    return _parts({path.stem: read_npy(path) for path in paths}, folder)


def read_mat(paths: Mapping[str, Path], where: Path) -> Parts:
    """Read MATLAB files with X (H, W, C, N) and y as SVHN has them, {part: path}, of ``where``.

    Label 10 of SVHN's digits is the digit 0. ValueError as for ``read_matlab``.
    """
    if "train" not in paths:
        raise ValueError(f"{where}: there is no train_32x32.mat in it or beside it")
    pairs: dict[str, Pair] = {}
    for part, path in paths.items():
        values = read_matlab(path, ("X", "y"))
        if "X" not in values or "y" not in values:
            raise ValueError(f"{path} has no X (H, W, C, N) and y; SVHN's cropped digits have them")
        x, y = values["X"], values["y"].ravel()
        if x.ndim == 4 and x.shape[3] == len(y):
            x = x.transpose(3, 2, 0, 1)
        pairs[part] = x, np.where(y == 10, 0, y) if set(np.unique(y)) <= {*range(1, 11)} else y
    return Parts(pairs["train"], None, pairs.get("test"))


def _parts(arrays: Mapping[str, np.ndarray], path: Path) -> Parts:
    found: dict[tuple[str, str], tuple[int, str]] = {}
    names, unused = None, []
    for name, array in arrays.items():
        part, kind, rank = _meaning(name)
        if kind == "names" and array.ndim == 1:
            names = [str(one) for one in array]
        elif kind in ("images", "labels") and array.ndim > 0:
            if rank < found.get((part, kind), (99, ""))[0]:
                found[part, kind] = rank, name
        else:
            unused.append(name)
    if not found:
        found = _by_position(arrays)
    part = "train" if ("train", "images") in found else ""
    if (part, "images") not in found or (part, "labels") not in found:
        has = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:8])
        raise ValueError(f"{path} has {has or 'no arrays'}; needed are {NEEDED}")
    pairs: dict[str, Pair | None] = {}
    notes = []
    for one in (part, "val", "test"):
        images, labels = found.get((one, "images")), found.get((one, "labels"))
        pairs[one] = None
        if images and labels:
            pairs[one] = as_bytes(arrays[images[1]]), arrays[labels[1]]
        elif images:
            notes.append(f"{images[1]} has no labels and was left out")
    train = pairs[part]
    assert train is not None
    return Parts(train, pairs["val"], pairs["test"], names, tuple(notes))


def _meaning(name: str) -> tuple[str, str, int]:
    """Return the part ("" for none), the kind and the rank of an array by its name."""
    word = re.sub(r"[^a-z0-9]", "", name.lower())
    part, rest = "", word
    for one, pattern in PARTS.items():
        shorter, count = re.subn(f"^(?:{pattern})|(?:{pattern})$", "", word, count=1)
        if count:
            part, rest = one, shorter
            break
    if not part and rest in NAMES:
        return part, "names", 0
    for kind, words in (("images", IMAGES), ("labels", LABELS)):
        if rest in words or rest.rstrip("s") in words:
            return part, kind, words.index(rest if rest in words else rest.rstrip("s"))
    return part, "", 0


def _by_position(arrays: Mapping[str, np.ndarray]) -> dict[tuple[str, str], tuple[int, str]]:
    """What numpy.savez(file, x, y) or (file, x, y, x_test, y_test) has called arr_0, arr_1, ..."""
    names = [f"arr_{k}" for k in range(len(arrays))]
    if set(names) != set(arrays) or len(names) not in (2, 4):
        return {}
    kinds = [(part, kind) for part in ("train", "test") for kind in ("images", "labels")]
    return {kind: (0, name) for kind, name in zip(kinds, names, strict=False)}
