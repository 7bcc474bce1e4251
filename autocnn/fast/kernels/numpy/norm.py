"""Normalization and elementwise work on the rows of a matrix (M, C)."""

import numpy as np

from autocnn.fast.kernels import tuning

__all__ = [
    "add_relu",
    "centered_sums",
    "column_sums",
    "normalize",
    "normalize_backward",
    "normalize_sums",
    "relu_backward",
    "relu_bias_backward",
]


def column_sums(x):
    """Return the sums over the rows of x (M, C): (C,), float64, or x's dtype for few rows."""
    if len(x) <= tuning.SUM_ROWS:
        return x.sum(axis=0)
    return np.add.reduceat(x, np.arange(0, len(x), tuning.SUM_ROWS), axis=0).sum(
        axis=0, dtype=np.float64
    )


def centered_sums(x, centre):
    """Return the sums over the rows of x - centre and of its square: (2, C), float64."""
    d = x - centre
    return np.stack([column_sums(d), column_sums(d * d)]).astype(np.float64, copy=False)


def normalize(x, centre, scale, shift, y, relu):
    """Write (x - centre) scale + shift into y (M, C), then, if ``relu``, max(y, 0)."""
    np.subtract(x, centre, out=y)
    y *= scale
    y += shift
    if relu:
        np.maximum(y, 0, out=y)


def normalize_sums(dy, x, y, centre, relu):
    """Return the sums over the rows of g and of g (x - centre): (2, C), float64.

    g is dy, and with ``relu`` 0 where y <= 0.
    """
    g = dy * (y > 0) if relu else dy
    return np.stack([column_sums(g), column_sums(g * (x - centre))]).astype(np.float64, copy=False)


def normalize_backward(dy, x, y, centre, s, dx, relu):
    """Write s[0] g + s[1] (x - centre) + s[2] into dx (M, C), with g as in ``normalize_sums``."""
    g = dy * (y > 0) if relu else dy
    np.subtract(x, centre, out=dx)
    dx *= s[1]
    dx += g * s[0]
    dx += s[2]


def add_relu(a, b, y):
    """Write max(a + b, 0) into y."""
    np.add(a, b, out=y)
    np.maximum(y, 0, out=y)


def relu_backward(dy, y, dx):
    """Write dy where y > 0, else 0, into dx."""
    np.multiply(dy, y > 0, out=dx)


def relu_bias_backward(dy, y, dx):
    """Write dy (M, F) where y > 0, else 0, into dx; return its sums over rows (F,), float64."""
    np.multiply(dy, y > 0, out=dx)
    return column_sums(dx)
