"""A dense map with the ReLU after it, forward and backward."""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from autocnn.fast.kernels import kernels_for, tuning

__all__ = ["linear"]

# backward(dy, need_dx) -> (dx or None, dw) or, with a bias, (dx or None, dw, db)
Backward = Callable[[ndarray, bool], tuple]


def linear(x: ndarray, w: ndarray, b: ndarray | None, relu: bool) -> tuple[ndarray, Backward]:
    """Return (y, backward) for x (N, D), w (D, units) and b (units,) or None.

    y (N, units) = x w + b, and max(y, 0) with ``relu``. ``backward(dy, need_dx)`` returns dx (N, D)
    or None, dw (D, units) and, if there is a b, db (units,).
    """
    size = max(x.size, w.size)
    if size < tuning.NUMBA_MIN_SIZE:
        return _linear_small(x, w, b, relu)
    kernels, dtype = kernels_for(size), x.dtype
    x, y, no_scale = (
        np.ascontiguousarray(x),
        np.empty((len(x), w.shape[1]), dtype),
        np.empty(0, dtype),
    )
    # The kernels take w or its transpose, whichever is contiguous.
    transposed = not w.flags.c_contiguous
    matrix = np.ascontiguousarray(w.T) if transposed else w
    times_w = kernels.matmul_nt if transposed else kernels.matmul
    times_w_transposed = kernels.matmul if transposed else kernels.matmul_nt
    bias = np.zeros(w.shape[1], dtype) if b is None else np.ascontiguousarray(b)
    times_w(x, matrix, no_scale, bias, y, relu)  # (N, D) . (D, units)

    def backward(dy, need_dx):
        dy, dx = np.ascontiguousarray(dy), None
        if relu:
            g = np.empty_like(dy)
            kernels.relu_backward(dy.reshape(-1), y.reshape(-1), g.reshape(-1))
            dy = g
        dw = np.empty(w.shape, dtype)
        kernels.matmul_tn(x, dy, dw)  # (D, N) . (N, units)
        if need_dx:
            dx, zeros = np.empty(x.shape, dtype), np.zeros(x.shape[1], dtype)
            times_w_transposed(dy, matrix, no_scale, zeros, dx, False)  # (N, units) . (units, D)
        return (dx, dw) if b is None else (dx, dw, dy.sum(axis=0))

    return y, backward


def _linear_small(x, w, b, relu):
    """Do as ``linear`` without a kernel's overhead."""
    y = x @ w
    if b is not None:
        y += b
    if relu:
        np.maximum(y, 0, out=y)

    def backward(dy, need_dx):
        if relu:
            dy = dy * (y > 0)
        dx, dw = dy @ w.T if need_dx else None, x.T @ dy
        return (dx, dw) if b is None else (dx, dw, dy.sum(axis=0))

    return y, backward
