"""Derivatives at other values than those of the evidence, for rules that change an argument and
look what follows.
"""

import contextlib
from dataclasses import replace

import numpy as np

from autocnn.gradcheck.evidence import Evidence, true_jacobian
from autocnn.gradcheck.point import Point, Values, rms
from autocnn.gradcheck.problem import CallError, Problem, run
from autocnn.gradcheck.witnesses import central_jvp, jvp

__all__ = ["column_at", "functions_of", "jacobian_at", "product"]


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
