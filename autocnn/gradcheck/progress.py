"""What has been found so far while a problem is examined."""

from dataclasses import dataclass, field

import numpy as np

from autocnn.gradcheck.point import LeafAt
from autocnn.gradcheck.report import Report

__all__ = ["Progress"]


@dataclass
class Progress:
    """What has been found so far of the leaves of one problem."""

    report: Report
    rng: np.random.Generator
    surrogate: bool
    decided: dict[str, LeafAt] = field(default_factory=dict)
    explained: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
