"""Both Jacobians of a small case, side by side: what naming a mistake rests on.

Row j of `J` holds the true derivatives of output j, row j of `G` what your backward gives for a
cotangent of one at j. Almost every mistake is plain to see in this picture: rows missing, columns
exchanged, a diagonal too many. The helpers at the end read it.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from autocnn.gradcheck.point import LeafAt, Point, Values, Witness, rms
from autocnn.gradcheck.problem import CallError, Problem, run
from autocnn.gradcheck.witnesses import central_jvp, imaginary, jvp

__all__ = [
    "CLOSE",
    "LARGE",
    "SMALL",
    "Clock",
    "Evidence",
    "OutOfTime",
    "affordable",
    "box",
    "close",
    "column_at",
    "elementwise",
    "functions_of",
    "gate",
    "gather",
    "jacobian_at",
    "jacobians_of",
    "kept",
    "product",
    "residual",
    "second_point",
    "slopes",
    "tol",
    "tolerating",
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
CLOSE_IN_SINGLE = 2e-3  # the same where the function computes in float32
VAIN = 5.0  # seconds of processor time for each report that rules may spend in vain

_tolerance = CLOSE


def tol() -> float:
    """The residual under which an explanation counts as exact, for the leaf that is being named."""
    return _tolerance


@contextlib.contextmanager
def tolerating(eps: float) -> Iterator[None]:
    """Name in the precision `eps` for the body of `with`."""
    global _tolerance
    before, _tolerance = _tolerance, CLOSE if eps < 1e-12 else max(CLOSE_IN_SINGLE, 64 * eps)
    try:
        yield
    finally:
        _tolerance = before


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


def close(a: np.ndarray, b: np.ndarray, tolerance: float | None = None) -> bool:
    """a equals b to a residual of `tol()`, relative to the largest entry of b (which must not be
    zero).
    """
    tolerance = tol() if tolerance is None else max(tolerance, tol() if tol() > CLOSE else 0.0)
    top = np.max(np.abs(b), initial=0.0)
    return a.shape == b.shape and top > 0 and bool(np.max(np.abs(a - b)) <= tolerance * top)


def residual(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest entry of b."""
    top = np.max(np.abs(b), initial=0.0)
    return float(np.max(np.abs(a - b), initial=0.0) / top) if top else float("inf")


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


def jacobian_at(e: Evidence, values: Values) -> np.ndarray | None:
    """J at other values, None where the function refuses them or the leaf's calls are spent."""
    e.calls -= e.x.size
    if e.calls < 0:
        return None
    try:
        J = true_jacobian(e.leaf.at(Point(e.problem, values)), e.clock)
    except CallError:
        return None
    if J.shape != e.J.shape or not np.all(np.isfinite(J)):
        return None
    J[np.abs(J) <= 1e-13 * np.max(np.abs(J), initial=0.0)] = 0.0
    return J


def column_at(e: Evidence, x: np.ndarray, u: np.ndarray) -> np.ndarray | None:
    """J u at another value of the leaf, None where the function refuses it."""
    e.clock.check()
    leaf = e.leaf.at(e.leaf.point.replace(**{e.name: x}))
    try:
        moved = jvp(leaf, u.reshape(e.shape))
    except CallError:
        return None
    if moved.size != e.J.shape[0] or not np.all(np.isfinite(moved)):
        return None
    return np.where(np.abs(moved) <= 1e-9 * np.max(np.abs(e.J)), 0.0, moved)


def functions_of(problem: Problem) -> list:
    """The author's functions: those that are known, and those that the problem is built from."""
    found = list(problem.functions)

    def record(function):
        if not any(function is f for f in found):
            found.append(function)
        return function

    if problem.build is not None:
        with contextlib.suppress(TypeError, ValueError):  # objects pass their methods when called
            built = replace(problem, call=problem.build(record))
            if not found:
                out = run(built, built.values())
                out.backward(np.ones(out.flat.size))
    return found


def product(e: Evidence, replaced: dict, u: np.ndarray, v: np.ndarray) -> float | None:
    """v . J u with some arguments replaced (leaves or labels), or None where the function
    refuses them.
    """
    leaves = {n: replaced.get(n, x) for n, x in e.values.items()}
    others = {n: a for n, a in replaced.items() if n not in e.values}
    e.clock.check()
    problem = e.problem.at(**others) if others else e.problem
    point = Point(problem, leaves)
    try:
        if e.witness.exact or problem.eps < 1e-12:
            moved = jvp(e.leaf.at(point), u)
        else:
            moved = central_jvp(point, e.name, u, 2.0**-4 * rms(leaves[e.name]))
    except CallError:
        return None
    return float(v @ moved) if moved.size == v.size and np.all(np.isfinite(moved)) else None


def kept(e: Evidence) -> np.ndarray | None:
    """True where G keeps a nonzero entry of J exactly, False where it has 0 instead; None if G
    does anything else.
    """
    off = np.abs(e.G - e.J) > tol() * np.max(np.abs(e.J), initial=0.0)
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
        if J is None or np.max(np.abs(J - e.J)[:, kept_.ravel()], initial=0.0) > max(
            1e-12, tol() if tol() > CLOSE else 0.0
        ) * np.max(np.abs(e.J)):
            return None
    return e.J[0], e.G[0]


def gate(first: int, last: int, n: int, lengths: set[int]) -> str:
    """ "gate 2 of 4" for a block of an axis that packs the gates of an LSTM or a GRU, else "".

    `lengths` are the lengths of other axes: the hidden size must be one of them.
    """
    for gates in (4, 3, 2):
        size = n // gates
        count, rest = divmod(last - first + 1, max(size, 1))
        if n % gates or size < 2 or size not in lengths or rest or first % size:
            continue
        if 0 < count < gates:
            number = first // size + 1
            return (
                f"gate {number} of {gates}"
                if count == 1
                else f"gates {number} to {number + count - 1} of {gates}"
            )
    return ""


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
