"""Both Jacobians of a small case, side by side: what naming a mistake rests on.

Row j of `J` holds the true derivatives of output j, row j of `G` what your backward gives for a
cotangent of one at j. Almost every mistake is plain to see in this picture: rows missing, columns
exchanged, a diagonal too many. The helpers at the end read it.
"""

import time
from dataclasses import dataclass

import numpy as np

from autocnn.gradcheck.point import LeafAt, Point, Values, Witness, rms
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.witnesses import central_jvp, imaginary, jvp

__all__ = [
    "CLOSE",
    "LARGE",
    "SMALL",
    "Evidence",
    "affordable",
    "box",
    "close",
    "elementwise",
    "gather",
    "jacobian_at",
    "kept",
    "product",
    "residual",
    "second_point",
    "slopes",
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
CLOSE = 1e-7  # residual under which an explanation counts as exact


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


def close(a: np.ndarray, b: np.ndarray, tolerance: float = CLOSE) -> bool:
    """a equals b to a residual of 1e-7, relative to the largest entry of b (which must not be
    zero).
    """
    top = np.max(np.abs(b), initial=0.0)
    return a.shape == b.shape and top > 0 and bool(np.max(np.abs(a - b)) <= tolerance * top)


def residual(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest entry of b."""
    top = np.max(np.abs(b), initial=0.0)
    return float(np.max(np.abs(a - b), initial=0.0) / top) if top else float("inf")


def true_jacobian(leaf: LeafAt) -> np.ndarray:
    """(outputs, entries): one witness run for each entry of the leaf."""
    columns, unit = [], rms(leaf.x)
    for i in range(leaf.x.size):
        u = np.zeros(leaf.x.size)
        u[i] = 1.0
        u = u.reshape(leaf.x.shape)
        if leaf.witness.exact:
            columns.append(imaginary(leaf.point, leaf.name, u, leaf.witness.lifted))
        else:
            columns.append(central_jvp(leaf.point, leaf.name, u, unit * 2.0**-7))
    return np.stack(columns, axis=1)


def your_jacobian(point: Point, name: str) -> np.ndarray:
    """(outputs, entries): backward for each unit cotangent, after a forward of its own where
    backward can be called only once."""
    out = point.run()
    rows = []
    for j in range(out.flat.size):
        if j and not point.problem.repeatable:
            out = point.run()
        dy = np.zeros(out.flat.size)
        dy[j] = 1.0
        rows.append(np.array(out.backward(dy)[name], dtype=np.float64).ravel())
    return np.stack(rows)


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


def gather(leaf: LeafAt, rng: np.random.Generator, linear: bool) -> Evidence:
    """Both Jacobians at one point."""
    out = leaf.point.run()
    yshape = out.shapes[0] if len(out.shapes) == 1 else (out.flat.size,)
    J, G = true_jacobian(leaf), your_jacobian(leaf.point, leaf.name)
    J[np.abs(J) <= (1e-13 if leaf.witness.exact else 1e-9) * np.max(np.abs(J), initial=0.0)] = 0.0
    G[np.abs(G) <= 1e-13 * np.max(np.abs(G), initial=0.0)] = 0.0
    return Evidence(leaf, J, G, out.flat, yshape, rng, linear)


def second_point(e: Evidence) -> Evidence | None:
    """The same leaf at freshly drawn values of the same shapes, where it is wrong too; None if
    no such point is found.
    """
    rng = np.random.default_rng(13)
    for attempt in (1, 1, 0):
        try:
            other = gather(e.leaf.at(e.leaf.point.redraw(rng, attempt)), rng, e.linear)
        except CallError:  # outside the function's domain
            continue
        if other.J.shape != e.J.shape or not (
            np.all(np.isfinite(other.J)) and np.all(np.isfinite(other.G))
        ):
            continue
        if np.any(other.J) and residual(other.G, other.J) > 1e-6:
            return other
    return None


def jacobian_at(e: Evidence, values: Values) -> np.ndarray | None:
    """J at other values, None where the function refuses them or the leaf's calls are spent."""
    e.calls -= e.x.size
    if e.calls < 0:
        return None
    try:
        J = true_jacobian(e.leaf.at(Point(e.problem, values)))
    except CallError:
        return None
    if J.shape != e.J.shape or not np.all(np.isfinite(J)):
        return None
    J[np.abs(J) <= 1e-13 * np.max(np.abs(J), initial=0.0)] = 0.0
    return J


def product(e: Evidence, replaced: dict, u: np.ndarray, v: np.ndarray) -> float | None:
    """v . J u with some arguments replaced (leaves or labels), or None where the function
    refuses them.
    """
    leaves = {n: replaced.get(n, x) for n, x in e.values.items()}
    others = {n: a for n, a in replaced.items() if n not in e.values}
    problem = e.problem.at(**others) if others else e.problem
    try:
        moved = jvp(e.leaf.at(Point(problem, leaves)), u)
    except CallError:
        return None
    return float(v @ moved) if moved.size == v.size and np.all(np.isfinite(moved)) else None


def kept(e: Evidence) -> np.ndarray | None:
    """True where G keeps a nonzero entry of J exactly, False where it has 0 instead; None if G
    does anything else.
    """
    off = np.abs(e.G - e.J) > 1e-7 * np.max(np.abs(e.J), initial=0.0)
    return None if np.any(off & (e.G != 0)) or not np.any(e.G) else ~off


def elementwise(e: Evidence) -> tuple[np.ndarray, np.ndarray] | None:
    """The diagonals of J and G when each output depends on its own entry of the leaf only, in
    both.
    """
    if e.J.shape[0] != e.J.shape[1] or e.J.shape[0] == 1:
        return None
    a, b = np.diag(e.J), np.diag(e.G)
    if np.count_nonzero(e.J) != np.count_nonzero(a) or np.count_nonzero(e.G) != np.count_nonzero(b):
        return None
    return a, b


def slopes(e: Evidence) -> tuple[np.ndarray, np.ndarray] | None:
    """True and your slope of each entry, where the function is elementwise or one sum of such
    terms.
    """
    if e.J.shape[0] > 1:
        return elementwise(e)
    half = np.arange(e.x.size).reshape(e.shape) % 2 == 0
    rng = np.random.default_rng(12)
    for kept_ in (half, ~half):  # the slopes of one half do not change with the other
        J = jacobian_at(
            e,
            {
                **e.values,
                e.name: np.where(kept_, e.x, rng.permutation(e.x.ravel()).reshape(e.shape)),
            },
        )
        if J is None or np.max(np.abs(J - e.J)[:, kept_.ravel()], initial=0.0) > 1e-12 * np.max(
            np.abs(e.J)
        ):
            return None
    return e.J[0], e.G[0]


def box(keep: np.ndarray) -> str | None:
    """Where a boolean grid is True, when that is a product of index sets: "axis 0: 2; axis 3:
    all but 5".
    """
    if not np.any(keep) or np.all(keep):
        return None
    words, shape = [], keep.shape
    sets = [
        np.any(keep, axis=tuple(a for a in range(keep.ndim) if a != k)) for k in range(keep.ndim)
    ]
    full = np.ones(shape, bool)
    for k, chosen in enumerate(sets):
        full &= chosen.reshape([-1 if a == k else 1 for a in range(keep.ndim)])
    if not np.array_equal(full, keep):
        return None
    for k, chosen in enumerate(sets):
        if not np.all(chosen):
            words.append(f"axis {k}: {_few(np.flatnonzero(chosen), shape[k])}")
    return "; ".join(words)


def _few(indices: np.ndarray, n: int) -> str:
    lost = sorted(set(range(n)) - set(indices.tolist()))
    if len(indices) == 1:
        return f"only {indices[0]} of 0..{n - 1}"
    if len(lost) <= 2:
        return f"all but {', '.join(map(str, lost))}"
    return (
        f"{indices[0]}..{indices[-1]} of 0..{n - 1}"
        if np.all(np.diff(indices) == 1)
        else f"{len(indices)} of {n}"
    )
