"""Pooling over channels-last images, forward and backward."""

import numpy as np
from numpy import ndarray

from autocnn.fast.kernels import kernels_for
from autocnn.ops.arguments import window_shape

__all__ = ["avg_pool", "avg_pool_backward", "max_pool", "max_pool_backward"]

Pair = tuple[int, int]
_NO_INDICES = np.empty((0, 0, 0, 0), np.uint8)


def max_pool(
    x: ndarray, size: Pair, stride: Pair, padding: Pair, return_indices: bool
) -> tuple[ndarray, ndarray]:
    """Return (y, indices) for contiguous x (N, H, W, C): y (N, Ho, Wo, C) is each window's maximum.

    indices, uint8, is the offset u kw + v of each window's first maximum, empty unless
    ``return_indices``. A window has at most 255 cells.
    """
    n, h, w, c = x.shape
    y = np.empty((n, *window_shape((h, w), size, stride, padding, op="max_pool"), c), x.dtype)
    indices = np.empty(y.shape, np.uint8) if return_indices else _NO_INDICES
    kernels_for(x.size).max_pool(x, y, indices, size, stride, padding)
    return y, indices


def max_pool_backward(
    dy: ndarray, indices: ndarray, shape: tuple, size: Pair, stride: Pair, padding: Pair
) -> ndarray:
    """Return dx of ``shape`` (N, H, W, C): dy added where each window's first maximum was."""
    dx = np.zeros(shape, dy.dtype)
    kernels_for(dx.size).max_pool_backward(dy, indices, dx, size, stride, padding)
    return dx


def avg_pool(x: ndarray, size: Pair, stride: Pair, padding: Pair) -> ndarray:
    """Return y (N, Ho, Wo, C): each window's sum, padding counted as zeros, divided by the
    window's size.
    """
    n, h, w, c = x.shape
    y = np.empty((n, *window_shape((h, w), size, stride, padding, op="avg_pool"), c), x.dtype)
    kernels_for(x.size).avg_pool(x, y, size, stride, padding)
    return y


def avg_pool_backward(
    dy: ndarray, shape: tuple, size: Pair, stride: Pair, padding: Pair
) -> ndarray:
    """Return dx of ``shape`` (N, H, W, C): each dy, divided by the window's size, added to all the
    cells of its window.
    """
    dx = np.empty(shape, dy.dtype)
    kernels_for(dx.size).avg_pool_backward(dy, dx, size, stride, padding)
    return dx
