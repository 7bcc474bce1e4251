"""The verdict on one leaf: at the given point or, where rounding, a kink or a flat function hides
the answer, at others."""

import contextlib

import numpy as np

from autocnn.gradcheck import kinks
from autocnn.gradcheck.point import LeafAt, Point, Witness
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause, Leaf
from autocnn.gradcheck.verdict import (
    Comparison,
    Probe,
    agrees_as_given,
    compare,
    probe,
    refuted,
    rounding_explains,
    within_rounding,
)
from autocnn.gradcheck.witnesses import choose, slope

__all__ = ["decide", "decide_absent", "moved_off_defaults"]

REDRAWS = 4
NARROW = ("float32", "float16")  # dtypes in which a leaf is compared as it was given, too


def decide(
    at: LeafAt, leaf: Leaf, probes: list[Probe], rng: np.random.Generator, surrogate: bool
) -> tuple[LeafAt, Cause | None]:
    """Fill in the verdict of one leaf.

    Returns the leaf with the witness that decided, and a cause where the verdict has one of its
    own.
    """
    result = compare(at, probes, rng)
    near = 1e-4 if at.eps < 1e-12 else 0.1
    if result.verdict == "wrong" and at.witness.exact and result.error < near * result.scale:
        # So near a miss may be a small part of the imaginary part, lost in a var or an abs: ask a
        # witness without one.
        real = Witness(
            "real differences",
            False,
            "forward is not complex-safe (it loses a small part): real differences used",
        )
        if refuted(at, real, probes, rng):
            at = at.by(real)
            result = compare(at, probes, rng)
    if result.verdict == "wrong" and at.witness.exact and not result.tied:
        # An argmax of real parts picks the same entry on both sides of an imaginary step, and
        # another one a few roundings away. A kink that is only near by is none of this point.
        with contextlib.suppress(CallError):  # outside the function's domain
            result = result._replace(tied=kinks.within_rounding(at, rng))
    if at.witness.note and not at.witness.exact:
        leaf.notes.append(at.witness.note)
    leaf.verdict, leaf.error, leaf.tolerance = result.verdict, result.error, result.tolerance
    leaf.witnesses[at.witness.method] = result.digits
    if result.verdict != "agree" and result.flat:
        cause = _decide_flat(at, leaf, rng, surrogate)
        if cause is not None or leaf.verdict == "unresolved":
            return at, cause
    if result.tied:
        cause = _decide_tie(at, leaf, rng)
        if cause is not None:
            return at, cause
    else:
        _decide_rounding(at, leaf, result, rng)
    if leaf.verdict == "wrong" and surrogate:
        leaf.verdict = "unresolved"
        leaf.notes.append("differs from the derivative; not judged, since surrogate=True")
    if leaf.verdict == "agree" and leaf.dtype in NARROW and not at.problem.given:
        return at, _decide_as_given(at, leaf, rng)
    if leaf.dtype == "float16" and at.problem.given:
        leaf.notes.append("compared in float16 alone, which is the dtype that the function takes")
    return at, None


def _decide_rounding(at: LeafAt, leaf: Leaf, result: Comparison, rng: np.random.Generator) -> None:
    if leaf.verdict == "agree":
        if result.vanishes:
            leaf.notes.append(
                "the gradient vanishes at this point whatever the cotangent: the check can "
                "hardly fail"
            )
        return
    if leaf.verdict == "wrong" and rounding_explains(at, result, rng):
        leaf.verdict = "unresolved"
    elif leaf.verdict == "wrong" and within_rounding(at, result, rng):
        leaf.verdict = "agree"
        leaf.notes.append(
            "just above what rounding allows at the given values, below it at two other points"
        )
    if leaf.verdict == "unresolved":
        _decide_elsewhere(at, leaf, rng)


def _decide_as_given(at: LeafAt, leaf: Leaf, rng: np.random.Generator) -> Cause | None:
    agrees, error, tolerance = agrees_as_given(at, rng)
    if leaf.dtype == "float16":
        leaf.notes.append(
            "given in float16: compared in float64, and in float16 to about 0.1 of the gradient; "
            "check_kernel(f, reference, ...) compares to float16's own rounding"
        )
    if agrees:
        return None
    leaf.verdict, leaf.error, leaf.tolerance = "wrong", error, tolerance
    code, what = (
        ("nonfinite", "inf or nan")
        if not np.isfinite(error)
        else ("unclassified", f"{error:.2g} off, {tolerance:.2g} allowed")
    )
    return Cause(
        code,
        leaf.name,
        f"right in float64, but {what} in {leaf.dtype}: precision is lost or a value overflows",
    )


def _decide_tie(at: LeafAt, leaf: Leaf, rng: np.random.Generator) -> Cause | None:
    finding = kinks.examine(at, rng)
    if finding.elsewhere and finding.valid:
        leaf.verdict = "agree"
        leaf.notes.append(finding.message)
        return None
    leaf.verdict = "wrong"
    return Cause("tie", leaf.name, finding.message) if finding.elsewhere else None


def _decide_elsewhere(at: LeafAt, leaf: Leaf, rng: np.random.Generator) -> None:
    """Too much rounding here: draw other points until one of them decides."""
    vanishes = True
    for attempt in range(REDRAWS):
        point = at.point.redraw(rng, attempt)
        try:
            there = choose(point, leaf.name, rng)
            result = compare(there, probe(point, rng), rng)
        except (CallError, FloatingPointError):  # outside the function's domain
            continue
        vanishes &= result.vanishes
        if result.verdict == "agree" and not result.vanishes:
            leaf.verdict, leaf.error, leaf.tolerance = "agree", result.error, result.tolerance
            leaf.witnesses[there.witness.method] = result.digits
            leaf.notes.append(
                "at the given values rounding hides the derivative: compared at others"
            )
            return
        if (
            result.verdict == "wrong"
            and not result.tied
            and not rounding_explains(there, result, rng)
        ):
            leaf.verdict, leaf.error, leaf.tolerance = "wrong", result.error, result.tolerance
            leaf.notes.append("at the given values rounding hides the derivative: wrong at others")
            return
    leaf.notes.append(
        "unresolved: the gradient is zero but for rounding, here and at other points (a bias "
        "before a normalisation, a shift before a softmax)"
        if vanishes
        else "unresolved: rounding is as large as the derivative, here and at other points"
    )


def is_flat(at: LeafAt, rng: np.random.Generator) -> bool:
    """Is the derivative zero along random directions, here and at other points?"""
    points = [at.point, *(at.point.redraw(rng, k) for k in (0, 1))]
    seen = 0
    for point in points:
        there = at.at(point)
        try:
            y = point.run().flat
            for _ in range(2):
                u, v = rng.standard_normal(at.x.shape), rng.standard_normal(y.size)
                s = slope(there, u, v)
                large = float(np.abs(v) @ np.abs(y)) + 1e-300
                if s.spread > 1e-9 * large and abs(s.value) > 4 * s.error:
                    return False
        except CallError:
            continue
        seen += 1
    return seen > 0


def _moves(at: LeafAt, rng: np.random.Generator) -> bool:
    """Does the output change when the leaf is changed by much?"""
    y = at.point.run().flat
    for factor in (0.5, 2.0, 30.0, -1.0):
        for x in (factor * at.x, at.x + factor * rng.standard_normal(at.x.shape)):
            try:
                if not np.array_equal(at.point.replace(**{at.name: x}).run().flat, y):
                    return True
            except CallError:
                continue
    return False


def _decide_flat(at: LeafAt, leaf: Leaf, rng: np.random.Generator, surrogate: bool) -> Cause | None:
    """The derivative is zero and yours is not: a leaf that is not used, or a surrogate gradient."""
    if not is_flat(at, rng):
        return None
    if not _moves(at, rng):
        return Cause(
            "unused",
            leaf.name,
            f"the output does not depend on {leaf.name}: forward never uses it (another argument "
            "in its place?), and yours is not zero",
        )
    leaf.verdict = "unresolved"
    if surrogate:
        leaf.notes.append("a surrogate gradient of a flat function: not compared")
        return None
    return Cause(
        "surrogate",
        leaf.name,
        "the function is flat here and yours is not, so it could not be compared: a surrogate or "
        "straight-through gradient? then pass surrogate=True",
        level="warning",
    )


def decide_absent(
    at: LeafAt, leaf: Leaf, others: list[str], rng: np.random.Generator
) -> Cause | None:
    """No gradient came for this leaf: right where the derivative is zero everywhere."""
    if is_flat(at, rng):
        leaf.notes.append("no gradient came; right, since the derivative is zero everywhere")
        leaf.witnesses[at.witness.method] = 16.0
        return None
    leaf.verdict = "wrong"
    came = f"backward gave one for {', '.join(others)}" if others else "backward gave none at all"
    return Cause(
        "missing",
        leaf.name,
        f"no gradient for {leaf.name}: {came}; expected an array of shape {leaf.shape}. "
        f"Data that is not differentiated is left out by wrt=",
    )


def moved_off_defaults(point: Point, rng: np.random.Generator) -> tuple[Point, list[str]] | None:
    """(the point with constant leaves moved off their constants, their names), or None where no
    leaf is constant."""
    constant = [
        n for n, x in point.values.items() if x.size > 1 and np.ptp(x) == 0 and np.isfinite(x).all()
    ]
    if not constant:
        return None
    moved = {}
    for name in constant:
        x = point.values[name]
        moved[name] = (
            x * (1 + rng.uniform(-0.4, 0.4, x.shape))
            if np.any(x)
            else 0.3 * rng.standard_normal(x.shape)
        )
    return Point(point.problem.at(**moved), {**point.values, **moved}), constant
