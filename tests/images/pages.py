"""Pages with a digit drawn on them, for the tests of how ink is found. No data set is needed."""

import itertools

import numpy as np
from scipy import ndimage

__all__ = ["digit", "on_page", "page", "strokes"]

# The strokes of a digit on a square of side 1: polylines of (x, y).
STROKES = {
    1: [[(0.5, 0.05), (0.5, 0.95)]],
    4: [[(0.6, 0.05), (0.15, 0.6), (0.85, 0.6)], [(0.62, 0.3), (0.62, 0.95)]],
    7: [[(0.2, 0.1), (0.8, 0.1), (0.4, 0.95)]],
    0: [[(0.5 + 0.28 * np.cos(t), 0.5 + 0.43 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)]],
    5: [  # of two pieces that do not touch
        [(0.36, 0.05), (0.8, 0.05)],
        [
            (0.28, 0.2), (0.26, 0.45), (0.5, 0.38), (0.74, 0.5), (0.76, 0.75), (0.55, 0.93),
            (0.25, 0.88),
        ],
    ],
}  # fmt: skip


def strokes(lines, side: int, width: float) -> np.ndarray:
    """Draw polylines of points in [0, 1] on a square: (side, side), 1 where there is ink."""
    marks = np.ones((side, side), bool)
    for line in lines:
        points = np.asarray(line) * (side - 1)
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            t = np.linspace(0, 1, 2 * side)
            marks[
                np.round(y0 + t * (y1 - y0)).astype(int), np.round(x0 + t * (x1 - x0)).astype(int)
            ] = 0
    return np.clip(width / 2 + 0.5 - ndimage.distance_transform_edt(marks), 0, 1)


def digit(which: int, side: int = 120, width: float = 12.0) -> np.ndarray:
    """One of the digits 0, 1, 4, 5, 7 as a mask (side, side)."""
    return strokes(STROKES[which], side, width)


def on_page(cover, size=(400, 300), at=None, ink=0.12, paper=0.93) -> np.ndarray:
    """Lay a mask on a page, in its middle or with its corner at ``at``."""
    whole = np.zeros(size)
    h, w = cover.shape
    top, left = at or ((size[0] - h) // 2, (size[1] - w) // 2)
    whole[top : top + h, left : left + w] = cover
    return (paper * (1 - whole) + ink * whole).astype("f")


def page(which: int = 4, **options) -> np.ndarray:
    """A clean page with a digit in its middle."""
    return on_page(digit(which), **options)
