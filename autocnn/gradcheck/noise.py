"""Noise: results that differ from call to call by little, as sums in varying order (atomics) do.

It is measured by repetition, and taken for the rounding of the code: what is larger than it is
judged as ever, digits below it are not compared.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import rms_or_zero
from autocnn.gradcheck.problem import EPS, CallError, Problem, run

__all__ = ["Noise", "differs", "measure"]

CALLS = 4
LARGEST = 1e-4  # of a result: what differs by more is another function at each call, no noise
ROUNDING = 64  # in units of eps: blocked products sum in another order at another alignment


class Noise(NamedTuple):
    """The largest difference between calls, relative, of the outputs and of each gradient."""

    forward: float
    backward: dict[str, float]

    @property
    def size(self) -> float:
        """The largest of all."""
        return max([self.forward, *self.backward.values()])

    @property
    def note(self) -> str:
        """What was not compared, in words."""
        return (
            f"calls with the same arguments differ by {self.size:.1g} of the result: noise, as of "
            "sums in varying order (atomics); digits below it were not compared"
        )

    def judged(self, problem: Problem) -> Problem:
        """The problem, held to no more digits than the noise leaves."""
        known = dict(problem.leaf_eps)
        for name, size in self.backward.items():
            if size > ROUNDING * EPS:
                known[name] = max(size, known.get(name, 0.0))
        eps = self.forward if self.forward > ROUNDING * EPS else 0.0
        return replace(problem, eps=max(problem.eps, eps), leaf_eps=tuple(known.items()))


def differs(a: np.ndarray, b: np.ndarray, eps: float = EPS) -> bool:
    """Is the difference of two calls more than rounding in `eps`?"""
    return a.shape != b.shape or _gap([a, b]) > ROUNDING * eps


def measure(problem: Problem, values: dict[str, np.ndarray], eps: float) -> Noise | None:
    """The noise of a function at these values, its random streams left to run on; None where calls
    agree to rounding (in `eps`), or differ by more than LARGEST."""
    loose = replace(problem, streams=frozenset(), restore=())
    outputs: list[np.ndarray] = []
    grads: dict[str, list[np.ndarray]] = {}
    try:
        for _ in range(CALLS):
            out = run(loose, values)
            dy = np.random.default_rng(16).standard_normal(out.flat.size)
            outputs.append(out.flat)
            for name, g in out.backward(dy).items():
                if name in problem.leaves and g is not None:
                    grads.setdefault(name, []).append(np.array(g, dtype=np.float64))
    except (CallError, TypeError, ValueError):  # for the rules of hygiene to tell
        return None
    found = Noise(_gap(outputs), {n: _gap(rows) for n, rows in grads.items()})
    return found if ROUNDING * eps < found.size <= LARGEST else None


def _gap(rows: list[np.ndarray]) -> float:
    """The largest difference between rows in one entry, relative to that entry or to the root mean
    square, whichever is larger."""
    if len({r.shape for r in rows}) > 1 or not all(np.all(np.isfinite(r)) for r in rows):
        same = all(np.array_equal(r, rows[0], equal_nan=True) for r in rows)
        return 0.0 if same else float("inf")
    spread = np.max(rows, axis=0) - np.min(rows, axis=0)
    if not np.any(spread):
        return 0.0
    size = np.maximum(np.max(np.abs(rows), axis=0), rms_or_zero(rows[0]))
    return float(np.max(spread / np.where(size > 0, size, 1.0)))
