"""Means with confidence intervals, for results that were repeated over seeds."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Interval", "mean_interval", "share_interval"]


class Interval(NamedTuple):
    """A mean of n values and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of n >= 2 values with Student's t interval.

    mean -+ t s / sqrt(n), with s the standard deviation (n - 1 degrees of freedom) and t the
    (1 + level) / 2 quantile of Student's t distribution with n - 1 degrees of freedom. For a paired
    comparison, pass the differences. ValueError for fewer than two values.
    """
    from scipy.special import stdtrit  # scipy.special alone loads much faster than scipy.stats

    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs at least two values, got {n}")
    half = float(stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(n))
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, n)


def share_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return ``mean_interval`` of fractions such as accuracies, cut at 0 and 1."""
    mean, low, high, n = mean_interval(values, level)
    return Interval(mean, max(low, 0.0), min(high, 1.0), n)
