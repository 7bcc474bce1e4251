"""Strokes as wide as those that networks for digits were trained on."""

import numpy as np
from scipy import ndimage

__all__ = ["usual_strokes"]

# Strokes of MNIST's digits, which are 20 pixels high, are 1.9 to 5.8 pixels wide (99 % of them),
# and 3.1 in the median: as shares of the height.
THINNEST, THICKEST = 2.2 / 20, 5.0 / 20
SMOOTH = 1.0  # pixels over which a new edge passes from ink to paper


def usual_strokes(
    pixels: np.ndarray, width: float, box: tuple[int, int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (a drawing (h, w) with strokes of a usual width, what was done).

    width: of its strokes, in its pixels. box: the height and width that it will be scaled to fit.
    """
    scale = min(n / size for n, size in zip(box, pixels.shape, strict=True))
    high = max(box)
    if min(box) < 16 or width * scale >= THINNEST * high:
        return pixels, ()
    grow = (THINNEST * high / scale - width) / 2
    edge = int(np.ceil(grow)) + 1
    padded = np.pad(pixels, edge)
    distance = ndimage.distance_transform_edt(padded < 0.5)
    drawn = np.clip((grow + SMOOTH - distance) / SMOOTH, 0, 1)
    return np.maximum(padded, drawn).astype(np.float32), ("thin strokes thickened",)
