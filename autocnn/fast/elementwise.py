"""Elementwise work on images between layers, laid out as they are: no copy into another order."""

import numpy as np

from autocnn.fast.arrays import supports
from autocnn.fast.kernels import kernels_for

__all__ = ["add_relu", "relu_backward"]


def add_relu(a, b):
    """Return max(a + b, 0) for arrays of one shape."""
    flat = _in_memory_order(a, b)
    if flat is None:
        y = a + b
        return y * (y > 0)
    y = np.empty_like(a)  # laid out like a
    kernels_for(y.size).add_relu(*flat, _flat(y))
    return y


def relu_backward(dy, y):
    """Return dy where y > 0, else 0."""
    flat = _in_memory_order(dy, y)
    if flat is None:
        return dy * (y > 0)
    dx = np.empty_like(dy)
    kernels_for(dx.size).relu_backward(*flat, _flat(dx))
    return dx


def _in_memory_order(a, b):
    """Return both arrays as flat views in the order of memory; None if they are laid out
    differently or with gaps.
    """
    if a.strides != b.strides or a.shape != b.shape or not supports(a, b):
        return None
    a, b = _flat(a), _flat(b)
    return None if a is None or b is None else (a, b)


def _flat(a):
    """Return a dense array as a flat view, whatever the order of its axes; None if there are
    gaps.
    """
    order = sorted(range(a.ndim), key=lambda axis: -a.strides[axis])
    a = a.transpose(order)
    return a.reshape(-1) if a.flags.c_contiguous else None
