"""The golden gradient of a NumPy reference that returns y alone: the complex step where the
function keeps it, else real differences in float64 with an error bar.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.evidence import true_jacobian
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.point import LeafAt, Point, Witness, rms
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.witnesses import choose

__all__ = ["Numeric"]

MOST = 4096  # entries of the differentiated arguments: each costs a call
KEPT = 32  # points whose Jacobians are kept
STEPS = (2.0**-6, 2.0**-8, 2.0**-12, 2.0**-18)


class Numeric:
    """Gradients of `function(**arguments) -> y`; Jacobians are kept, so that further cotangents
    cost nothing."""

    def __init__(self) -> None:
        self.witnesses: dict[str, Witness] = {}
        self.steps: dict[str, list[float]] = {}  # of real differences, an entry each
        self.known: dict[Any, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        self.relative = 0.0  # the error bar, of the gradient
        self.errors: dict[str, np.ndarray] = {}  # and of each entry, at the first point

    @property
    def used(self) -> bool:
        """Was any gradient taken?"""
        return bool(self.witnesses)

    @property
    def note(self) -> str:
        """How the gradient was taken, in words."""
        inexact = [n for n, w in self.witnesses.items() if not w.exact]
        if not inexact:
            return (
                "the reference returns y alone: its gradient was taken by the complex step, right "
                "to rounding"
            )
        why = self.witnesses[inexact[0]].note.partition("(")[2].rpartition(")")[0]
        return (
            "the reference returns y alone: its gradient was taken by real differences in float64 "
            f"({why}), good to {self.relative:.1g} of the gradient, which is allowed for"
        )

    def gradients(
        self,
        function: Callable,
        arguments: dict[str, Any],
        leaves: tuple[str, ...],
        dys: list[np.ndarray],
    ) -> dict[str, np.ndarray]:
        """The gradients of the leaves at float64 arguments, for one cotangent an output."""
        jacobians = self.jacobians(function, arguments, leaves)
        v = np.concatenate([np.ravel(d) for d in dys])
        shapes = {n: np.shape(arguments[n]) for n in leaves}
        found = {n: (v @ J).reshape(shapes[n]) for n, (J, _) in jacobians.items()}
        if not self.errors:
            self.errors = {n: (np.abs(v) @ e).reshape(shapes[n]) for n, (_, e) in jacobians.items()}
            self.relative = max(
                (rms(e) / rms(found[n]) if np.any(e) else 0.0) for n, e in self.errors.items()
            )
        return found

    def jacobians(
        self, function: Callable, arguments: dict[str, Any], leaves: tuple[str, ...]
    ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """(outputs, entries) of each leaf, and how far off it may be."""
        key = tuple(
            (n, a.shape, a.tobytes()) if isinstance(a, np.ndarray) else (n, repr(a))
            for n, a in arguments.items()
        )
        if key not in self.known:
            while len(self.known) >= KEPT:
                self.known.pop(next(iter(self.known)))
            problem = _problem(function, arguments, leaves)
            point = Point(problem, problem.values())
            self.known[key] = {n: self.jacobian(point, n) for n in leaves}
        return self.known[key]

    def jacobian(self, point: Point, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in self.witnesses:
            self.witnesses[name] = choose(point, name, np.random.default_rng(29)).witness
        leaf = LeafAt(point, name, self.witnesses[name])
        if leaf.witness.exact:
            J = true_jacobian(leaf)
            return J, np.zeros(J.shape)
        steps = self.steps.get(name, [])
        if len(steps) == leaf.x.size:  # the first point has told which step is good
            J = np.stack([_central(leaf, i, h) for i, h in enumerate(steps)], 1)
            return J, np.zeros(J.shape)
        columns = [_column(leaf, i) for i in range(leaf.x.size)]
        self.steps[name] = [h for _, _, h in columns]
        return np.stack([c for c, _, _ in columns], 1), np.stack([e for _, e, _ in columns], 1)


def _column(leaf: LeafAt, i: int) -> tuple[np.ndarray, np.ndarray, float]:
    """The derivatives along entry i by the step at which they settle, how much they differ there
    from those of the next one, and the step: long steps cross kinks, short ones lose digits."""
    rows = np.array([_central(leaf, i, h) for h in STEPS])
    gaps = np.abs(np.diff(rows, axis=0))
    best = int(np.argmin(np.max(gaps, axis=1)))
    floor = 1e-15 * rms(rows[0]) if np.any(rows[0]) else 0.0
    return rows[best], gaps[best] + floor, STEPS[best]


def _central(leaf: LeafAt, i: int, step: float) -> np.ndarray:
    """Central differences along entry i at `step` (of the leaf's size) and half of it,
    extrapolated: error O(step^4)."""
    u = np.zeros(leaf.x.size)
    u[i] = rms(leaf.x)
    u = u.reshape(leaf.x.shape)
    far, near = (
        (leaf.shifted(h * u).run().flat - leaf.shifted(-h * u).run().flat) / (2 * h)
        for h in (step, step / 2)
    )
    return (4 * near - far) / (3 * rms(leaf.x))


def _problem(function: Callable, arguments: dict[str, Any], leaves: tuple[str, ...]) -> Problem:
    size = sum(np.size(arguments[n]) for n in leaves)
    label = getattr(function, "__name__", "reference")
    if size > MOST:
        raise CallError(
            f"{label} (the reference) returns y alone, so its gradient takes a call for each entry "
            f"of {', '.join(leaves)}, which are {size:,} (at most {MOST:,}): pass smaller arrays, "
            "a reference that returns (y, backward), or one of torch or jax"
        )

    def called(f: Callable) -> Callable:
        return lambda given: (f(**given), lambda dy: {}, dict)

    return make_problem(
        label, called(function), arguments, called(lift(function)), (function,), leaves
    )
