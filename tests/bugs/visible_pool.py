"""Planted bugs: pooling."""

import numpy as np

from . import bug
from .twins import (
    image_arrays,
    max_pool_forward,
    pool_windows,
    small_image_arrays,
)


@bug("max-pool", image_arrays, "wrong-operand", "shifted", "permuted")
def max_pool_origin_by_kernel(x, k=2, s=1):
    """The window's origin is taken as i k instead of i s, cut off at the border."""
    y, where = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for (n, c, i, j), m in np.ndenumerate(where):
            row, col = i * k + m // k, j * k + m % k
            if row < x.shape[2] and col < x.shape[3]:
                dx[n, c, row, col] += dy[n, c, i, j]
        return {"x": dx}

    return y, backward


@bug("max-pool", image_arrays, "permuted", "transposed", "wrong-operand")
def max_pool_row_and_column_swapped(x, k=2, s=2):
    """The flat index is decoded as (m % k, m // k): the entries go to the mirrored place in
    their window.
    """
    y, where = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for (n, c, i, j), m in np.ndenumerate(where):
            dx[n, c, i * s + m % k, j * s + m // k] += dy[n, c, i, j]
        return {"x": dx}

    return y, backward


@bug("max-pool", image_arrays, "partial")
def max_pool_return_in_the_loop(x, k=2, s=2):
    """`return` is indented once too deep: only the first example is done."""
    y, where = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for n in range(len(x)):
            for (c, i, j), m in np.ndenumerate(where[n]):
                dx[n, c, i * s + m // k, j * s + m % k] += dy[n, c, i, j]
            return {"x": dx}

    return y, backward


@bug("max-pool", image_arrays, "partial")
def max_pool_last_column_of_windows_lost(x, k=2, s=2):
    """range(Wo - 1): the last window of each row passes nothing back."""
    y, where = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for (n, c, i, j), m in np.ndenumerate(where[:, :, :, :-1]):
            dx[n, c, i * s + m // k, j * s + m % k] += dy[n, c, i, j]
        return {"x": dx}

    return y, backward


@bug("max-pool", image_arrays, "mask", "permuted", "wrong-operand")
def max_pool_always_top_left(x, k=2, s=2):
    """The position of the maximum was never stored: the gradient goes to the top left of each
    window.
    """
    y, _ = max_pool_forward(x, k, s)  # "mask": the mask that routes the gradient is the wrong one

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, :, : y.shape[2] * s : s, : y.shape[3] * s : s] = dy
        return {"x": dx}

    return y, backward


@bug("max-pool", small_image_arrays, "mask")
def max_pool_upsampled_without_mask(x, k=2):
    """dy is repeated over each window and the mask forgotten: every entry of the window gets it."""
    y, _ = max_pool_forward(x, k, k)
    return y, lambda dy: {"x": dy.repeat(k, axis=2).repeat(k, axis=3)}


@bug("max-pool", small_image_arrays, "mask", "wrong-operand", "permuted")
def max_pool_argmin(x, k=2):
    """Copied from a min-pool: the gradient goes to the minimum of each window."""
    y, _ = max_pool_forward(x, k, k)
    _, where = max_pool_forward(
        -x, k, k
    )  # "mask" / "wrong-operand" (-x for x): both say that the choice is wrong

    def backward(dy):
        dx = np.zeros_like(x)
        for (n, c, i, j), m in np.ndenumerate(where):
            dx[n, c, i * k + m // k, j * k + m % k] += dy[n, c, i, j]
        return {"x": dx}

    return y, backward


@bug("avg-pool", image_arrays, "overwritten")
def avg_pool_overlap_assigns(x, k=3, s=2):
    """`=` for `+=` where the windows overlap."""
    y = pool_windows(x, k, s).mean(axis=-1)

    def backward(dy):
        dx = np.zeros_like(x)
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                dx[:, :, i * s : i * s + k, j * s : j * s + k] = (
                    dy[:, :, i : i + 1, j : j + 1] / k**2
                )
        return {"x": dx}

    return y, backward


@bug("avg-pool", small_image_arrays, "mask", "wrong-operand")
def avg_pool_routed_as_max(x, k=2):
    """Copied from the max-pool: the whole gradient goes to the largest entry of the window."""
    y = pool_windows(x, k, k).mean(axis=-1)  # "mask": there is a mask where none belongs
    largest = pool_windows(x, k, k).max(axis=-1)
    mask = x == largest.repeat(k, axis=2).repeat(k, axis=3)
    return y, lambda dy: {"x": dy.repeat(k, axis=2).repeat(k, axis=3) * mask}


@bug("avg-pool", image_arrays, "scale")
def global_avg_pool_divided_by_height_only(x):
    """dy / H for dy / (H W)."""
    H = x.shape[2]
    return x.mean(axis=(2, 3)), lambda dy: {"x": np.ones_like(x) * dy[:, :, None, None] / H}


@bug("avg-pool", image_arrays, "partial")
def global_avg_pool_one_pixel(x):
    """dy / (H W) reaches the first pixel of each channel only."""

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, :, 0, 0] = dy / (x.shape[2] * x.shape[3])
        return {"x": dx}

    return x.mean(axis=(2, 3)), backward
