"""From which size on an argument counts as large."""

import numpy as np

from autocnn.gradcheck.chunks import LARGE
from autocnn.gradcheck.problem import Problem

__all__ = ["is_large"]


def is_large(problem: Problem) -> bool:
    """Has one of the arguments more than LARGE entries?"""
    return any(isinstance(a, np.ndarray) and a.size > LARGE for a in problem.arguments.values())
