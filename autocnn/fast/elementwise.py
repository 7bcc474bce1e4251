"""Elementwise work on images between layers, in the memory order that they have: no copies."""

import numpy as np
from numpy import ndarray

from autocnn.fast.arrays import supports
from autocnn.fast.kernels import kernels_for

__all__ = ["add_relu", "relu_backward"]


def add_relu(a: ndarray, b: ndarray) -> ndarray:
    """Return max(a + b, 0) for arrays of one shape, in a's memory order."""
    flat = _flat_pair(a, b)
    if flat is None:
        y = a + b
        return np.maximum(y, 0)
    y = np.empty_like(a)
    kernels_for(y.size).add_relu(*flat, _flat(y))
    return y


def relu_backward(dy: ndarray, y: ndarray) -> ndarray:
    """Return dy where y > 0, else 0, in dy's memory order."""
    flat = _flat_pair(dy, y)
    if flat is None:
        return dy * (y > 0)
    dx = np.empty_like(dy)
    kernels_for(dx.size).relu_backward(*flat, _flat(dx))
    return dx


def _flat_pair(a, b):
    """Return both arrays as flat views in memory order; None if they have different layouts, gaps
    or an unsupported dtype.
    """
    if a.strides != b.strides or a.shape != b.shape or not supports(a, b):
        return None
    a, b = _flat(a), _flat(b)
    return None if a is None or b is None else (a, b)


def _flat(a):
    """Return a flat view in memory order; None for an array with gaps."""
    order = sorted(range(a.ndim), key=lambda axis: -a.strides[axis])
    a = a.transpose(order)
    return a.reshape(-1) if a.flags.c_contiguous else None
