"""``from_arrays``: a data set from images and labels as other tools hand them over."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.dataset import Dataset
from autocnn.keys import rng
from autocnn.text import shape_text

__all__ = ["channels_first", "different_sizes", "from_arrays"]

CHANNELS = (1, 3, 4)  # what a last axis may be for images whose channels stand last


def from_arrays(
    images: Any,
    labels: Any,
    validation: Any = 0.2,
    *,
    classes: Sequence[str] | None = None,
    seed: Any = 0,
    dtype: DTypeLike = "float32",
) -> Dataset:
    """Make a ``Dataset`` of arrays (or nested lists, tensors, frames: whatever NumPy reads).

    images: (N, C, H, W); (N, H, W, C) with C of 1, 3 or 4, which is recognised where the second
        axis has another length; grey images (N, H, W); or rows (N, D) of square grey images.
        Unsigned integers are divided by the largest of their type (255 for bytes), booleans become
        0 and 1; floats must lie in [0, 1].
    labels: (N,), integers, strings or booleans; or (N, K) one-hot rows. Class k is the k-th
        label in sorted order.
    validation: the share of each class that is held out, drawn with ``seed``; at least one image
        of a class that has two. Or a pair (images, labels) to validate on.
    classes: names in the order of the sorted labels. Default: the labels themselves.
    dtype: of the images, float32 or float64.

    ValueError says what does not fit. ``seed`` is an int or a tuple of ints.

    >>> bars = np.zeros((6, 8, 8), np.uint8)
    >>> from_arrays(bars, ["a", "b"] * 3, validation=0.3)
    Dataset(4 + 2 images of 1x8x8, float32, classes: a, b)
    """
    x, y = _images(images, dtype), _labels(labels)
    _same_length(x, y, "images", "labels")
    if isinstance(validation, tuple | list):
        if len(validation) != 2:
            raise ValueError(
                "validation must be a share such as 0.2, or a pair (images, labels); got "
                f"{len(validation)} values"
            )
        x_val, y_val = _images(validation[0], dtype), _labels(validation[1])
        _same_length(x_val, y_val, "validation images", "validation labels")
        if x_val.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"validation images are {shape_text(x_val.shape[1:], 'x')}, training images "
                f"{shape_text(x.shape[1:], 'x')}"
            )
    else:
        held = _held_out(y, validation, seed)
        x_val, y_val, x, y = x[held], y[held], x[~held], y[~held]
    found = np.unique(y)
    unknown = np.setdiff1d(y_val, found)
    if unknown.size:
        raise ValueError(
            f"label {unknown[0]} occurs among the validation images only; a network cannot learn "
            "it: give training images of every class"
        )
    names = tuple(str(label) for label in found) if classes is None else tuple(classes)
    if len(names) != len(found):
        raise ValueError(
            f"classes has {len(names)} names, but the labels have {len(found)} values: "
            f"{', '.join(map(str, found[:6]))}{' ...' * (len(found) > 6)}"
        )
    return Dataset(x, np.searchsorted(found, y), x_val, np.searchsorted(found, y_val), names)


def _images(images: Any, dtype: DTypeLike) -> np.ndarray:
    """Return images as (N, C, H, W) floats in [0, 1]."""
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    try:
        x = np.asarray(images)
    except ValueError:
        x = np.empty(0, object)
    if x.dtype.kind not in "fuib" or x.ndim < 2 or x.size == 0:
        raise ValueError(
            different_sizes(images)
            or "images must be numbers (N, C, H, W), (N, H, W) or (N, H, W, C); got "
            f"{type(images).__name__} of shape {x.shape} and dtype {x.dtype}"
        )
    if x.ndim == 2:
        side = round(x.shape[1] ** 0.5)
        if side * side != x.shape[1]:
            raise ValueError(
                f"rows of {x.shape[1]} numbers are no square image; pass them as "
                "images.reshape(N, C, H, W)"
            )
        x = x.reshape(len(x), side, side)
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W), got shape {x.shape}")
    x = channels_first(x)
    return np.ascontiguousarray(_scaled(x, np.dtype(dtype)))


def channels_first(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) as (N, C, H, W), a view; other arrays as they are.

    Channels stand last where the last of four axes is 1, 3 or 4 long and the second is not.
    """
    last = images.ndim == 4 and images.shape[3] in CHANNELS and images.shape[1] not in CHANNELS
    return np.moveaxis(images, 3, 1) if last else images


def different_sizes(images: Any) -> str:
    """Return which image of a list has another size than the first one; "" if none has."""
    shapes = [np.shape(image) for image in images] if isinstance(images, list | tuple) else []
    for k, shape in enumerate(shapes):
        if shape != shapes[0] and len(shape) > 1:
            first = shape_text(shapes[0], "x")
            return f"image {k} is {shape_text(shape, 'x')}, image 0 {first}: resize them first"
    return ""


def _scaled(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if x.dtype.kind == "b":
        return x.astype(dtype)
    if x.dtype.kind == "u":
        return (x / np.iinfo(x.dtype).max).astype(dtype)
    low, high = float(x.min()), float(x.max())
    if x.dtype.kind == "f" and not np.isfinite([low, high]).all():
        raise ValueError("images must be finite; they hold NaN or infinity")
    if x.dtype.kind == "i" and low >= 0 and 1 < high <= 255:
        return (x / 255).astype(dtype)  # bytes that were read as wider integers
    if low < 0 or high > 1:
        raise ValueError(
            f"images must lie in [0, 1]; these reach from {low:g} to {high:g}. Pass "
            "images / 255 for values of bytes, or (images - low) / (high - low)"
        )
    return x.astype(dtype)


def _labels(labels: Any) -> np.ndarray:
    """Return labels (N,) of integers or strings."""
    y = np.asarray(labels)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "fuib":
        if not (np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()):
            raise ValueError(
                f"labels of shape {y.shape} must be one-hot rows, each with a single 1; or pass "
                "labels (N,)"
            )
        return y.argmax(axis=1)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"labels must be (N,) or one-hot (N, K), got shape {y.shape}")
    if y.dtype.kind == "f" and np.array_equal(y, np.round(y)):
        y = y.astype(np.int64)
    if y.dtype.kind == "O":
        y = np.array([str(label) for label in y])
    if y.dtype.kind not in "iubUS":
        raise ValueError(f"labels must be integers or strings, got {y.dtype}")
    return y


def _same_length(x: np.ndarray, y: np.ndarray, images: str, labels: str) -> None:
    if len(x) != len(y):
        raise ValueError(f"there are {len(x)} {images} and {len(y)} {labels}")


def _held_out(y: np.ndarray, share: Any, seed: Any) -> np.ndarray:
    """Return a mask of the images to validate on, drawn class by class."""
    if not isinstance(share, numbers.Real) or not 0 < share < 1:
        raise ValueError(
            f"validation must lie between 0 and 1, such as 0.2, or be a pair; got {share!r}"
        )
    draw, held = rng(seed), np.zeros(len(y), bool)
    for label in np.unique(y):
        places = draw.permutation(np.flatnonzero(y == label))
        count = round(share * len(places))
        held[places[: min(max(count, 1), len(places) - 1)]] = True
    if not held.any():
        raise ValueError("no class has two images, so that none can be held out for validation")
    return held
