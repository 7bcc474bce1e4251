"""Pooling over channels-last images, forward and backward."""

import numpy as np

from autocnn.fast.kernels import kernels_for
from autocnn.fast.kernels.numpy import window_cells
from autocnn.ops.arguments import window_shape

__all__ = ["avg_pool", "avg_pool_back", "max_pool", "max_pool_back"]

NOWHERE = np.empty((0, 0, 0, 0), np.uint8)


def max_pool(x, size, stride, padding, keep):
    """Return (y, which) for contiguous x (N, H, W, C): ``which`` is the offset of each window's
    first maximum, if ``keep``.
    """
    n, h, w, c = x.shape
    ho, wo = window_shape((h, w), size, stride, padding, op="max_pool")
    y = np.empty((n, ho, wo, c), x.dtype)
    which = np.empty(y.shape, np.uint8) if keep else NOWHERE
    kernels_for(x.size).max_pool(x, y, which, size, stride, padding)
    return y, which


def max_pool_back(dy, which, shape, size, stride, padding):
    """Return dx (N, H, W, C): dy where each window's first maximum was."""
    dx = np.zeros(shape, dy.dtype)
    kernels_for(dx.size).max_pool_back(dy, which, dx, size, stride, padding)
    return dx


def avg_pool(x, size, stride, padding):
    """Return y (N, Ho, Wo, C): each window's sum, padding counted as zeros, divided by the
    window's size.
    """
    n, h, w, c = x.shape
    y = np.zeros((n, *window_shape((h, w), size, stride, padding, op="avg_pool"), c), x.dtype)
    for _, inside, cells in window_cells(x, y.shape, *size, *stride, *padding):
        y[inside] += cells
    y *= x.dtype.type(1 / (size[0] * size[1]))
    return y


def avg_pool_back(dy, shape, size, stride, padding):
    """Return dx (N, H, W, C): each dy, divided by the window's size, added to all the cells of
    its window.
    """
    dx = np.zeros(shape, dy.dtype)
    g = dy * dy.dtype.type(1 / (size[0] * size[1]))
    for _, inside, cells in window_cells(dx, dy.shape, *size, *stride, *padding):
        cells += g[inside]
    return dx
