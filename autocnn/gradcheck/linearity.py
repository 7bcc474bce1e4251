"""Backward is linear in dy: zero for zero, and a sum for a sum."""

import contextlib
from dataclasses import replace

import numpy as np

from autocnn.gradcheck import precision
from autocnn.gradcheck.point import rms
from autocnn.gradcheck.problem import CallError, Problem, run
from autocnn.gradcheck.repeats import as_floats
from autocnn.gradcheck.report import Cause

__all__ = ["check_linear"]


def check_linear(
    problem: Problem, rng, usable: list[str], causes: list[Cause], nonlinear: set[str]
) -> Problem:
    """backward(0) = 0 and backward(a u + v) = a backward(u) + backward(v), to rounding.

    Where all that is left of a gradient is rounding (saturated units) nothing is linear: ask again
    at another point. Where it is linear to single precision, that is the precision of the code.
    """
    if any(c.code == "nondeterministic" and c.leaf is None for c in causes):
        return problem
    random_again = {c.leaf for c in causes if c.code == "nondeterministic"}
    usable = [n for n in usable if n not in random_again]
    values = problem.values()
    offset, bent = _nonlinear(problem, values, rng, usable)
    if problem.repeatable and (offset or bent):  # does it keep what it made of the first dy?
        fresh = replace(problem, repeatable=False)
        alone = _nonlinear(fresh, values, rng, usable)
        if not any(alone):
            problem = fresh
        offset, bent = alone
    near = {n for n, size in bent.items() if size < 1e-4}
    if near and precision.measured_noise(problem) > 1e-10:
        problem = replace(problem, eps=max(problem.eps, precision.SINGLE))
        bent = {n: size for n, size in bent.items() if n not in near}
    if bent:
        unit = {
            n: rng.standard_normal(x.shape) if np.any(x <= 0) else rng.uniform(0.2, 0.8, x.shape)
            for n, x in values.items()
        }
        with contextlib.suppress(CallError):  # outside the domain: the given point decides
            there = _nonlinear(problem, unit, rng, usable)[1]
            bent = {n: size for n, size in bent.items() if n in there}
    for name in usable:
        if name in offset:
            message = (
                "dy = 0 gives a gradient that is not 0: dy is ignored, or something is added "
                "that does not pass through it"
            )
        elif name in bent:
            message = "backward(a u + v) is not a backward(u) + backward(v)"
        else:
            continue
        causes.append(Cause("not-linear", name, message))
        nonlinear.add(name)
    return problem


def _nonlinear(
    problem: Problem, values: dict, rng, usable: list[str]
) -> tuple[set[str], dict[str, float]]:
    """(leaves with backward(0) != 0, how far backward(a u + v) is from a backward(u) +
    backward(v), relative, for the leaves where that is more than rounding).
    """
    out = run(problem, values)
    y, size = out.flat, out.flat.size
    u, v, a = rng.standard_normal(size), rng.standard_normal(size), 0.7390851332151607

    def grads(dy, what):
        call = out if problem.repeatable else run(problem, values)
        return as_floats(call.backward(dy, what), usable)

    # The zero comes second: a backward pass that kept the first dy gives itself away.
    gu, zero = grads(u, "backward (dy random)"), grads(0 * u, "backward (dy = 0)")
    gv, both = grads(v, "backward (dy random)"), grads(a * u + v, "backward (a sum of two dy)")
    offset: set[str] = set()
    bent: dict[str, float] = {}
    for name in usable:
        parts = [part.get(name) for part in (zero, gu, gv, both)]
        if any(p is None or not np.all(np.isfinite(p)) for p in parts):
            continue
        scale = float(np.max(np.abs(a * gu[name]) + np.abs(gv[name]), initial=0.0))
        gap = float(np.max(np.abs(both[name] - a * gu[name] - gv[name]), initial=0.0))
        eps = problem.eps_of(name)
        # what rounding leaves of a gradient that is zero: of a bias before a normalisation
        dust = 64 * eps * float(np.abs(u) @ np.abs(y)) / rms(values[name])
        if np.any(zero[name]):
            offset.add(name)
        elif gap > max(1e-9, 1e3 * eps if precision.is_coarse(eps) else 0.0) * scale + dust:
            bent[name] = gap / scale if scale else np.inf
    return offset, bent
