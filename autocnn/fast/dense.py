"""A dense map with the ReLU behind it, forward and backward."""

import numpy as np

from autocnn.fast.kernels import kernels_for, tuning

__all__ = ["linear"]


def linear(x, w, b, relu):
    """Return (y, back) for x (N, D), w (D, units) and b (units,) or None: y = x w + b, clipped
    below at zero if ``relu``.

    ``back(dy, need)`` returns dx (None unless ``need``), dw and, where there is a b, db.
    """
    if max(x.size, w.size) < tuning.NUMBA_MIN_SIZE:
        return _linear_small(x, w, b, relu)
    kernels, dtype = kernels_for(max(x.size, w.size)), x.dtype
    x, one, y = np.ascontiguousarray(x), np.empty(0, dtype), np.empty((len(x), w.shape[1]), dtype)
    rows, columns = (w, None) if w.flags.c_contiguous else (None, np.ascontiguousarray(w.T))
    bias = np.zeros(len(y[0]), dtype) if b is None else np.ascontiguousarray(b)
    if columns is None:
        kernels.matmul(x, rows, one, bias, y, relu)  # (N, D) . (D, units)
    else:
        kernels.matmul_nt(x, columns, one, bias, y, relu)

    def back(dy, need):
        dy, dx = np.ascontiguousarray(dy), None
        if relu:
            g, dy = dy, np.empty_like(dy)
            kernels.relu_backward(g.reshape(-1), y.reshape(-1), dy.reshape(-1))
        dw = np.empty(w.shape, dtype)
        kernels.matmul_tn(x, dy, dw)  # (D, N) . (N, units)
        if need:
            dx, zero = np.empty(x.shape, dtype), np.zeros(x.shape[1], dtype)
            if columns is None:
                kernels.matmul_nt(dy, rows, one, zero, dx, False)  # (N, units) . (units, D)
            else:
                kernels.matmul(dy, columns, one, zero, dx, False)
        return (dx, dw) if b is None else (dx, dw, dy.sum(axis=0))

    return y, back


def _linear_small(x, w, b, relu):
    y = x @ w
    if b is not None:
        y += b
    if relu:
        np.maximum(y, 0, out=y)

    def back(dy, need):
        if relu:
            dy = dy * (y > 0)
        dx, dw = dy @ w.T if need else None, x.T @ dy
        return (dx, dw) if b is None else (dx, dw, dy.sum(axis=0))

    return y, back
