"""Calls of NumPy that crash the process where an edit gives them shapes that do not fit.

``ufunc.at`` of NumPy 2.4 reads past its operands instead of raising, and ``as_strided`` checks
nothing. In the copies that the search runs, both check first and raise ValueError.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

__all__ = ["checked"]

try:
    from numpy.lib.array_utils import byte_bounds
except ImportError:  # NumPy 1
    byte_bounds = np.byte_bounds  # noqa: NPY201


def checked(function: Any) -> Callable | None:
    """Return what to call in place of a function that may crash; None for any other."""
    if function is np.lib.stride_tricks.as_strided:
        return _as_strided
    ufunc = getattr(function, "__self__", None)
    if isinstance(ufunc, np.ufunc) and getattr(function, "__name__", "") == "at":
        return partial(_at, ufunc)
    return None


def _at(ufunc: np.ufunc, a: Any, indices: Any, *operands: Any) -> None:
    places = np.asarray(a)[indices].shape  # raises IndexError for indices outside
    for b in operands:
        if np.broadcast_shapes(np.shape(b), places) != places:
            raise ValueError(f"{ufunc.__name__}.at: {np.shape(b)} does not fit places {places}")
    ufunc.at(a, indices, *operands)


def _as_strided(x: Any, shape: Any = None, strides: Any = None, **options: Any) -> np.ndarray:
    x = np.asarray(x)
    sizes = x.shape if shape is None else tuple(np.atleast_1d(shape))
    steps = x.strides if strides is None else tuple(np.atleast_1d(strides))
    if len(sizes) != len(steps):
        raise ValueError(f"as_strided: shape {sizes} and strides {steps} differ in length")
    memory = x
    while isinstance(memory.base, np.ndarray):
        memory = memory.base
    low, high = byte_bounds(memory)
    reach = [(int(n) - 1) * int(s) for n, s in zip(sizes, steps, strict=True)]
    first = x.__array_interface__["data"][0]
    if min(sizes, default=1) > 0 and (
        first + sum(min(r, 0) for r in reach) < low
        or first + sum(max(r, 0) for r in reach) + x.itemsize > high
    ):
        raise ValueError(f"as_strided: shape {sizes} with strides {steps} leaves the array")
    return np.lib.stride_tricks.as_strided(x, shape, strides, **options)
