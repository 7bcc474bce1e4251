"""Both Jacobians of a small case, side by side: what naming a mistake rests on.

Row j of `J` holds the true derivatives of output j, row j of `G` what your backward gives for a
cotangent of one at j. Almost every mistake has a plain shape in this picture: rows missing, columns
exchanged, a diagonal too many.
"""

import time
from dataclasses import dataclass

import numpy as np

from autocnn.gradcheck.problem import CallError, Problem, run
from autocnn.gradcheck.verdict import redraw
from autocnn.gradcheck.witnesses import Witness, central_jvp, imaginary, jvp, rms

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

    problem: Problem
    values: dict[str, np.ndarray]
    name: str
    witness: Witness
    J: np.ndarray
    G: np.ndarray
    y: np.ndarray
    yshape: tuple[int, ...]
    rng: np.random.Generator
    linear: bool = True
    calls: int = RULES_CALLS  # that are left for further Jacobians

    @property
    def x(self) -> np.ndarray:
        """The leaf itself."""
        return self.values[self.name]

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


def true_jacobian(problem: Problem, values: dict, name: str, witness: Witness) -> np.ndarray:
    """(outputs, entries): one witness run for each entry of the leaf."""
    columns, unit = [], rms(values[name])
    for i in range(values[name].size):
        u = np.zeros(values[name].size)
        u[i] = 1.0
        u = u.reshape(values[name].shape)
        if witness.method == "complex step":
            columns.append(imaginary(problem, values, name, u, witness.lifted))
        else:
            columns.append(central_jvp(problem, values, name, u, unit * 2.0**-7))
    return np.stack(columns, axis=1)


def your_jacobian(problem: Problem, values: dict, name: str) -> np.ndarray:
    """(outputs, entries): backward for each unit cotangent."""
    out = run(problem, values)
    rows = []
    for j in range(out.flat.size):
        dy = np.zeros(out.flat.size)
        dy[j] = 1.0
        rows.append(np.array(out.backward(dy)[name], dtype=np.float64).ravel())
    return np.stack(rows)


def affordable(problem: Problem, values: dict, name: str, calls: int) -> bool:
    """Are both Jacobians within this many calls (and, as a last resort, within SECONDS of
    processor time)?
    """
    out = run(problem, values)
    m, n = out.flat.size, values[name].size
    if m + n > calls or m * n > 3e7:
        return False
    if m + n <= SMALL:
        return True
    start = time.process_time()
    run(problem, values).backward(np.ones(m))
    return (time.process_time() - start) * (m + n) < SECONDS


def gather(
    problem: Problem, values: dict, name: str, witness: Witness, rng, linear: bool
) -> Evidence:
    """Both Jacobians at one point."""
    out = run(problem, values)
    yshape = out.shapes[0] if len(out.shapes) == 1 else (out.flat.size,)
    J, G = true_jacobian(problem, values, name, witness), your_jacobian(problem, values, name)
    tiny = (
        1e-13 * np.max(np.abs(J), initial=0.0)
        if witness.method == "complex step"
        else 1e-9 * np.max(np.abs(J), initial=0.0)
    )
    J[np.abs(J) <= tiny] = 0.0
    G[np.abs(G) <= 1e-13 * np.max(np.abs(G), initial=0.0)] = 0.0
    return Evidence(problem, values, name, witness, J, G, out.flat, yshape, rng, linear)


def second_point(e: Evidence) -> Evidence | None:
    """The same leaf at freshly drawn values of the same shapes, where it is wrong too; None if
    no such point is found.
    """
    rng = np.random.default_rng(13)
    for attempt in (1, 1, 0):
        try:
            other = gather(
                e.problem, redraw(e.values, rng, attempt), e.name, e.witness, rng, e.linear
            )
        except CallError:  # outside the function's domain
            continue
        if other.J.shape != e.J.shape or not (
            np.all(np.isfinite(other.J)) and np.all(np.isfinite(other.G))
        ):
            continue
        if np.any(other.J) and residual(other.G, other.J) > 1e-6:
            return other
    return None


def jacobian_at(e: Evidence, values: dict) -> np.ndarray | None:
    """J at another point, None where the function refuses it or the leaf's calls are spent."""
    e.calls -= e.x.size
    if e.calls < 0:
        return None
    try:
        J = true_jacobian(e.problem, values, e.name, e.witness)
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
        moved = jvp(problem, leaves, e.name, u, e.witness)
    except CallError:
        return None
    return float(v @ moved) if moved.size == v.size and np.all(np.isfinite(moved)) else None
