"""How precise the checked function is: single precision inside is judged by its own rounding."""

from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck.problem import EPS, CallError, Output, Problem, run

__all__ = ["SINGLE", "is_coarse", "looks_single", "measure", "measured_noise"]

SINGLE = float(np.finfo(np.float32).eps)


def is_coarse(eps: float) -> bool:
    """True for anything less precise than float64."""
    return eps > 1e3 * EPS


def looks_single(a: np.ndarray) -> bool:
    """Are all entries float32 numbers, and not just integers or halves, which any dtype holds?"""
    a = np.asarray(a, dtype=np.float64).ravel()
    a = a[(a != 0) & np.isfinite(a)]
    if not a.size or np.max(np.abs(a)) > 3e38:
        return False
    if not np.array_equal(a.astype(np.float32).astype(np.float64), a):
        return False
    mantissa = np.frexp(a)[0] * 2.0**12
    return bool(np.any(mantissa != np.round(mantissa)))


def _of_dtypes(dtypes) -> float:
    return max((float(np.finfo(d).eps) for d in dtypes if np.dtype(d).kind in "fc"), default=EPS)


def measure(problem: Problem, out: Output, grads: dict[str, Any]) -> Problem:
    """The problem with the rounding of forward and of each gradient, read off one call in float64
    whose arguments and cotangent fill all digits."""
    given = max((float(np.finfo(np.asarray(problem.arguments[n]).dtype).eps)
                 for n in problem.leaves), default=EPS) if problem.given else EPS  # fmt: skip
    eps = max(given, _of_dtypes(out.dtypes))
    if eps == EPS and looks_single(out.flat) and _rounds_elsewhere(problem):
        eps = SINGLE
    coarse = []
    for name, grad in grads.items():
        g = np.asarray(grad) if grad is not None else np.zeros(0)
        if name not in problem.leaves or g.dtype.kind != "f":
            continue
        own = float(np.finfo(g.dtype).eps) if g.size else EPS
        if own == EPS and looks_single(g):
            own = SINGLE
        if own > EPS:
            coarse.append((name, own))
    return replace(problem, eps=max(eps, EPS), leaf_eps=tuple(coarse))


def _rounds_elsewhere(problem: Problem) -> bool:
    """Is the output in float32 numbers where the arguments are not?"""
    rng = np.random.default_rng(17)
    values = {n: x * (1 + 1e-3 * rng.random(x.shape)) for n, x in problem.values().items()}
    try:
        return looks_single(run(problem, values).flat)
    except CallError:
        return True


def measured_noise(problem: Problem) -> float:
    """Relative noise of forward: from differences of order 4 to 6 over seven points close together.

    Kinks on the way show in them too, but shrink with the points' distance; rounding does not. What
    shrinks in proportion to it is a kink at the point itself.
    """
    rng, values = np.random.default_rng(18), problem.values()
    along = {n: rng.standard_normal(x.shape) * (np.abs(x) + 1e-3) for n, x in values.items()}

    def difference(spacing: float) -> np.ndarray:
        points = [
            run(problem, {n: x + k * spacing * along[n] for n, x in values.items()}).flat
            for k in range(-3, 4)
        ]
        return np.diff(np.array(points), 6, axis=0)[0] / np.sqrt(924.0)

    size = np.abs(run(problem, values).flat)
    wide, narrow = difference(2.0**-19), difference(2.0**-21)
    beside_kink = np.abs(4 * narrow - wide) / np.sqrt(17.0)
    least = np.minimum(np.minimum(np.abs(wide), 4 * np.abs(narrow)), beside_kink)
    relative = least / np.where(size > 0, size, 1.0)
    return float(np.median(relative[size > 0])) if np.any(size > 0) else 0.0
