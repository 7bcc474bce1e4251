"""A gradient that is right to the accuracy of the functions it is made of, and no better."""

import math

import numpy as np

from autocnn.gradcheck.evidence import Evidence, gather
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import tol

__all__ = ["limited_accuracy"]

ACCURACY = 5e-9  # relative error of an entry: below every mistake of a term, a factor or an eps
NOISE = 1e-11  # of the largest derivative: what differences leave where the derivative is 0


def limited_accuracy(e: Evidence) -> Cause | None:
    """Every derivative is right to 8 digits and more, most of them are not exact, and so it is at
    another point: a special function that its library approximates (torch's polygamma is right to
    9 digits). The cause is a warning: no term is missing.

    A term that is missing or added has a size of its own, so that it shows where the derivative is
    small; here the error is small in parts of each derivative, the small ones included.
    """
    if tol() > 1e-6 or not e.linear:
        return None
    worst = _relative_error(e)
    if worst is None:
        return None
    try:
        near = e.leaf.at(e.leaf.point.redraw(np.random.default_rng(19), 1))
        other = _relative_error(gather(near, np.random.default_rng(19), e.linear, e.clock))
    except CallError:  # outside the function's domain: the given point decides
        other = worst
    if other is None:
        return None
    message = (
        f"right to {-math.log10(max(worst, other)):.1f} digits in every entry, and exact in few: "
        "the accuracy of a function that it calls (an approximation, a series cut off), or a "
        "rounded number; no term is missing"
    )
    return Cause("accuracy", e.name, message, level="warning")


def _relative_error(e: Evidence) -> float | None:
    """The largest error relative to its own entry, None where it is too large, lies in few entries
    or does not fit a relative error."""
    if e.G.shape != e.J.shape or not (np.all(np.isfinite(e.G)) and np.all(np.isfinite(e.J))):
        return None
    size, error = np.abs(e.J), np.abs(e.G - e.J)
    floor = NOISE * np.max(size, initial=0.0)
    if not np.any(size) or np.any(error > ACCURACY * size + floor):
        return None
    large = size > 0.01 * np.max(size)
    if np.mean(error[large] > 1e-14 * size[large]) < 0.5:
        return None
    return float(np.max(error[large] / size[large]))
