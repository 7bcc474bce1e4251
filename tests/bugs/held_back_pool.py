"""Planted bugs: pooling, held back while the rules were written."""

import numpy as np

from . import bug, normal
from .twins import (
    image_arrays,
    max_pool_forward,
    pool_windows,
    small_image_arrays,
)


@bug("max-pool", image_arrays, "overwritten")
def max_pool_overlap_assigns(x, k=3, s=2):
    """`=` for `+=`: a pixel that is the maximum of two windows keeps the gradient of the last
    one.
    """
    y, where = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for (n, c, i, j), m in np.ndenumerate(where):
            dx[n, c, i * s + m // k, j * s + m % k] = dy[n, c, i, j]
        return {"x": dx}

    return y, backward


def image_with_ties(seed):
    return {"x": np.random.default_rng(seed).integers(0, 3, (2, 2, 6, 4)).astype(float)}


@bug("max-pool", image_with_ties, "tie")
def max_pool_each_tie_paid_in_full(x, k=2, s=2):
    """`mask = window == window.max()`: every tied maximum gets the whole gradient."""
    y, _ = max_pool_forward(x, k, s)

    def backward(dy):
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(y.shape):
            rows, cols = slice(i * s, i * s + k), slice(j * s, j * s + k)
            dx[n, c, rows, cols] += dy[n, c, i, j] * (x[n, c, rows, cols] == y[n, c, i, j])
        return {"x": dx}

    return y, backward


@bug("max-pool", small_image_arrays, "not-linear")
def max_pool_mask_without_dy(x, k=2):
    """dx is the mask itself: 1 at each maximum whatever dy is."""
    y, _ = max_pool_forward(x, k, k)
    mask = x == y.repeat(k, axis=2).repeat(k, axis=3)
    return y, lambda dy: {"x": mask.astype(x.dtype)}


@bug("max-pool", small_image_arrays, "partial", "mask")
def max_pool_one_maximum_per_channel(x, k=2):
    """The mask compares with the maximum of the whole channel, so one window of each channel is
    served.
    """
    y, _ = max_pool_forward(x, k, k)
    mask = x == x.max(axis=(2, 3), keepdims=True)
    return y, lambda dy: {"x": dy.repeat(k, axis=2).repeat(k, axis=3) * mask}


@bug("avg-pool", small_image_arrays, "scale")
def avg_pool_not_divided(x, k=2):
    """dy is spread over the window and not divided by k k."""
    return pool_windows(x, k, k).mean(axis=-1), lambda dy: {
        "x": dy.repeat(k, axis=2).repeat(k, axis=3)
    }


@bug("avg-pool", normal(x=(2, 3, 6, 9)), "scale")
def avg_pool_divided_by_the_side(x, k=3):
    """Divided by k, not by k k."""
    return pool_windows(x, k, k).mean(axis=-1), lambda dy: {
        "x": dy.repeat(k, axis=2).repeat(k, axis=3) / k
    }
