"""Rules for functions of sequences: what passes from one step to the next is missing or wrong."""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.evidence import Evidence, gather, jacobians_of
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, tol
from autocnn.gradcheck.witnesses import jvp


class _Time(NamedTuple):
    """A leaf whose axis `b` runs with the output's axis `a`, and what is wrong of its gradient."""

    name: str
    a: int
    b: int
    backwards: bool  # the function runs from the last step to the first
    fault: str  # "cut", "wrong"


_WORDS = {
    "cut": "only each step's own part is there: the route from one step to the next (what comes "
    "back from later steps) is missing",
    "wrong": "each step's own part is right, what comes back from later steps is not: one of the "
    "routes from step to step is missing or wrong",
}


#: What a cause says of itself where it cannot tell a missing route from a wrong one.
BETWEEN_STEPS = "the routes between steps"


def recurrence(e: Evidence) -> Cause | None:
    """Right within a step and wrong, or absent, between steps."""
    if e.J.shape[0] < 2:
        return None
    for name in e.values:
        found = _time(e, name)
        if found is None:
            continue
        if found.name == e.name:
            return _between(e, found)
        J, G = (np.moveaxis(M.reshape(*e.yshape, -1), found.a, 0) for M in (e.J, e.G))
        if found.backwards:
            J, G = J[::-1], G[::-1]
        live = np.flatnonzero([np.any(step) for step in J])
        if not live.size or np.any(G[: live[0]]) or not close(G[live[0]], J[live[0]]):
            continue  # the first step has nothing behind it: it must be right
        if np.any(np.abs(G - J) > tol() * np.max(np.abs(J))):
            return _between(e, found)
    return _last_step_only(e)


def _between(e: Evidence, found: _Time) -> Cause:
    what = BETWEEN_STEPS if found.fault == "wrong" else None
    return Cause("missing-path", e.name, _say(found), what=what)


def _last_step_only(e: Evidence) -> Cause | None:
    """Only the last output of a recurrence: yours knows the last step, and nothing before it."""
    for name, x in e.values.items():
        if x.ndim < 2 or all(n < 2 or n in e.yshape for n in x.shape):
            continue
        both = jacobians_of(e, name)
        if both is None:
            continue
        J, G = (M.reshape(len(M), *x.shape) for M in both)
        for k, n in enumerate(x.shape):
            if n < 2 or n in e.yshape:
                continue
            steps = [np.moveaxis(M, k + 1, 0) for M in (J, G)]
            for last in (n - 1, 0):
                others = [t for t in range(n) if t != last]
                if (
                    not np.any(steps[1][others])
                    and close(steps[1][last], steps[0][last])
                    and all(np.any(steps[0][t]) for t in others)
                    and _feeds_forward(e, name, k, last)
                ):
                    message = (
                        "only the last step's own part is there: the route back through the steps "
                        f"before (axis {k} of {name}) is missing"
                    )
                    if name == e.name or _right_alone(e, name, k, last):
                        return Cause("missing-path", e.name, message)
    return None


def _feeds_forward(e: Evidence, name: str, k: int, last: int) -> bool:
    """Does the derivative for the other steps change with the value of the last one? It does in a
    recurrence, and not in a sum over the steps.
    """
    x = e.values[name].copy()
    index = [slice(None)] * x.ndim
    index[k] = last
    x[tuple(index)] = x[tuple(index)] + 0.5 * np.std(x)
    u = np.random.default_rng(21).standard_normal(x.shape)
    u[tuple(index)] = 0.0
    try:
        a = jvp(LeafAt(e.leaf.point, name, e.witness), u)
        b = jvp(LeafAt(e.leaf.point.replace(**{name: x}), name, e.witness), u)
    except CallError:
        return False
    return not close(b, a, 1e-6)


def _right_alone(e: Evidence, name: str, k: int, last: int) -> bool:
    """Is this leaf's gradient right for a sequence of one step?"""
    x = e.values[name]
    one = np.take(x, [last], k)
    problem = e.problem.at(**{name: one})
    place = Point(problem, {**e.values, name: one})
    try:
        there = gather(e.leaf.at(place), e.rng, e.linear, e.clock)
    except CallError:
        return False
    if there.J.shape[1] != e.J.shape[1]:
        return False
    return (not np.any(there.J) and not np.any(there.G)) or close(there.G, there.J)


def _say(found: _Time) -> str:
    return f"{_WORDS[found.fault]} (steps: axis {found.a} of the output)"


def _time(e: Evidence, name: str) -> _Time | None:
    """How the gradient of one leaf is wrong along a time axis, if it has one."""
    x = e.values[name]
    if not x.ndim:
        return None
    candidates = [
        (a, b) for a, n in enumerate(e.yshape) for b, m in enumerate(x.shape) if n == m and n > 1
    ]
    if not candidates:
        return None
    both = jacobians_of(e, name)
    if both is None:
        return None
    size = np.max(np.abs(both[0]), initial=0.0)
    for a, b in candidates:
        J, G = (_by_steps(M, e.yshape, x.shape, a, b) for M in both)
        n = len(J)
        reach = np.abs(J).max(axis=(2, 3)) > 1e-12 * size
        order = np.arange(n)
        for backwards in (False, True):
            past = order[:, None] < order if backwards else order[:, None] > order
            if np.any(reach & ~past & ~np.eye(n, dtype=bool)) or not np.all(reach[past]):
                continue
            off = np.abs(G - J).max(axis=(2, 3)) > tol() * size
            future = ~past & ~np.eye(n, dtype=bool)
            if np.any(np.diag(off)) or not np.any(off) or np.any(off & future):
                continue
            fault = "wrong" if np.any(G[past]) else "cut"
            if fault == "wrong" and not np.all(off[past]):
                neighbours = np.eye(n, k=1 if backwards else -1, dtype=bool)
                if not np.any(off & neighbours):
                    continue
            return _Time(name, a, b, backwards, fault)
    return None


def _by_steps(M: np.ndarray, yshape, shape, a: int, b: int) -> np.ndarray:
    """(output's step, leaf's step, other outputs, other entries)."""
    grid = M.reshape(*yshape, *shape)
    grid = np.moveaxis(grid, (a, len(yshape) + b), (0, 1))
    rest = int(np.prod([n for k, n in enumerate(yshape) if k != a]))
    return grid.reshape(yshape[a], shape[b], rest, -1)
