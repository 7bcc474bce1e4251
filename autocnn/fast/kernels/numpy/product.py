"""Matrix products, finished while they are in the cache."""

import numpy as np

__all__ = ["finish", "times", "times_transposed", "transposed_times"]

BLOCK = 2**18  # numbers in a block: a megabyte of float32
ROWS = 256  # a product of fewer rows spends its time on preparing the other factor
FEW, LARGE = 3, 2**20


def times_transposed(x, w, scale, b, y, relu):
    """Write x w^T scale + b into y, clipped below at zero if ``relu``: x (M, C), w (F, C), y (M,
    F), all contiguous.

    scale and b are (F,); a scale of no numbers is 1.
    """
    times(x, w.T, scale, b, y, relu)


def times(x, w, scale, b, y, relu):
    """Write x w scale + b into y, clipped below at zero if ``relu``: x (M, C), w (C, F), y (M,
    F).
    """
    m, f = y.shape
    if m <= FEW and w.size >= LARGE:
        for row, out in zip(x, y, strict=True):
            np.matmul(
                row, w, out=out
            )  # a product of matrices would first copy all of w into its own order
        finish(y, scale, b, relu)
        return
    size = max(ROWS, BLOCK // (len(w) + f))
    for r in range(0, m, size):
        part = y[r : r + size]
        np.matmul(x[r : r + size], w, out=part)  # (M, C) . (C, F)
        finish(part, scale, b, relu)


def transposed_times(a, b, out):
    """Write a^T b into out: a (M, A), b (M, B), out (A, B), all contiguous."""
    np.matmul(a.T, b, out=out)


def finish(y, scale, b, relu):
    """Turn y (M, F) into y scale + b, clipped below at zero if ``relu``."""
    if scale.size:
        y *= scale
    y += b
    if relu:
        np.maximum(y, 0, out=y)
