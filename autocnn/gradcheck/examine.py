"""The checker itself: hygiene, witnesses, verdict, localisation, naming, report."""

import time

import numpy as np

from autocnn.gradcheck import kinks, random_streams
from autocnn.gradcheck.hygiene import inspect_backward
from autocnn.gradcheck.localise import locate
from autocnn.gradcheck.naming import explain
from autocnn.gradcheck.point import LeafAt, Point, Witness
from autocnn.gradcheck.problem import CallError, Problem, observe
from autocnn.gradcheck.report import Cause, Leaf, Report
from autocnn.gradcheck.verdict import (
    Probe,
    agrees_in_float32,
    compare,
    probe,
    refuted,
    rounding_explains,
    within_rounding,
)
from autocnn.gradcheck.witnesses import choose

__all__ = ["examine"]

REDRAWS = 4
#: Hygiene that says all there is to say of a leaf: no rule is asked for its cause.
_SELF_EXPLAINING = {"missing", "nonfinite", "nondeterministic", "accumulates"}


@np.errstate(all="ignore")  # inf and nan are looked for and reported, not warned about
def examine(problem: Problem, seed: int = 0) -> Report:
    """Check every leaf of a problem; the report is complete whatever is wrong with the backward
    pass.

    Raises CallError (a ValueError) when the function cannot be called at all, or returns nothing
    that has a gradient.
    """
    with random_streams.keep():
        return _examine(problem, seed)


def _examine(problem: Problem, seed: int) -> Report:
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    problem, first = observe(problem)
    report = Report(problem.label, {}, problem=problem)
    found = inspect_backward(problem, first, rng)
    report.causes += found.causes
    report.notes += [*found.notes, *problem.remarks]
    point = Point(problem, problem.values())
    broken = {c.leaf for c in found.causes}
    usable = [n for n in problem.leaves if n not in found.unusable]
    probes = probe(point, rng) if usable else []
    decided: dict[str, LeafAt] = {}
    explained: set[str] = set()
    wrong: set[str] = {n for n in found.unusable if n in broken} | found.nonlinear
    for name in problem.leaves:
        leaf = report.leaves[name] = Leaf(
            name, point.values[name].shape, str(np.asarray(problem.arguments[name]).dtype)
        )
        if name not in usable:
            leaf.verdict = "wrong" if name in broken else "unresolved"
            continue
        decided[name], cause = _decide(choose(point, name, rng), leaf, probes, rng)
        if cause:
            report.causes.append(cause)
            explained.add(name)
        if leaf.verdict == "wrong":
            wrong.add(name)
        if name in broken:
            leaf.verdict = "wrong"
    if None in broken and usable:
        report.notes.append("the verdicts of the leaves stand for a single call on fresh arrays")
    if wrong:
        ordered = [n for n in problem.leaves if n in wrong]
        _say_why(point, decided, ordered, explained, found.nonlinear, report, seed)
    report.seconds = time.perf_counter() - start
    return report


def _decide(
    at: LeafAt, leaf: Leaf, probes: list[Probe], rng: np.random.Generator
) -> tuple[LeafAt, Cause | None]:
    """The verdict on one leaf, at the given point or, where rounding or a kink hides the answer, at
    another.

    Returns the leaf with the witness that decided, and a cause where the verdict has one.
    """
    result = compare(at, probes, rng)
    if result.verdict == "wrong" and at.witness.exact and result.error < 1e-4 * result.scale:
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
    if at.witness.note and not at.witness.exact:
        leaf.notes.append(at.witness.note)
    leaf.verdict, leaf.error, leaf.tolerance = result.verdict, result.error, result.tolerance
    leaf.witnesses[at.witness.method] = result.digits
    if result.tied:
        cause = _decide_tie(at, leaf, rng)
        if cause:
            return at, cause
    elif leaf.verdict == "agree":
        if result.vanishes:
            leaf.notes.append(
                "the gradient vanishes at this point whatever the cotangent: the check can hardly fail"
            )
    else:
        if leaf.verdict == "wrong" and rounding_explains(at, result, rng):
            leaf.verdict = "unresolved"
        elif leaf.verdict == "wrong" and within_rounding(at, result, rng):
            leaf.verdict = "agree"
            leaf.notes.append(
                "just above what rounding allows at the given values, below it at two other points"
            )
        if leaf.verdict == "unresolved":
            _decide_elsewhere(at, leaf, rng)
    if leaf.verdict == "agree" and leaf.dtype == "float32":
        return at, _decide_in_float32(at, leaf, rng)
    return at, None


def _decide_in_float32(at: LeafAt, leaf: Leaf, rng: np.random.Generator) -> Cause | None:
    agrees, error, tolerance = agrees_in_float32(at, rng)
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
        f"right in float64, but {what} in float32: precision is lost or a value overflows",
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
    for attempt in range(REDRAWS):
        point = at.point.redraw(rng, attempt)
        try:
            there = choose(point, leaf.name, rng)
            result = compare(there, probe(point, rng), rng)
        except (CallError, FloatingPointError):  # outside the function's domain
            continue
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
        "unresolved: rounding is as large as the derivative, here and at other points"
    )


def _say_why(
    point: Point,
    decided: dict[str, LeafAt],
    wrong: list[str],
    explained: set[str],
    nonlinear: set[str],
    report: Report,
    seed: int,
) -> None:
    """Worst entries, causes, and a smaller case that still fails."""
    explained = explained | {c.leaf for c in report.causes if c.code in _SELF_EXPLAINING}
    counts = dict.fromkeys(wrong, 0)
    for name in wrong:
        if name in decided:
            located = locate(decided[name])
            report.leaves[name].worst = located.worst
            counts[name] = located.wrong
            if located.yours is not None:
                report.arrays[name] = (located.yours, located.gradient)
    causes, ruled_out, shapes = explain(
        point,
        decided,
        {n: counts[n] for n in wrong if n not in explained},
        nonlinear,
        report.causes,
        seed,
    )
    hygiene = [c for c in report.causes if c.code != "not-linear"]
    late = [c for c in report.causes if c.code == "not-linear"]
    report.causes = (
        hygiene
        + [
            c
            for c in causes
            if c.code != "unclassified" or not any(h.leaf == c.leaf for h in hygiene + late)
        ]
        + late
    )
    report.ruled_out = ruled_out
    report.reproduce = {"seed": seed, "shapes": shapes}
