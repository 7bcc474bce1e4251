"""Arguments of the windowed ops: an int stands for a pair, and windows must fit."""

import math
import numbers
from functools import lru_cache

__all__ = ["pair", "real", "whole", "window_shape"]


def whole(value, name, least=1):
    """Return ``value`` as an int; ValueError unless it is a whole number of at least ``least``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int, {least} or more; got {value!r}")
    return int(value)


def real(value, name):
    """Return ``value`` as a float; ValueError unless it is a finite real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number; got {value!r}")
    return float(value)  # numpy's float64 would widen float32


def pair(value, name="argument", least=1):
    """Return an int or a pair of ints as (vertical, horizontal); ValueError unless both are at
    least ``least``.
    """
    if (
        type(value) is tuple and len(value) == 2
    ):  # nearly always, inside the project; asking abstract classes is slow
        a, b = value
        if type(a) is int and type(b) is int and a >= least and b >= least:
            return value
    if not isinstance(value, (tuple, list)):
        value = (value, value)
    if len(value) != 2:
        raise ValueError(
            f"{name} must be an int or a pair of ints (vertical, horizontal); got {value!r}"
        )
    return whole(value[0], name, least), whole(value[1], name, least)


def window_shape(size, kernel_size, stride=1, padding=0, dilation=1, op="windows", ceil_mode=False):
    """Return how many windows (Ho, Wo) fit into images of ``size`` (H, W): (H + 2 p - d (k - 1) -
    1) // s + 1, rounded down.

    With ``ceil_mode`` the division is rounded up, as in torch: a last window may hang over the
    lower or right edge, if it starts inside the image or its upper or left padding. Raises
    ValueError when no window fits.
    """
    return _window_shape(
        tuple(size),
        pair(kernel_size),
        pair(stride),
        pair(padding, least=0),
        pair(dilation),
        op,
        bool(ceil_mode),
    )


@lru_cache(maxsize=1024)  # training asks for the same few shapes at every step
def _window_shape(size, k, s, p, d, op, ceil_mode):
    reach = [di * (ki - 1) + 1 for di, ki in zip(d, k, strict=True)]
    out = []
    for n, r, si, pi in zip(size, reach, s, p, strict=True):
        m = (n + 2 * pi - r + (si - 1 if ceil_mode else 0)) // si + 1
        out.append(m - 1 if ceil_mode and (m - 1) * si >= n + pi else m)
    if min(out) < 1:
        padded = [n + 2 * pi for n, pi in zip(size, p, strict=True)]
        raise ValueError(
            f"{op}: a window of {reach[0]}x{reach[1]} does not fit into an image of {padded[0]}x{padded[1]}"
            f"{' (padding included)' if any(p) else ''}; use a smaller kernel, more padding or larger images"
        )
    return tuple(out)
