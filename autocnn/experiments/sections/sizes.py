"""The sizes of both networks that several sections repeat, and when an accuracy is good."""

from collections.abc import Mapping

import numpy as np

from autocnn.experiments import published
from autocnn.experiments.lab import cnn, mlp

__all__ = ["GOOD", "SIZES", "TRIALS", "count_noun", "smallest_good"]

TRIALS = 8  # repetitions beside the chapter's own run, where it concludes from one
GOOD = 0.98  # of 60 to 150 validation images: one to three mistakes
SIZES = [
    *(cnn(filters=f) for f in published.FILTERS),
    *(mlp(hidden=h) for h in published.WIDTHS),
]


def smallest_good(accuracies: Mapping[int, np.ndarray]) -> int | str:
    """Return the smallest size from which on all repetitions reach ``GOOD``.

    accuracies: {size: (trials,)}. "no number" when the largest size has a repetition that does not.
    """
    bad = [n for n, values in accuracies.items() if (values < GOOD).any()]
    return min((n for n in accuracies if n > max(bad, default=0)), default="no number")


def count_noun(n: int, noun: str) -> str:
    """Format a count: ``1 filter``, ``3 filters``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"
