"""Augmentation: functions of (key, x) that return a batch of images changed at random, for
``train(..., augment=...)``.

The labels stay. Every image draws for itself, and equal keys give equal batches.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from autocnn.keys import child, rng
from autocnn.ops.arguments import pair

__all__ = ["compose", "flips", "shifts"]


def shifts(most, fill=0.0):
    """Move each image by up to ``most`` pixels up or down and left or right; what comes in at the
    edges is ``fill``.

    ``most`` is an int or a pair (vertical, horizontal). All (2 v + 1) (2 h + 1) moves are equally
    likely.
    """
    v, h = pair(most, "shifts: most", least=0)

    def augment(key, x):
        n, _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (v, v), (h, h)), constant_values=fill)
        generator = rng(key)
        down, right = generator.integers(0, 2 * v + 1, n), generator.integers(0, 2 * h + 1, n)
        crops = sliding_window_view(
            padded, (height, width), axis=(2, 3)
        )  # (N, C, 2 v + 1, 2 h + 1, H, W)
        return crops[np.arange(n), :, down, right]  # (N, C, H, W), contiguous

    return augment


def flips(share=0.5):
    """Mirror ``share`` of the images, left to right. For things that have no handedness:
    clothes, but not digits.
    """
    if not 0 <= share <= 1:
        raise ValueError(
            f"flips: share is that of the images which are mirrored, 0 to 1; got {share!r}"
        )

    def augment(key, x):
        mirrored = rng(key).random(len(x)) < share
        return np.where(mirrored[:, None, None, None], x[..., ::-1], x)

    return augment


def compose(*augments):
    """Apply one augmentation after another, each with a key of its own."""

    def augment(key, x):
        for i, part in enumerate(augments):
            x = part(child(key, i), x)
        return x

    return augment
