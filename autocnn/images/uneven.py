"""Uneven ink: the faint parts of strokes, where a pen hardly wrote or a stamp hardly pressed."""

import numpy as np
from scipy import ndimage

__all__ = ["faint_parts"]

CORE = 0.3  # of the strokes' width: further inside than the soft edge of a strong stroke
WIDEST = 0.9  # of it: the middle of what is wider is no stroke
REACH = 2.0  # times it: a faint part is no further from ink that is not faint
EIGHT = np.ones((3, 3))


def faint_parts(weak: np.ndarray, strong: np.ndarray, width: float) -> np.ndarray:
    """Return a mask (H, W) of what belongs to the strokes of ``strong`` and is fainter.

    weak: (H, W), all that stands out from the paper, faint or not. width: of the strokes, in
    pixels. A faint part lies in the middle of something as wide as a stroke, touches ink that is
    not faint, and ends before it is far from it: soft edges, shadows and print that shows through
    do not.
    """
    parts = np.zeros_like(weak)
    depth = ndimage.distance_transform_edt(np.pad(weak, 1))[1:-1, 1:-1]
    middle = (depth >= max(2.0, CORE * width)) & (depth <= WIDEST * width)
    labels, _ = ndimage.label(middle & ~strong, EIGHT)
    if not labels.any():
        return parts
    away = ndimage.distance_transform_edt(~strong)
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        part = labels[place] == label
        if away[place][part].min() <= 1.5 and away[place][part].max() <= REACH * width:
            parts[place] |= part
    size = 2 * int(np.ceil(CORE * width)) + 3
    return ndimage.maximum_filter(parts, size) & weak & ~strong
