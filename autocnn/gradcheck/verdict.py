"""The decision, leaf by leaf: agree, wrong, or unresolved, with a tolerance taken from rounding and
nothing else.

Three random Gaussian directions u for each leaf on its own, each with its own cotangent v. With S =
sum |g_i u_i| + sum |v_j (J u)_j| a right gradient is off by some eps S; a wrong entry i is off by
|g_i - r_i| |u_i|. No absolute constant, no relative one: the rule holds for a leaf of one entry and
of a million, at every scale.
"""

import contextlib
import math
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import LeafAt, Point, Witness, rms
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.witnesses import slope

__all__ = [
    "Comparison",
    "Probe",
    "agrees_as_given",
    "compare",
    "probe",
    "refuted",
    "rounding_explains",
    "sensitivity",
    "within_rounding",
]

DIRECTIONS = 3
MARGIN = 64  # tolerated error in units of eps S; a right gradient needs some sqrt(depth) of them


class Probe(NamedTuple):
    """One cotangent and the gradients that backward gives for it."""

    v: np.ndarray
    grads: dict[str, np.ndarray]
    y: np.ndarray


class Comparison(NamedTuple):
    """The worst of the directions: |yours - witness|, what rounding allows, S, and what was seen
    on the way.
    """

    verdict: str
    error: float
    tolerance: float
    scale: float
    tied: bool
    vanishes: bool
    flat: bool  # the function does not move with the leaf, and your gradient says that it does

    @property
    def digits(self) -> float:
        """Digits of agreement, relative to S."""
        return min(16.0, -math.log10(max(self.error / self.scale, 1e-16))) if self.scale else 16.0


def probe(point: Point, rng: np.random.Generator, count: int = DIRECTIONS) -> list[Probe]:
    """`count` random cotangents with your gradients for them (each from a forward of its own where
    backward can be called once only)."""
    probes: list[Probe] = []
    out = point.run()
    for turn in range(count):
        out = out if point.problem.repeatable or not turn else point.run()
        v = rng.standard_normal(out.flat.size)
        grads = out.backward(v)
        yours = {
            n: np.array(grads[n], dtype=np.float64)
            for n in point.values
            if grads.get(n) is not None
        }
        probes.append(Probe(v, yours, out.flat))
    return probes


def compare(leaf: LeafAt, probes: list[Probe], rng: np.random.Generator) -> Comparison:
    """Your gradient of one leaf against its witness, at one point."""
    eps = leaf.eps
    sure = 1e-4 if eps < 1e-12 else 3e-2  # share of S to which the witness must be known
    worst, tied, vanishes, flat = None, False, True, True
    name = leaf.name
    for p in probes:
        u = rng.standard_normal(leaf.x.shape)
        seen = slope(leaf, u, p.v)
        g = p.grads[name]
        mine, scale = float(np.vdot(g, u)), float(np.sum(np.abs(g * u))) + seen.spread
        tolerance = MARGIN * eps * scale + 4 * seen.error
        error = min(abs(mine - seen.value), abs(mine - seen.left))
        tied |= abs(seen.value - seen.left) > MARGIN * eps * seen.spread + 8 * seen.error
        large = float(np.abs(p.v) @ np.abs(p.y)) * rms(u) / rms(leaf.x)
        vanishes &= abs(seen.value) <= 1e-9 * large and abs(mine) <= 1e-9 * large and scale > 0
        flat &= seen.spread <= 1e-9 * large and abs(mine) > 1e-6 * large
        wide = MARGIN * eps * large
        if error <= tolerance and 4 * seen.error <= (sure + MARGIN * eps) * scale:
            verdict = "agree"
        elif error <= max(wide, tolerance) or 4 * seen.error > sure * scale:
            verdict = "unresolved"
        else:
            verdict = "wrong"
        rank = ("agree", "unresolved", "wrong").index(verdict)
        this = (
            rank,
            error / tolerance if tolerance else float(error > 0) * math.inf,
            error,
            tolerance,
            scale,
            verdict,
        )
        worst = this if worst is None or this[:2] > worst[:2] else worst
    _, _, error, tolerance, scale, verdict = worst
    return Comparison(verdict, error, tolerance, scale, tied, vanishes, flat)


def sensitivity(
    leaf: LeafAt, rng: np.random.Generator, eps: float, tries: int = 3, along=None
) -> float:
    """How far rounding the inputs and dy moves g . u or the witness, in parts of S: the accuracy
    that the point allows.

    `along` is (u, v); by default they are drawn.
    """
    out = leaf.point.run()
    u, v = along or (rng.standard_normal(leaf.x.shape), rng.standard_normal(out.flat.size))
    g = np.array(out.backward(v)[leaf.name], dtype=np.float64)
    seen = slope(leaf, u, v)
    scale = float(np.sum(np.abs(g * u))) + seen.spread
    most = 0.0
    for _ in range(tries):
        near = leaf.at(
            leaf.point.replace(
                **{
                    n: x * (1 + eps * rng.choice([-1.0, 1.0], x.shape))
                    for n, x in leaf.values.items()
                }
            )
        )
        other = near.yours(v * (1 + eps * rng.choice([-1.0, 1.0], v.shape)))
        moved = abs(float(np.vdot(other - g, u)))
        most = max(most, moved, abs(slope(near, u, v).value - seen.value))
    return most / scale if scale else 0.0


def rounding_explains(leaf: LeafAt, result: Comparison, rng: np.random.Generator) -> bool:
    """Is the error no larger than what rounding does where derivatives are small for the wrong
    reasons?

    Saturated units leave differences of large numbers that cancel, which S does not know of: the
    derivative's size with this leaf scaled down (1/4 to 1/256) does. A mean far above its spread
    loses digits too: rounding the inputs shows it.
    """
    eps, elsewhere = leaf.eps, 0.0
    size = leaf.point.run().flat.size
    for shrink in (0.25, 2.0**-4, 2.0**-8):
        u, v = rng.standard_normal(leaf.x.shape), rng.standard_normal(size)
        with contextlib.suppress(CallError):
            smaller = leaf.at(leaf.point.replace(**{leaf.name: shrink * leaf.x}))
            elsewhere = max(elsewhere, slope(smaller, u, v).spread)
    if (
        np.isfinite(elsewhere)
        and result.error <= MARGIN * eps * elsewhere
        and result.scale < 1e-2 * elsewhere
    ):
        return True
    near = result.error < (1e-5 if eps < 1e-12 else 3e-2) * result.scale
    return near and result.error <= MARGIN * result.scale * sensitivity(leaf, rng, eps)


def within_rounding(leaf: LeafAt, result: Comparison, rng: np.random.Generator) -> bool:
    """Is the error just above what rounding allows here, and below it along all directions at two
    other points?

    1 - s with s close to 1 loses digits inside the function, which neither S nor rounded inputs
    show. A mistake of that size would stand out along some of the six directions.
    """
    if result.error > 4 * result.tolerance:
        return False
    try:
        for attempt in (0, 1):
            point = leaf.point.redraw(rng, attempt)
            if compare(leaf.at(point), probe(point, rng), rng).verdict != "agree":
                return False
    except CallError:  # outside the function's domain: the given point decides
        return False
    return True


def refuted(leaf: LeafAt, other: Witness, probes: list[Probe], rng: np.random.Generator) -> bool:
    """Does another witness side with you against the first along some direction, and against you
    along none?
    """
    sides = 0
    for p in [*probes, *probes]:
        u = rng.standard_normal(leaf.x.shape)
        a, b = slope(leaf, u, p.v), slope(leaf.by(other), u, p.v)
        mine = float(np.vdot(p.grads[leaf.name], u))
        blur = 4 * b.error + MARGIN * leaf.eps * b.spread
        if abs(mine - b.value) > blur:
            return False
        sides += abs(mine - a.value) > 2 * blur
    return sides > 0


def agrees_as_given(leaf: LeafAt, rng: np.random.Generator) -> tuple[bool, float, float]:
    """The same rule with the eps of the leaf's dtype (float32, float16): your gradient in it
    against your float64 one, which a witness has confirmed.

    -> (agrees, error, tolerance). Where rounding the inputs moves a unit over a kink,
    that much is allowed.
    """
    dtype = np.asarray(leaf.problem.arguments[leaf.name]).dtype
    eps = float(np.finfo(dtype).eps)
    given = leaf.at(Point(leaf.problem, leaf.problem.values(None)))
    size = leaf.point.run().flat.size
    worst = (True, 0.0, 0.0)
    for _ in range(DIRECTIONS):
        v = rng.standard_normal(size).astype(dtype).astype(np.float64)
        u = rng.standard_normal(leaf.x.shape)
        out = leaf.point.run()
        g, g32 = np.array(out.backward(v)[leaf.name], dtype=np.float64), given.yours(v)
        held = (
            np.abs(g) < np.finfo(dtype).max / 2
        )  # larger ones overflow, however they are computed
        if not np.all(np.isfinite(g32[held])):
            return False, math.inf, 0.0
        g, g32 = np.where(held, g, 0.0), np.where(held, g32, 0.0)
        scale = float(np.sum(np.abs(g * u)))
        large = float(np.abs(v) @ np.abs(out.flat)) * rms(u) / rms(leaf.x)
        error, tolerance = abs(float(np.vdot(g32 - g, u))), MARGIN * eps * max(2 * scale, large)
        if error > tolerance:
            moved = sensitivity(leaf, rng, eps, 16, (u, v))
            tolerance += 8 * moved * (scale + slope(leaf, u, v).spread)
        if (worst[0] and error >= worst[1]) or error > tolerance:
            worst = (error <= tolerance, error, tolerance)
    return worst
