"""Means with intervals, for results that were repeated over seeds."""

import math
from typing import NamedTuple

import numpy as np

__all__ = ["Interval", "mean_interval", "share_interval"]


class Interval(NamedTuple):
    """A mean of n values with a confidence interval."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values, level=0.95):
    """Return the mean of at least two values and its Student t interval: mean +- t(n - 1) s /
    sqrt(n).

    For a paired design, pass the differences.
    """
    from scipy.special import stdtrit  # scipy.special alone loads much faster than scipy.stats

    values = np.asarray(values, float)
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval needs at least two values, got {n}")
    half = stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / math.sqrt(n)
    mean = float(values.mean())
    return Interval(mean, mean - float(half), mean + float(half), n)


def share_interval(values, level=0.95):
    """Return ``mean_interval`` of shares, such as accuracies: what lies below 0 or above 1 is
    cut off.
    """
    mean, low, high, n = mean_interval(values, level)
    return Interval(mean, max(low, 0.0), min(high, 1.0), n)
