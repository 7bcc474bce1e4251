"""Both Jacobians of a small case, side by side: what naming a mistake rests on.

Row j of `J` holds the true derivatives of output j, row j of `G` what your backward gives for a
cotangent of one at j. Almost every mistake is plain to see in this picture: rows missing, columns
exchanged, a diagonal too many.
"""

import time
from dataclasses import dataclass, field

import numpy as np

from autocnn.gradcheck.clock import Clock
from autocnn.gradcheck.point import LeafAt, Point, Values, Witness, rms
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.tolerance import residual, tol
from autocnn.gradcheck.witnesses import central_jvp, imaginary

__all__ = [
    "LARGE",
    "SMALL",
    "Evidence",
    "affordable",
    "gather",
    "jacobians_of",
    "second_point",
    "true_jacobian",
    "your_jacobian",
]

# Work is counted in calls, not in seconds: names must not depend on how busy the machine is.
# calls for both Jacobians (outputs + entries) that are always spent; larger cases are cut down
# first
SMALL = 400
LARGE = 4000  # calls for both Jacobians that are spent where the case cannot be cut down
RULES_CALLS = 4000  # calls for all further Jacobians that the rules ask for, of one leaf
# of processor time: far more than those counts take, unless one call takes tens of milliseconds
SECONDS = 30.0


@dataclass
class Evidence:
    """One wrong leaf at one point. J, G: (outputs, entries of the leaf), both flat."""

    leaf: LeafAt
    J: np.ndarray
    G: np.ndarray
    y: np.ndarray
    yshape: tuple[int, ...]
    rng: np.random.Generator
    linear: bool = True
    calls: int = RULES_CALLS  # that are left for further Jacobians
    clock: Clock = field(default_factory=Clock)
    # Jacobians of other leaves at this point
    others: dict[str, tuple[np.ndarray, np.ndarray] | None] = field(default_factory=dict)

    @property
    def problem(self) -> Problem:
        return self.leaf.problem

    @property
    def values(self) -> Values:
        return self.leaf.values

    @property
    def name(self) -> str:
        return self.leaf.name

    @property
    def witness(self) -> Witness:
        return self.leaf.witness

    @property
    def x(self) -> np.ndarray:
        """The leaf's value."""
        return self.leaf.x

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape

    @property
    def grids(self) -> tuple[np.ndarray, np.ndarray]:
        """J and G with the axes (outputs, *leaf)."""
        return self.J.reshape(-1, *self.shape), self.G.reshape(-1, *self.shape)


def true_jacobian(leaf: LeafAt, clock: Clock | None = None) -> np.ndarray:
    """(outputs, entries): one witness run for each entry of the leaf."""
    key = (*_key(leaf.point, leaf.name), *leaf.witness[:2])
    if clock and key in clock.known:
        return clock.known[key][1].copy()
    columns, unit = [], rms(leaf.x)
    step = 2.0**-7 if leaf.problem.eps < 1e-12 else 2.0**-4
    for i in range(leaf.x.size):
        if clock:
            clock.check()
        u = np.zeros(leaf.x.size)
        u[i] = 1.0
        u = u.reshape(leaf.x.shape)
        if leaf.witness.exact:
            columns.append(imaginary(leaf.point, leaf.name, u, leaf.witness.lifted))
        else:
            columns.append(central_jvp(leaf.point, leaf.name, u, unit * step))
    J = np.stack(columns, axis=1)
    if clock:
        clock.known[key] = leaf.point, J.copy()
    return J


def your_jacobian(point: Point, name: str, clock: Clock | None = None) -> np.ndarray:
    """(outputs, entries): backward for each unit cotangent, after a forward of its own where
    backward can be called only once. With a clock, the other leaves' are kept there."""
    known = clock.known if clock else {}
    key = _key(point, "yours")
    if key not in known:
        known[key] = point, _all_rows(point, clock)
    rows = known[key][1]
    return np.stack([np.array(grads[name], dtype=np.float64).ravel() for grads in rows])


def _key(point: Point, what: str) -> tuple:
    return what, id(point.problem), *(id(x) for x in point.values.values())


def _all_rows(point: Point, clock: Clock | None) -> list[dict]:
    out = point.run()
    rows = []
    for j in range(out.flat.size):
        if clock:
            clock.check()
        if j and not point.problem.repeatable:
            out = point.run()
        dy = np.zeros(out.flat.size)
        dy[j] = 1.0
        rows.append({n: np.array(g) for n, g in out.backward(dy).items() if g is not None})
    return rows


def affordable(point: Point, name: str, calls: int) -> bool:
    """Are both Jacobians within this many calls (and, as a last resort, within SECONDS of
    processor time)?
    """
    m, n = point.run().flat.size, point.values[name].size
    if m + n > calls or m * n > 3e7:
        return False
    if m + n <= SMALL:
        return True
    start = time.process_time()
    point.run().backward(np.ones(m))
    return (time.process_time() - start) * (m + n) < SECONDS


def gather(
    leaf: LeafAt, rng: np.random.Generator, linear: bool, clock: Clock | None = None
) -> Evidence:
    """Both Jacobians at one point."""
    out = leaf.point.run()
    yshape = out.shapes[0] if len(out.shapes) == 1 else (out.flat.size,)
    J, G = true_jacobian(leaf, clock), your_jacobian(leaf.point, leaf.name, clock)
    _clean(leaf, J, G)
    return Evidence(leaf, J, G, out.flat, yshape, rng, linear, clock=clock or Clock())


def _clean(leaf: LeafAt, J: np.ndarray, G: np.ndarray) -> None:
    """Set to 0 what is rounding."""
    coarse = leaf.eps > 1e-12
    noise = 1e-13 if leaf.witness.exact and not coarse else 1e-9 if not coarse else 1e-3
    J[np.abs(J) <= noise * np.max(np.abs(J), initial=0.0)] = 0.0
    G[np.abs(G) <= (1e-6 if coarse else 1e-13) * np.max(np.abs(G), initial=0.0)] = 0.0
    if np.max(np.abs(G), initial=0.0) <= (1e-5 if coarse else 1e-12) * np.max(
        np.abs(J), initial=0.0
    ):
        G[:] = 0.0


def jacobians_of(e: Evidence, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(J, G) of another leaf at this point; None where that is dear or fails."""
    if name == e.name:
        return e.J, e.G
    if name not in e.others:
        e.others[name] = None
        size = e.values[name].size
        if size + e.J.shape[0] <= SMALL:
            leaf = LeafAt(e.leaf.point, name, e.leaf.witness)
            try:
                J = true_jacobian(leaf, e.clock)
                G = your_jacobian(e.leaf.point, name, e.clock)
            except (CallError, KeyError, TypeError, ValueError):
                return None
            if G.shape == J.shape and np.all(np.isfinite(J)) and np.all(np.isfinite(G)):
                _clean(leaf, J, G)
                e.others[name] = J, G
    return e.others[name]


def second_point(e: Evidence) -> Evidence | None:
    """The same leaf at freshly drawn values of the same shapes, where it is wrong too; None if
    no such point is found.
    """
    rng = np.random.default_rng(13)
    for k, attempt in enumerate((1, 1, 0)):
        try:
            place = e.leaf.at(_redrawn(e, rng, k, attempt))
            other = gather(place, rng, e.linear, e.clock)
        except CallError:  # outside the function's domain
            continue
        if other.J.shape != e.J.shape or not (
            np.all(np.isfinite(other.J)) and np.all(np.isfinite(other.G))
        ):
            continue
        if np.any(other.J) and residual(other.G, other.J) > 10 * tol():
            return other
    return None


def _redrawn(e: Evidence, rng: np.random.Generator, k: int, attempt: int) -> Point:
    """The same point for all leaves of one report."""
    key = _key(e.leaf.point, f"redrawn {k}")
    point = e.leaf.point.redraw(rng, attempt)
    if key not in e.clock.known:
        e.clock.known[key] = e.leaf.point, point
    return e.clock.known[key][1]
