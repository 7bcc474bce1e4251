"""Directional derivatives that do not rest on the user's backward: the complex step and a ladder of
real differences.

A witness answers one question: how fast does v . f move when one leaf moves along u? Sources:
Squire & Trapp 1998 (the complex step), Ridders 1982 (extrapolated differences), More & Wild 2011
(noise of a computed function).
"""

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import LeafAt, Point, Witness, rms, rms_or_zero
from autocnn.gradcheck.problem import CallError

__all__ = [
    "RUNGS",
    "STEP",
    "Slope",
    "central_jvp",
    "choose",
    "imaginary",
    "jvp",
    "ladder",
    "real_jvp",
    "slope",
]

STEP = 1e-20  # of the complex step: nothing is subtracted, so nothing is lost at this size
RUNGS = 12
_SHORT = (2.0**-14, 2.0**-18, 2.0**-22, 2.0**-26, 2.0**-30, 2.0**-32)  # past kinks near by
_SHORT_IN_SINGLE = (2.0**-7, 2.0**-9)
_COMPLEX_WARNING = getattr(np, "exceptions", np).ComplexWarning


class Slope(NamedTuple):
    """d/dt v . f(x + t u) at 0 from the right and from the left, sum |v_j (J u)_j|, an error
    estimate, f's values.
    """

    value: float
    left: float
    spread: float
    error: float
    jvp: np.ndarray


def imaginary(point: Point, name: str, u: np.ndarray, lifted: bool) -> np.ndarray:
    """J u by Im f(x + i h u) / h: exact to rounding, one-sided at a kink (complex numbers are
    ordered by real part).
    """
    return _complex_run(point, name, u, lifted)[0]


def _complex_run(
    point: Point, name: str, u: np.ndarray, lifted: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(J u, f's value)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", _COMPLEX_WARNING)
        moved = point.shifted(name, 1j * STEP * u)
        out = moved.run(f"forward (complex step of {name})", lifted)
    imag = out.flat.imag / STEP if out.flat.dtype.kind == "c" else np.zeros(out.flat.size)
    # The step leaves out terms of the size of STEP^2: a product of zeros has a derivative of 0.
    return np.where(np.abs(imag) < 1e3 * STEP**2, 0.0, imag), out.flat.real


def real_jvp(point: Point, name: str, u: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """One-sided derivatives (right, left) along u, extrapolated from steps `step` and `step` /
    2: error O(step^2).
    """
    y0 = point.run().flat
    sides = []
    for h in (step, -step):
        far, near = (point.shifted(name, t * u).run().flat - y0 for t in (h, h / 2))
        sides.append((4 * near - far) / h)
    return sides[0], sides[1]


def central_jvp(point: Point, name: str, u: np.ndarray, step: float) -> np.ndarray:
    """J u by central differences at `step`, `step` / 2 and `step` / 4, extrapolated twice: error
    O(step^6).
    """

    def central(h):
        right, left = (point.shifted(name, t * u).run().flat for t in (h, -h))
        return (right - left) / (2 * h)

    a, b, c = (central(step / 2**k) for k in range(3))
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * bc - ab) / 15


def jvp(leaf: LeafAt, u: np.ndarray) -> np.ndarray:
    """J u from the right."""
    if leaf.witness.exact:
        return imaginary(leaf.point, leaf.name, u, leaf.witness.lifted)
    return real_jvp(leaf.point, leaf.name, u, 2.0**-14 * rms(leaf.x))[0]


def choose(point: Point, name: str, rng: np.random.Generator) -> LeafAt:
    """The leaf with its witness: the complex step where it agrees with a real difference, on the
    user's function or on its lifted copy.

    Agreement means 1e-10 where f is smooth along the way. Next to kinks, here or at another point,
    a real difference is short and one-sided, and can only confirm 1e-5; `examine` asks the ladder
    again before it calls so near a miss wrong.
    """
    reasons: list[str] = []
    problem = point.problem
    other = {n: x + 0.1 * rms(x) * rng.standard_normal(x.shape) for n, x in point.values.items()}
    for place in (point, Point(problem, other)):
        u = rng.standard_normal(point.values[name].shape)
        y0 = place.run().flat
        guesses = _guesses(place, name, u, y0, reasons)
        first = next(guesses, None)
        if first is None:
            break
        found = _confirmed(place, name, u, y0, itertools.chain([first], guesses))
        if found is not None:
            note = "through a copy with complex buffers" if found else ""
            return LeafAt(point, name, Witness("complex step", found, note))
    why = reasons[0] if reasons else "its imaginary part is lost on the way"
    note = f"forward is not complex-safe ({why}): real differences used"
    return LeafAt(point, name, Witness("real differences", False, note))


def _reason(error: BaseException) -> str:
    """The first line of an exception's message, or its type where there is none."""
    lines = str(error).splitlines()
    return lines[0][:90] if lines and lines[0].strip() else type(error).__name__


def _guesses(
    point: Point, name: str, u: np.ndarray, y0: np.ndarray, reasons: list[str]
) -> Iterator[tuple[bool, tuple[np.ndarray, np.ndarray]]]:
    """(lifted, (right, left)) of the function and, when that is asked for, of its lifted copy. Why
    one of them has none is added to `reasons`."""
    for lifted in [False, True] if point.problem.lifted else [False]:
        try:
            guess = _guess(point, name, u, y0, lifted)
        except CallError as error:
            reasons.append(_reason(error.__cause__ or error))
            continue
        yield lifted, guess


def _confirmed(
    point: Point, name: str, u: np.ndarray, y0: np.ndarray, found: Iterable[tuple]
) -> bool | None:
    """The first of the guesses (lifted, (right, left)) that real differences confirm at this
    point.
    """
    unit, eps = rms(point.values[name]), point.problem.eps
    smooth = central_jvp(point, name, u, 2.0**-6 * unit)
    noise = 64 * eps * (np.abs(y0) + rms_or_zero(y0)) / (2.0**-6 * unit)
    size = max(1e-10, 16 * eps) * (np.abs(smooth) + rms_or_zero(smooth)) + noise
    guesses = {}
    for lifted, sides in found:
        guesses[lifted] = sides
        if all(np.all(np.abs(side - smooth) <= size) for side in sides):
            return lifted
    # Where the differences at half the step say the same, f is smooth (or kinked just here, and the
    # mean of both sides is seen): a guess that is off there by less than short steps could tell is
    # refuted. One that is off by far is left to the short steps: the long ones err where they step
    # over many periods. The rest lies next to a kink.
    settled = np.abs(central_jvp(point, name, u, 2.0**-7 * unit) - smooth) <= size
    off = {k: settled & (np.abs((g[0] + g[1]) / 2 - smooth) > 4 * size) for k, g in guesses.items()}
    far = {
        k: np.abs((g[0] + g[1]) / 2 - smooth) > 1e-3 * (np.abs(smooth) + rms_or_zero(smooth))
        for k, g in guesses.items()
    }
    guesses = {k: g for k, g in guesses.items() if not np.any(off[k] & ~far[k])}
    steps = _SHORT if eps < 1e-12 else _SHORT_IN_SINGLE
    for step in steps if guesses else ():
        right, left = real_jvp(point, name, u, step * unit)
        noise = 8 * eps * (np.abs(y0) + rms_or_zero(y0)) / (step * unit)
        size = max(1e-5, 1e3 * eps) * (np.abs(right) + np.abs(left) + rms_or_zero(right)) + noise
        for lifted, (plus, minus) in guesses.items():
            fits = (np.abs(plus - right) <= size) & (np.abs(minus - left) <= size)
            if np.mean(fits) >= 0.98 and np.all(fits | ~off[lifted]):
                # a real step may cross a kink on its way; one in fifty outputs may do so
                return lifted
    return None


def _guess(point: Point, name: str, u: np.ndarray, y0: np.ndarray, lifted: bool):
    """J u from the right and from the left by the complex step, if the function keeps its value
    in complex numbers.
    """
    eps = point.problem.eps if point.problem.eps > 1e-12 else 0.0
    plus, value = _complex_run(point, name, u, lifted)
    if value.shape != y0.shape or not np.allclose(
        value, y0, rtol=max(1e-9, 256 * eps), atol=max(1e-12, 64 * eps) * rms(y0)
    ):
        raise CallError("complex arithmetic changes its value")
    return plus, -imaginary(point, name, -u, lifted)


def slope(leaf: LeafAt, u: np.ndarray, v: np.ndarray) -> Slope:
    """How fast v . f moves along u in one leaf, by the leaf's witness."""
    if leaf.witness.exact:
        plus = imaginary(leaf.point, leaf.name, u, leaf.witness.lifted)
        minus = -imaginary(leaf.point, leaf.name, -u, leaf.witness.lifted)
        return Slope(float(v @ plus), float(v @ minus), float(np.abs(v) @ np.abs(plus)), 0.0, plus)
    return ladder(leaf.point, leaf.name, u, v)


def ladder(point: Point, name: str, u: np.ndarray, v: np.ndarray) -> Slope:
    """Central differences at h0 2^-k with Richardson extrapolation to order 4, and how far they
    can be trusted.
    """
    unit, zero = rms(point.values[name]), point.run().flat
    table: list[list[float]] = []
    best = (math.inf, 0.0, zero * 0)
    noise = _noise(point, name, u, v, unit, zero)
    kinks, sides = [], []
    rung, last = 0, RUNGS
    while rung < last:
        h = unit * 2.0 ** -(rung + 4)
        right = point.shifted(name, h * u).run().flat
        left = point.shifted(name, -h * u).run().flat
        row = [float(v @ (right - left)) / (2 * h)]
        for j in range(1, min(rung, 4) + 1):
            above = table[-1]
            row.append(row[-1] + (row[-1] - above[j - 1]) / (4.0**j - 1))
            error = max(abs(row[j] - row[j - 1]), abs(row[j] - above[j - 1])) + 1.7 * noise / h
            if error < best[0]:
                best = (error, row[j], (right - left) / (2 * h))
        kinks.append(float(v @ (right + left - 2 * zero)) / h)
        sides.append(1.7 * noise / h)
        table.append(row)
        rung += 1
        fine = point.problem.eps < 1e-12
        if fine and rung == RUNGS and best[0] > 1e-7 * float(np.abs(v) @ np.abs(best[2])):
            last += 8  # kinks near by: only the short steps can resolve them
    error, value, jvp = best
    jump = _jump(np.array(kinks), np.array(sides))
    return Slope(value + jump / 2, value - jump / 2, float(np.abs(v) @ np.abs(jvp)), error, jvp)


def _jump(bends: np.ndarray, noise: np.ndarray) -> float:
    """The jump of the slope at 0: v . (f(h) + f(-h) - 2 f(0)) / h halves from rung to rung where f
    is smooth, and stays where it is at a kink. It must stay over the three shortest steps that
    stand well above the noise.
    """
    clear = np.flatnonzero(np.abs(bends) > 30 * noise)
    if len(clear) < 3 or clear[-1] != clear[-3] + 2 or clear[-1] < len(bends) - 8:
        return 0.0
    a, b, c = bends[clear[-3:]]
    return float(2 * c - b) if 0.9 < b / a < 1.1 and 0.9 < c / b < 1.1 else 0.0


def _noise(point: Point, name: str, u, v, unit: float, zero: np.ndarray) -> float:
    """Standard deviation of the computed v . f, from sixth differences of seven points close
    together.
    """
    eps = point.problem.eps
    spacing = unit * (2.0**-30 if eps < 1e-12 else 2.0**-18)
    if point.problem.given:
        spacing = unit * 2.0**-16
    points = [float(v @ point.shifted(name, k * spacing * u).run().flat) for k in range(-3, 4)]
    levels = []
    differences = np.array(points)
    for order in range(1, 7):
        differences = np.diff(differences)
        if order >= 4:
            gamma = math.factorial(order) ** 2 / math.factorial(2 * order)
            levels.append(math.sqrt(gamma * float(np.mean(differences**2))))
    # Computed values that happen to lie on a polynomial show no noise: it is never less than this.
    floor = eps * float(np.abs(v) @ np.abs(zero)) / 2
    return max(*levels, floor)
