"""An object on a plain background: clothing in a shop's image, as Fashion-MNIST's were made."""

import numpy as np
from scipy import ndimage

from autocnn.images.ink import NoInk

__all__ = ["find_object"]

DIFFERENT = 0.04  # from the background, so that white clothing on white keeps its shades
SPECK = 0.02  # of the object's area


def find_object(
    x: np.ndarray, background: np.ndarray
) -> tuple[tuple[slice, slice], tuple[str, ...], tuple[str, ...]]:
    """Return (the rows and columns of an object, what was done, doubts).

    x: an image (C, H, W) in [0, 1]. background: its colour (C,). The object is every connected part
    that differs from the background and has more than a fiftieth of the largest one's area.
    Raises ``NoInk`` when nothing differs.
    """
    difference = np.abs(x - background[:, None, None]).max(axis=0)
    smooth = ndimage.gaussian_filter(difference, 1.0 if min(difference.shape) > 60 else 0.0)
    noise = 1.4826 * float(np.median(np.abs(smooth - np.median(smooth))))
    mask = smooth > max(DIFFERENT, min(5 * noise, 0.2))
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    if not count:
        raise NoInk("nothing found on the background")
    areas = np.bincount(labels.ravel())[1:]
    large = np.flatnonzero(areas > SPECK * areas.max()) + 1
    kept = np.isin(labels, large)
    rows, columns = (np.flatnonzero(kept.any(axis=axis)) for axis in (1, 0))
    place = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    specks = count - len(large)
    steps = [f"{specks} {'speck' if specks == 1 else 'specks'} dropped"] if specks else []
    if kept[place].shape != mask.shape:
        steps.append("margin cut off")
    return place, tuple(steps), ()
