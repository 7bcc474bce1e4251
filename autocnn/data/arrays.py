"""``from_arrays``: a data set from images and labels as other tools hand them over."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.dataset import Dataset
from autocnn.data.labels import encode, hold_out, read_labels
from autocnn.data.scale import BYTE, scaled
from autocnn.text import shape_text

__all__ = ["channels_first", "fault_of_list", "from_arrays"]

CHANNELS = (1, 3, 4)  # what a last axis may be for images whose channels stand last


def from_arrays(
    images: Any,
    labels: Any,
    validation: Any = 0.2,
    *,
    test: Any = None,
    classes: Sequence[str] | None = None,
    scale: float | None = None,
    seed: Any = 0,
    dtype: DTypeLike = "float32",
) -> Dataset:
    """Make a ``Dataset`` of arrays (or nested lists, tensors, frames: whatever NumPy reads).

    images: (N, C, H, W); (N, H, W, C) with C of 1, 3 or 4, which is recognised where the second
        axis has another length; grey images (N, H, W); or rows (N, D) of square grey images.
        Integers are divided by 255; by their largest value where that is at most 64; by the largest
        of 10, 12, 14 or 16 bits where they reach further. Booleans become 0 and 1. Floats must lie
        in [0, 1] or be standardized, unless ``scale`` is given.
    labels: (N,), integers, strings, booleans, or floats that are integers; or (N, K) one-hot rows.
        Class k is the k-th label in sorted order; one-hot rows have K classes.
    validation: the share of each class that is held out, drawn with ``seed``; at least one image
        of a class that has two. Or a pair (images, labels) to validate on. None: nothing is held
        out, and the data set has no validation images.
    test: a pair (images, labels) for ``x_test`` and ``y_test``, or None.
    classes: names in the order of the sorted labels. Default: the labels themselves. More names
        than labels occur are indexed by integer labels.
    scale: the value of ``images`` that becomes 1, such as 255. Default: as said above.
    dtype: of the images, float32 or float64.

    ValueError says what does not fit. ``seed`` is an int or a tuple of ints.

    >>> bars = np.zeros((6, 8, 8), np.uint8)
    >>> from_arrays(bars, ["a", "b"] * 3, validation=0.3)
    Dataset(4 + 2 images of 1x8x8, float32, classes: a, b)
    """
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    x, y = _images(images), read_labels(labels)
    _same_length(x, y.values, "")
    x, divisor = scaled(x, dtype, scale)
    pairs = {}
    given = {"validation": validation if isinstance(validation, tuple | list) else None}
    for name, pair in (given | {"test": test}).items():
        if pair is None:
            continue
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            got = f"{len(pair)} values" if isinstance(pair, tuple | list) else repr(pair)
            share = "a share such as 0.2, or " if name == "validation" else ""
            raise ValueError(f"{name} must be {share}a pair (images, labels); got {got}")
        held_x, held_y = _images(pair[0]), read_labels(pair[1], f"{name} labels")
        _same_length(held_x, held_y.values, f"{name} ")
        if held_x.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"{name} images are {shape_text(held_x.shape[1:], 'x')}, training images "
                f"{shape_text(x.shape[1:], 'x')}"
            )
        if held_x.dtype.kind in "iu" and divisor != 1:
            pairs[name] = scaled(held_x, dtype, divisor)[0], held_y
        else:
            pairs[name] = scaled(held_x, dtype, scale)[0], held_y
    (y_train, *held), names = encode(
        y, [(name, part) for name, (_, part) in pairs.items()], classes
    )
    arrays = {name: (pairs[name][0], part) for name, part in zip(pairs, held, strict=True)}
    x_val, y_val = arrays.get("validation", (None, None))
    x_test, y_test = arrays.get("test", (None, None))
    if validation is not None and "validation" not in pairs:
        mask = hold_out(y_train, validation, seed)
        x_val, y_val, x, y_train = x[mask], y_train[mask], x[~mask], y_train[~mask]
    notes = [] if scale or divisor in (1, BYTE) else [f"values were divided by {divisor}"]
    return Dataset(x, y_train, x_val, y_val, names, x_test=x_test, y_test=y_test, notes=notes)


def _images(images: Any) -> np.ndarray:
    """Return images as (N, C, H, W) of any dtype of numbers."""
    if hasattr(images, "detach"):  # a tensor of torch
        images = images.detach().cpu()
    try:
        x = np.asarray(images)
    except (ValueError, TypeError):
        x = np.empty(0, object)
    if fault := fault_of_list(images):
        raise ValueError(fault)
    if x.ndim > 1 and x.size == 0:
        raise ValueError(f"there are no images: their array is empty, of shape {x.shape}")
    if x.dtype.kind not in "fuib" or x.ndim < 2:
        raise ValueError(
            "images must be numbers (N, C, H, W), (N, H, W) or (N, H, W, C); got "
            f"{type(images).__name__} of shape {x.shape} and dtype {x.dtype}"
        )
    if x.ndim == 2:
        side, third = round(x.shape[1] ** 0.5), round((x.shape[1] / 3) ** 0.5)
        if side * side != x.shape[1]:
            colour = f"(N, 3, {third}, {third})" if 3 * third * third == x.shape[1] else ""
            raise ValueError(
                f"rows of {x.shape[1]} numbers are no square image; pass them as images.reshape"
                f"{colour or '(N, C, H, W)'}"
            )
        x = x.reshape(len(x), side, side)
    if x.ndim == 3:
        x = x[:, None]
    if x.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W), got shape {x.shape}")
    return np.ascontiguousarray(channels_first(x))


def channels_first(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) as (N, C, H, W), a view; other arrays as they are.

    Channels stand last where the last of four axes is 1, 3 or 4 long and the second is not.
    """
    last = images.ndim == 4 and images.shape[3] in CHANNELS and images.shape[1] not in CHANNELS
    return np.moveaxis(images, 3, 1) if last else images


def fault_of_list(images: Any) -> str:
    """Return why the images of a list make no array: one has another size or other channels than
    the first, or is a PIL image whose numbers are indices into a palette; "" otherwise.
    """
    if not isinstance(images, list | tuple):
        return ""
    shapes = [np.shape(image) for image in images]
    for k, (image, shape) in enumerate(zip(images, shapes, strict=True)):
        if getattr(image, "mode", None) in ("P", "PA"):
            return (
                f"image {k} is a PIL image of mode {image.mode}, whose numbers are indices into a "
                "palette: pass [image.convert('RGB') for image in images]"
            )
        if shape != shapes[0] and len(shape) > 1:
            text = f"image {k} is {shape_text(shape, 'x')}, image 0 {shape_text(shapes[0], 'x')}: "
            if shape[:2] != shapes[0][:2] or not hasattr(image, "mode"):
                return text + "resize them first"
            return text + "pass [image.convert('RGB') for image in images], or convert('L')"
    return ""


def _same_length(x: np.ndarray, y: np.ndarray, what: str) -> None:
    if len(x) != len(y):
        text = f"there are {len(x)} {what}images and {len(y)} {what}labels"
        if x.shape[-1] == len(y):  # as in MATLAB's files, such as SVHN's
            text += "; the last axis counts the images, so pass np.moveaxis(images, -1, 0)"
        raise ValueError(text)
