"""Where a gradient is not zero: inverted masks, entries that the function does not read."""

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import residual, tol

__all__ = ["inverted", "symmetrised", "unread"]


def _nonzero(a: np.ndarray) -> np.ndarray:
    return np.abs(a) > 1e-12 * np.max(np.abs(a), initial=0.0)


def inverted(e: Evidence) -> Cause | None:
    """Zero exactly where the gradient is not, and not zero where it is."""
    mine, true = (_nonzero(a).any(axis=0) for a in (e.G, e.J))
    if e.J.shape[1] < 4 or not (np.any(mine) and np.any(true)) or not np.all(mine ^ true):
        return None
    message = (
        "zero exactly where the gradient is not, and not zero where it is: a mask that is inverted "
        "(the entries to ignore taken for those to keep)"
    )
    return Cause("mask", e.name, message)


def unread(e: Evidence) -> Cause | None:
    """Right, and not zero at entries that the function does not read as well."""
    read = _nonzero(e.J).any(axis=0)
    extra = ~read & _nonzero(e.G).any(axis=0)
    if not np.any(read) or not np.any(extra) or residual(e.G[:, read], e.J[:, read]) > tol():
        return None
    where = tuple(map(int, np.argwhere(extra.reshape(e.shape))[0]))
    message = (
        f"right at the {np.count_nonzero(read)} entries that the function reads, and not zero at "
        f"{np.count_nonzero(extra)} that it does not read (the first at {where}): a mask or a "
        "triangle is missing"
    )
    return Cause("mask", e.name, message)


def symmetrised(e: Evidence) -> Cause | None:
    """The mean or the sum of the gradient and its transpose."""
    if len(e.shape) < 2 or e.shape[-1] != e.shape[-2] or e.shape[-1] < 2:
        return None
    gradient = e.J.reshape(len(e.J), *e.shape)
    other = np.swapaxes(gradient, -1, -2)
    if residual(other, gradient) <= tol():
        return None
    for words, value in (("mean", (gradient + other) / 2), ("sum", gradient + other)):
        if residual(e.G, value.reshape(e.J.shape)) <= tol():
            message = (
                f"yours is the {words} of the gradient and its transpose: right for an argument "
                "that stays symmetric, but the function takes any matrix (or reads one triangle)"
            )
            return Cause("mask", e.name, message)
    return None
