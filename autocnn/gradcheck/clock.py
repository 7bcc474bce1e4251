"""Processor time for the names of mistakes: rules that lead to none may not take long."""

import time

__all__ = ["VAIN", "Clock", "OutOfTime"]

VAIN = 5.0  # seconds of processor time for each report that rules may spend in vain


class OutOfTime(Exception):
    """The rules have used up their time."""


class Clock:
    """Processor time for naming one report. Time that led to a name is given back."""

    def __init__(self, seconds: float = VAIN):
        self.left = seconds
        self.start = time.process_time()
        self.checks = 0
        self.known: dict[tuple, tuple] = {}  # Jacobians by point and leaf

    def begin(self) -> None:
        """Start to count for another leaf."""
        self.start = time.process_time()

    def end(self, named: bool) -> None:
        """Stop counting; only time spent in vain is lost."""
        if not named:
            self.left -= time.process_time() - self.start

    def check(self) -> None:
        """Raise OutOfTime when nothing is left (every eighth call looks: clocks are slow)."""
        self.checks += 1
        if self.checks % 8 == 0 and time.process_time() - self.start > self.left:
            raise OutOfTime
