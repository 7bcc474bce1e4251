"""Matrix products, finished while they are in the cache."""

import numpy as np

from autocnn.fast.kernels import tuning

__all__ = ["finish", "matmul", "matmul_nt", "matmul_tn"]


def matmul_nt(x, w, scale, b, y, relu):
    """Write x w^T, finished, into y: x (M, C), w (F, C), y (M, F)."""
    matmul(x, w.T, scale, b, y, relu)


def matmul(x, w, scale, b, y, relu):
    """Write x w, finished, into y: x (M, C), w (C, F), y (M, F)."""
    m, f = y.shape
    if m <= tuning.VECTOR_ROWS and w.size >= tuning.VECTOR_MATRIX:
        for row, out in zip(x, y, strict=True):
            np.matmul(row, w, out=out)  # (C,) . (C, F)
        finish(y, scale, b, relu)
        return
    size = max(tuning.NUMPY_MATMUL_MIN_ROWS, tuning.NUMPY_MATMUL_BLOCK // (len(w) + f))
    for r in range(0, m, size):
        part = y[r : r + size]
        np.matmul(x[r : r + size], w, out=part)  # (M, C) . (C, F)
        finish(part, scale, b, relu)


def matmul_tn(a, b, out):
    """Write a^T b into out: a (M, A), b (M, B), out (A, B)."""
    np.matmul(a.T, b, out=out)  # (A, M) . (M, B)


def finish(y, scale, b, relu):
    """Turn y (M, F) into y scale + b, then, if ``relu``, max(y, 0); an empty scale is 1."""
    if scale.size:
        y *= scale
    y += b
    if relu:
        np.maximum(y, 0, out=y)
