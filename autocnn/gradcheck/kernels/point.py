"""A kernel's wrong gradient at one point, and whether a hypothesis explains it within rounding."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.kernels import rounding
from autocnn.gradcheck.kernels.rounding import rms

__all__ = ["Point", "fits_all"]


class Point(NamedTuple):
    """Values and cotangents, your gradient of one leaf there, and all golden ones."""

    values: dict[str, np.ndarray]
    dys: list[np.ndarray]
    mine: np.ndarray
    golden: dict[str, np.ndarray]
    sigma: np.ndarray
    unit: float
    leaf: str

    @property
    def right(self) -> np.ndarray:
        return self.golden[self.leaf]

    def fits(self, h: np.ndarray | None, slack: float = 1.0) -> bool:
        """Is yours h, within rounding, and much nearer to h than to the gradient?"""
        if h is None or h.shape != self.mine.shape or not np.all(np.isfinite(h)):
            return False
        gap, off = self.mine - h, rms(self.mine - self.right)
        sigma = np.hypot(self.sigma, self.unit * np.hypot(h, rms(h)))
        z = np.abs(gap) / np.where(sigma > 0, sigma, 1e-300)
        if rms(gap) > 0.2 * off:
            return False
        return rms(z) <= 2 * slack * rounding.RMS_Z or rms(gap) <= slack * 1e-3 * off


def fits_all(points: list[Point], h: Callable[[Point], Any], slack: float) -> bool:
    """Whether the hypothesis h explains the difference at every point."""
    return all(p.fits(h(p), slack) for p in points)
