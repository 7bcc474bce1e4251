"""Validation of a word's arguments: each returns the checked value or raises one ValueError."""

import math
import numbers
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = [
    "check_windows",
    "concrete",
    "float_type",
    "image_shape",
    "integer",
    "pair",
    "real",
    "shape_of_one",
    "window_shape",
]

LARGEST = 2**48  # numbers in one example: more do not fit into any machine's memory


def integer(value: Any, name: str, least: int = 1) -> int:
    """Return ``value`` as an int of at least ``least``; ``name`` says what it is in the error."""
    if type(value) is int and value >= least:
        return value
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int, {least} or more; got {value!r}")
    return int(value)


def real(value: Any, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return ``value`` as a float in [low, high]; ValueError unless it is finite and real."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number; got {value!r}")
    if not low <= value <= high:
        limits = f"in [{low:g}, {high:g}]" if high < math.inf else f"{low:g} or more"
        raise ValueError(f"{name} must be {limits}; got {value!r}")
    return float(value)  # a numpy float64 would turn float32 arrays into float64


def pair(value: Any, name: str = "argument", least: int = 1) -> tuple[int, int]:
    """Return an int, or a pair of ints, as the pair (vertical, horizontal)."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(
            f"{name} must be an int or a pair of ints (vertical, horizontal); got {value!r}"
        )
    return integer(both[0], name, least), integer(both[1], name, least)


def image_shape(word: str, shape: tuple) -> tuple[int, int, int]:
    """Return ``shape`` if it is that of an image, (C, H, W)."""
    if len(shape) != 3:
        raise ValueError(
            f"{word} needs images (C, H, W), got shape {tuple(shape)} (no batch); "
            "a grey image is (1, H, W)"
        )
    return shape


@lru_cache(maxsize=1024)  # training asks for the same few shapes at every step
def window_shape(word, size, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False):
    """Return how many windows fit into images of ``size`` (H, W), as (Ho, Wo).

    Ho = (H + 2 p - d (k - 1) - 1) // s + 1. With ``ceil_mode`` the division rounds up, as in
    torch: the last window may reach over the edge if it starts inside the image or its upper or
    left padding. Raises ValueError when no window fits.
    """
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    out = []
    for n, r, s, p in zip(size, reach, stride, padding, strict=True):
        m = (n + 2 * p - r + (s - 1 if ceil_mode else 0)) // s + 1
        out.append(m - 1 if ceil_mode and (m - 1) * s >= n + p else m)
    if min(out) < 1:
        rows, columns = (n + 2 * p for n, p in zip(size, padding, strict=True))
        raise ValueError(
            f"{word}: a window of {reach[0]}x{reach[1]} does not fit into an image of "
            f"{rows}x{columns}{' (padding included)' if any(padding) else ''}; use a smaller "
            "kernel, more padding or larger images"
        )
    return tuple(out)


def check_windows(word: str, size: tuple, padding: tuple) -> None:
    """Raise ValueError where a pooling window could lie in the padding alone."""
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ValueError(f"{word}: padding {padding} must be at most half the window {size}")


def shape_of_one(shape: Any) -> tuple[int, ...]:
    """Return the shape of one example, without the batch axis, as a tuple of ints."""
    given = shape.tolist() if isinstance(shape, np.ndarray) else shape
    sizes = given if isinstance(given, (tuple, list)) else ()
    if not sizes or not all(
        isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 1 for n in sizes
    ):
        raise ValueError(
            f"got the shape {shape!r}; it must be that of one image, (C, H, W), or of one vector, "
            "(D,), without the batch: a tuple of ints, 1 or more, as in model.init(0, (1, 28, 28))"
        )
    if math.prod(map(int, sizes)) >= LARGEST:
        raise ValueError(
            f"got the shape {tuple(sizes)}, more numbers than fit into memory; a shape is (C, H, W)"
        )
    return tuple(map(int, sizes))


def float_type(dtype: Any) -> np.dtype:
    """Return ``dtype`` as a NumPy dtype of floating-point numbers."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in "fc":
        raise ValueError(f"dtype must be a type of floats, 'float32' or 'float64'; got {dtype!r}")
    return found


def concrete(a: Any) -> Any:
    """Return the array behind ``a``: automatic differentiation wraps arrays, as ``_value``."""
    while hasattr(a, "_value"):
        a = a._value
    return a
