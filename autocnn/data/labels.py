"""Labels of any kind as indices of classes, and their split into training and validation."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from autocnn.keys import rng

__all__ = ["LARGEST", "Labels", "encode", "hold_out", "read_labels"]

LARGEST = 2**53  # of floats that tell every integer from the next


class Labels:
    """Labels (N,) of integers or strings, and how many classes one-hot rows have (else None)."""

    def __init__(self, values: np.ndarray, one_hot: int | None = None) -> None:
        self.values, self.one_hot = values, one_hot


def read_labels(labels: Any, what: str = "labels") -> Labels:
    """Read labels: integers, strings, booleans, or floats that are integers, (N,) or (N, 1), as
    arrays, lists, tensors or series; or one-hot rows (N, K). ValueError for anything else.
    """
    if hasattr(labels, "detach"):  # a tensor of torch
        labels = labels.detach().cpu()
    try:
        y = np.asarray(labels)
    except ValueError:
        raise ValueError(f"{what} must be (N,); got rows of different lengths") from None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "fuib":
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            raise ValueError(
                f"{what} of shape {y.shape} must be one-hot rows, each with a single 1; or pass "
                f"{what} (N,)"
            )
        return Labels(y.argmax(axis=1), y.shape[1])
    if y.ndim != 1 or not len(y):
        raise ValueError(f"{what} must be (N,) or one-hot (N, K), got shape {y.shape}")
    if y.dtype.kind == "O":
        y = _from_objects(y, what)
    if y.dtype.kind == "f" and _are_whole(y):
        y = y.astype(np.int64)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind not in "iubU":
        missing = y.dtype.kind == "f" and np.isnan(y).any()
        raise ValueError(
            f"{what} must be integers or strings, got {y.dtype}"
            + (f"; {np.isnan(y).sum()} of them are NaN: leave those images out" if missing else "")
        )
    return Labels(y)


def _are_whole(y: np.ndarray) -> bool:
    values = y.astype(np.float64)
    return bool((np.abs(values) <= LARGEST).all()) and np.array_equal(values, np.round(values))


def _from_objects(y: np.ndarray, what: str) -> np.ndarray:
    missing = [k for k, label in enumerate(y) if label is None or label != label]
    if missing:
        raise ValueError(
            f"{len(missing)} {what} are missing, the first of image {missing[0]}: leave those "
            "images out"
        )
    if all(isinstance(label, numbers.Integral) for label in y):
        return y.astype(np.int64)
    return np.array([str(label) for label in y])


def encode(
    y: Labels, others: Sequence[tuple[str, Labels]], classes: Sequence[str] | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return the labels of the training images and of ``others`` as indices (int64), and the names.

    others: (what they are of, labels). classes: the names; where their number is that of the
    different labels, in the sorted order of these; otherwise indexed by integer labels. Strings
    that are among the names are that class, whatever the order. ValueError for a label of others
    that does not occur in training, for names that do not fit, and for a single class.
    """
    found: np.ndarray = np.arange(y.one_hot) if y.one_hot else np.unique(y.values)
    names = tuple(str(label) for label in found)
    if classes is not None:
        names = tuple(map(str, classes))
        if found.dtype.kind == "U" and set(found) <= set(names):
            found = np.array(names)
        elif found.dtype.kind in "iu" and found[0] >= 0 and found[-1] < len(names):
            found = np.arange(len(names))
    if len(names) != len(found):
        raise ValueError(
            f"classes has {len(names)} names, but the labels have {len(found)} values: "
            f"{', '.join(map(str, found[:6]))}{' ...' * (len(found) > 6)}"
        )
    if len(names) == 1:
        raise ValueError(
            f"all labels are {names[0]!r}; a network tells two classes or more apart, so give "
            "images of another class as well"
        )
    if len(set(names)) != len(names):
        raise ValueError("two classes have the same name; give each its own")
    indices = []
    for where, part in [("training", y), *others]:
        unknown = np.setdiff1d(part.values, found)
        if unknown.size:
            raise ValueError(
                f"label {unknown[0]} occurs among the {where} images only; a network cannot learn "
                "it: give training images of every class"
            )
        order = np.argsort(found, kind="stable")
        indices.append(order[np.searchsorted(found, part.values, sorter=order)].astype(np.int64))
    return indices, names


def hold_out(y: np.ndarray, share: Any, seed: Any = 0) -> np.ndarray:
    """Return a mask (N,) of the images to validate on, drawn class by class with ``seed``.

    share: of each class, between 0 and 1; at least one image of a class that has two, and never
    all. ValueError for another share, or when no class has two images.
    """
    is_number = isinstance(share, numbers.Real) and not isinstance(share, bool)
    if not is_number or not 0 < float(share) < 1:
        raise ValueError(
            f"validation must lie between 0 and 1, such as 0.2, or be a pair; got {share!r}"
        )
    draw, held = rng(seed), np.zeros(len(y), bool)
    for label in np.unique(y):
        places = draw.permutation(np.flatnonzero(y == label))
        count = round(float(share) * len(places))
        held[places[: min(max(count, 1), len(places) - 1)]] = True
    if not held.any():
        raise ValueError("no class has two images, so that none can be held out for validation")
    return held
