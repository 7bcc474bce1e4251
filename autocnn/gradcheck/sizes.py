"""The same mistake at other sizes: small ones, in which both Jacobians are quick, and unequal ones,
which tell what equal lengths hide.
"""

import contextlib
import itertools
from collections.abc import Callable

import numpy as np

from autocnn.gradcheck.clock import Clock
from autocnn.gradcheck.evidence import SMALL, affordable
from autocnn.gradcheck.factors import distinct, matches
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules.whole import scale_cause
from autocnn.gradcheck.shrink import shrink, variants
from autocnn.gradcheck.tolerance import CLOSE, tol
from autocnn.gradcheck.verdict import compare, probe
from autocnn.gradcheck.witnesses import slope

__all__ = ["at_other_sizes", "at_unequal_sizes", "small_case", "smallest"]


def at_unequal_sizes(leaf: LeafAt, cause: Cause) -> Cause:
    """Where lengths are equal, a gradient along the wrong axis has the right shape by chance: what
    shape has it elsewhere?
    """
    sizes = [n for x in leaf.values.values() for n in x.shape if n > 1]
    if not leaf.x.ndim or len(set(sizes)) == len(sizes):
        return cause
    for other in variants(leaf.problem, 16):
        if np.shape(other.arguments[leaf.name]) == leaf.x.shape and leaf.x.ndim > 1:
            continue
        try:
            out = Point(other, other.values()).run()
            grad = out.backward(np.ones(out.flat.size)).get(leaf.name)
        except (CallError, ValueError, TypeError):
            continue
        shape = np.shape(other.arguments[leaf.name])
        if grad is None or np.shape(grad) == shape or np.ndim(grad) != len(shape):
            continue
        shapes = ", ".join(f"{n} {np.shape(a)}" for n, a in other.values().items())
        if leaf.x.ndim == 1:
            what = "summed over the wrong axis"
        elif np.shape(grad) == shape[::-1]:
            what = "transposed"
        else:
            what = "taken along the wrong axis"
        message = f"{what}: with {shapes} yours has the shape {np.shape(grad)} for {shape}"
        code = "transposed" if what == "transposed" else "wrong-operand"
        code = cause.code if cause.code != "unclassified" else code
        return cause._replace(code=code, message=f"{message} ({cause.message})")
    return cause


def at_other_sizes(leaf: LeafAt, small: LeafAt, cause: Cause, clock: Clock) -> Cause:
    """The factor at the given sizes, named by what fits there and at other sizes: 1 / N is not 1
    / k at both.
    """
    found = _factor_names(leaf)
    if found is None:
        return cause
    c, names = found
    others = [small.problem] if small.problem is not leaf.problem else []
    varied = False
    for other in itertools.chain(others, variants(small.problem, 24)):
        if not names or (varied and len(names) < 2):
            break
        clock.check()
        try:
            # an axis may have length 1 here: the factor is called by it all the same
            seen = _factor_names(small.at(Point(other, other.values())), ones=True)
        except (CallError, ValueError, KeyError):  # the function needs the sizes as they are
            continue
        if seen is None:
            continue
        varied = True
        left = [n for n in names if n in seen[1]]
        if left or abs(seen[0] - c) > 1e-6 * abs(c):
            names = left
    return scale_cause(cause.leaf, c, distinct(names), cause.residual)


def _factor_names(leaf: LeafAt, ones: bool = False) -> tuple[float, list[str]] | None:
    """c with yours = c x the gradient along three directions, and everything that c may be
    called.
    """
    rng = np.random.default_rng(9)
    found = []
    for p in probe(leaf.point, rng):
        u = rng.standard_normal(leaf.x.shape)
        true = slope(leaf, u, p.v).value
        if true == 0:  # nothing is a multiple of it
            return None
        found.append(float(np.vdot(p.grads[leaf.name], u)) / true)
    if np.ptp(found) > 10 * tol() * abs(found[0]):
        return None
    shapes = leaf.point.run().shapes
    c = found[int(np.argmin(np.abs(np.array(found) - np.median(found))))]
    yshape = shapes[0] if len(shapes) == 1 else ()
    tolerance = max(1e-9, tol() - CLOSE)
    return c, matches(c, leaf.problem, leaf.name, yshape, tolerance, True, ones)


def small_case(leaf: LeafAt, clock: Clock, before: LeafAt | None) -> LeafAt:
    """The given case when both Jacobians are quick, else a smaller one in which the leaf is
    still wrong: that of the leaf `before`, if it will do.
    """

    def enough(problem: Problem) -> bool:
        return affordable(Point(problem, problem.values()), leaf.name, SMALL)

    if enough(leaf.problem):
        return leaf
    if before is not None and enough(before.problem):
        there = leaf.at(before.point)
        with contextlib.suppress(CallError, ValueError):
            if _still_wrong(leaf)(before.problem):
                return there
    smaller = shrink(leaf.problem, _still_wrong(leaf), enough, seconds=max(clock.left / 2, 0.1))
    return leaf.at(Point(smaller, smaller.values()))


def smallest(leaf: LeafAt) -> LeafAt:
    """For the report: a few more cuts, as far as the leaf stays wrong."""
    smaller = shrink(leaf.problem, _still_wrong(leaf), lambda _: False, most=15)
    return leaf.at(Point(smaller, smaller.values()))


def _still_wrong(leaf: LeafAt) -> Callable[[Problem], bool]:
    rng = np.random.default_rng(8)

    def fails(problem: Problem) -> bool:
        there = leaf.at(Point(problem, problem.values()))
        return compare(there, probe(there.point, rng, 1), rng).verdict == "wrong"

    return fails
