"""Memory layout of the kernels' arrays: channels last in memory, (N, C, H, W) to all others.

Between fast layers, images keep the shape (N, C, H, W) as a view of a contiguous (N, H, W, C), so
that nothing is copied.
"""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

__all__ = ["pad", "supports", "to_nchw", "to_nhwc", "to_rows", "unpad"]


def supports(x: ndarray, *arrays: ndarray | None) -> bool:
    """Return whether the kernels take these arrays: all float32 or all float64, in native byte
    order. None stands for an absent array.
    """
    return (
        x.dtype.char in "fd"
        and x.dtype.isnative
        and all(a is None or a.dtype == x.dtype for a in arrays)
    )


def to_nhwc(x: ndarray) -> ndarray:
    """Return images (N, C, H, W), or kernels (F, C, kh, kw), as a contiguous (N, H, W, C)."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def to_nchw(x: ndarray) -> ndarray:
    """Return (N, H, W, C) as images (N, C, H, W), a view."""
    return x.transpose(0, 3, 1, 2)


def to_rows(x: ndarray) -> tuple[ndarray, Callable[[ndarray], ndarray]]:
    """Return (rows, undo) for x (N, C) or (N, C, H, W): rows (M, C) is contiguous, one row a pixel,
    and ``undo`` returns such a matrix in the shape of x.
    """
    if x.ndim == 2:
        return np.ascontiguousarray(x), lambda a: a
    n, c, *size = x.shape
    rows = np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, c)
    return rows, lambda a: np.moveaxis(a.reshape(n, *size, c), -1, 1)


def pad(x: ndarray, padding: tuple[int, int]) -> ndarray:
    """Return images (N, H, W, C) with ``padding`` = (ph, pw) zeros on each side; x itself for
    (0, 0).
    """
    ph, pw = padding
    if ph == pw == 0:
        return x
    n, h, w, c = x.shape
    padded = np.zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
    padded[:, ph : ph + h, pw : pw + w] = x
    return padded


def unpad(x: ndarray, padding: tuple[int, int]) -> ndarray:
    """Return padded images (N, H, W, C) without ``padding`` = (ph, pw), contiguous."""
    ph, pw = padding
    _, h, w, _ = x.shape
    return np.ascontiguousarray(x[:, ph : h - ph, pw : w - pw])
