"""How much work a search has done, counted so that a busy machine does not change what is found."""

import time
from typing import Any

import numpy as np

__all__ = ["Effort"]

# Seconds on one core of 2020 or so. What is counted decides; the clock only stops what runs away.
RUN, STEP, NUMBER = 150e-6, 0.7e-6, 4e-9
NUMPY, OTHERS = 3, 40  # further steps that an operation on arrays costs
PATIENCE = 10  # times the budget, after which the clock ends the search


class Effort:
    """The work of one search in nominal seconds: runs of the author's code, statements in them,
    numbers that they computed, and candidate edits.

    `scale` is what the author's code costs beyond what its statements let expect. `timed_out` says
    that the clock, not the count, has ended the search, so that the next one may find more.
    """

    def __init__(self, budget: float) -> None:
        self.budget, self.start = budget, time.thread_time()
        self.runs = self.steps = self.numbers = 0
        self.other = 0.0
        self.scale = 1.0
        self.timed_out = False

    @property
    def spent(self) -> float:
        """Nominal seconds of work."""
        author = self.runs * RUN + self.steps * STEP + self.numbers * NUMBER
        return self.scale * author + self.other

    @property
    def left(self) -> float:
        """Nominal seconds that remain; none where the clock has run out."""
        if time.thread_time() - self.start > PATIENCE * self.budget:
            self.timed_out = True
            return 0.0
        return self.budget - self.spent

    def until(self, share: float) -> float:
        """The `spent` at which a share of what remains is used up."""
        return self.spent + max(0.0, share * self.left)

    def over(self, until: float) -> bool:
        """True when so much is spent."""
        return self.spent > until or self.left <= 0

    def statement(self, value: Any) -> None:
        """One statement of the author's code has yielded a value."""
        self.steps += 1
        if type(value) is np.ndarray:
            self.steps += NUMPY
            self.numbers += value.size
        elif hasattr(value, "device") and not isinstance(value, np.generic):
            self.steps += OTHERS

    def candidate(self, seconds: float = 15e-6) -> None:
        """One edit is evaluated, or compiled and tried."""
        self.other += seconds

    def calibrate(self, counted: float, measured: float) -> None:
        """Code that computes long without statements of its own (a compiled function) costs more
        than the count says: by a power of four, so that noise of the clock does not show."""
        ratio = measured / max(counted, 1e-9)
        self.scale = 4.0 ** round(np.log2(ratio) / 2) if measured > 0.005 and ratio > 6 else 1.0
