"""Images as the kernels see them: channels last in memory, (N, C, H, W) to everybody else.

Between fast layers images keep the shape (N, C, H, W), as a view of a contiguous (N, H, W, C):
nothing is copied.
"""

import numpy as np

__all__ = ["first", "last", "matrix"]


def last(x, dtype=None):
    """Return images (N, C, H, W) as a contiguous (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1), dtype)


def first(x):
    """Return (N, H, W, C) as images (N, C, H, W), a view."""
    return x.transpose(0, 3, 1, 2)


def matrix(x):
    """Return x, (N, C, H, W) or (N, C), as a contiguous matrix with one column a channel, and a
    function that undoes it.
    """
    if x.ndim == 2:
        return np.ascontiguousarray(x), lambda a: a
    n, c, *size = x.shape
    rows = np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, c)
    return rows, lambda a: np.moveaxis(a.reshape(n, *size, c), -1, 1)
