"""Data augmentation: functions (key, x) -> x for ``train(..., augment=...)``.

x is a batch of images (N, C, H, W). Labels stay as they are. Each image draws its own random
numbers, and equal keys give equal batches.

    train(params, data, augment=compose(flips(), shifts(2)))
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from autocnn.keys import child, rng
from autocnn.ops.arguments import pair

__all__ = ["Augmentation", "compose", "flips", "shifts"]

Augmentation = Callable[[Any, np.ndarray], np.ndarray]


def shifts(most: int | tuple[int, int], fill: float = 0.0) -> Augmentation:
    """Shift each image by up to ``most`` pixels up or down, and left or right.

    most: an int or a pair (vertical, horizontal), 0 or more; ValueError otherwise. All (2 v + 1)
    (2 h + 1) shifts are equally likely. fill: the value of pixels that move in from the edges.
    """
    v, h = pair(most, "shifts: most", least=0)

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        n, _, height, width = x.shape
        padded = np.pad(x, ((0, 0), (0, 0), (v, v), (h, h)), constant_values=fill)
        generator = rng(key)
        down, right = generator.integers(0, 2 * v + 1, n), generator.integers(0, 2 * h + 1, n)
        # (N, C, 2 v + 1, 2 h + 1, H, W)
        crops = sliding_window_view(padded, (height, width), axis=(2, 3))
        return crops[np.arange(n), :, down, right]  # (N, C, H, W), contiguous

    return augment


def flips(share: float = 0.5) -> Augmentation:
    """Mirror images left to right with probability ``share``, a number in [0, 1].

    For images whose mirror image has the same label: clothes, but not digits. ValueError for
    another share.
    """
    if not 0 <= share <= 1:
        raise ValueError(
            f"flips: share is the probability of mirroring an image, 0 to 1; got {share!r}"
        )

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        mirrored = rng(key).random(len(x)) < share
        return np.where(mirrored[:, None, None, None], x[..., ::-1], x)

    return augment


def compose(*augments: Augmentation) -> Augmentation:
    """Apply augmentations in order. The i-th gets the i-th child of the key."""

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        for i, part in enumerate(augments):
            x = part(child(key, i), x)
        return x

    return augment
