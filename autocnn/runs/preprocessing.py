"""Preprocessing: how images in [0, 1] become the input of a network, in training and afterwards.

    x = prepare(x, Inputs(pad=2, low=-0.1, high=1.175))       # (N, 1, 28, 28) -> (N, 1, 32, 32)

A run folder stores its ``Inputs``, so that evaluation, prediction and export repeat what training
did.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["Inputs", "padded_shape", "prepare"]


class Inputs(NamedTuple):
    """Padding and grey levels of a network's input.

    pad: pixels of background (grey level ``low``) added on each of the four sides. low, high: the
    values that 0 and 1 are mapped to, linearly.
    """

    pad: int = 0
    low: float = 0.0
    high: float = 1.0


def prepare(x: np.ndarray, inputs: Inputs) -> np.ndarray:
    """Pad and rescale images: x (N, C, H, W) in [0, 1] -> (N, C, H + 2 pad, W + 2 pad) in [low,
    high].

    low + (high - low) x, in x's dtype. Returns x itself where there is nothing to do.
    """
    p = inputs.pad
    if p:
        x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    if (inputs.low, inputs.high) != (0.0, 1.0):
        x = x * (inputs.high - inputs.low) + inputs.low
    return x


def padded_shape(shape: tuple[int, int, int], inputs: Inputs) -> tuple[int, int, int]:
    """Return the shape (C, H + 2 pad, W + 2 pad) of images (C, H, W) after ``prepare``."""
    channels, height, width = shape
    return channels, height + 2 * inputs.pad, width + 2 * inputs.pad
