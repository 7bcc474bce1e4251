"""Occlusion: how much the score falls when a part of the image is covered."""

import math

import numpy as np

from autocnn.explanations.gradients import BATCH, score
from autocnn.typing import Array, Model, Tree

__all__ = ["occlusion"]


def occlusion(
    model: Model,
    params: Tree,
    state: Tree,
    x: Array,
    label: int,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    baseline: float = 0.0,
) -> Array:
    """S(x) - S(x with a window covered), averaged over the windows that cover a pixel, (C, H, W).

    window: its size, by default a quarter of the image. stride: between windows, by default half a
    window. Windows that reach beyond the image are cut. baseline: the value that covers. Zeiler and
    Fergus 2014, Visualizing and understanding convolutional networks, section 4.2.

    ValueError for a window larger than the image, and a stride larger than the window, which would
    leave pixels out.
    """
    size = x.shape[1:]
    windows = _pair(window, tuple(max(1, n // 4) for n in size))
    strides = _pair(stride, tuple(max(1, n // 2) for n in windows))
    if any(not 1 <= w <= n for w, n in zip(windows, size, strict=True)):
        raise ValueError(f"occlusion: a window of {windows} does not fit an image of {size}")
    if any(not 1 <= s <= w for s, w in zip(strides, windows, strict=True)):
        raise ValueError(
            f"occlusion: a stride of {strides} leaves pixels uncovered by windows of {windows}"
        )
    rows, columns = (
        [slice(i * s, min(i * s + w, n)) for i in range(1 + math.ceil((n - w) / s))]
        for n, w, s in zip(size, windows, strides, strict=True)
    )
    places = [(row, column) for row in rows for column in columns]
    whole = score(model, params, state, x[None], label)[0]
    total, count = np.zeros(size, x.dtype), np.zeros(size, x.dtype)
    for part in (places[i : i + BATCH] for i in range(0, len(places), BATCH)):
        covered = np.repeat(x[None], len(part), axis=0)
        for image, (row, column) in zip(covered, part, strict=True):
            image[:, row, column] = baseline
        falls = whole - score(model, params, state, covered, label)
        for fall, place in zip(falls, part, strict=True):
            total[place] += fall
            count[place] += 1
    return np.broadcast_to(total / count, x.shape).copy()


def _pair(value: int | tuple[int, int] | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if value is None:
        return default
    return (value, value) if isinstance(value, int) else tuple(value)
