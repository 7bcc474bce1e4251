"""The checker itself: hygiene, witnesses, verdict, localisation, naming, report."""

import time

import numpy as np

from autocnn.gradcheck import kinks
from autocnn.gradcheck.hygiene import inspect_backward
from autocnn.gradcheck.localise import locate
from autocnn.gradcheck.naming import explain
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause, Leaf, Report
from autocnn.gradcheck.verdict import (
    agrees_in_float32,
    by_a_hair,
    compare,
    probe,
    redraw,
    refuted,
    rounding_explains,
)
from autocnn.gradcheck.witnesses import Witness, choose

REDRAWS = 4


@np.errstate(all="ignore")  # inf and nan are looked for and reported, not warned about
def examine(problem: Problem, seed: int = 0) -> Report:
    """Check every leaf of a problem; the report is complete whatever is wrong with the backward
    pass.

    Raises CallError (a ValueError) when the function cannot be called at all, or returns nothing
    that has a gradient.
    """
    start = time.perf_counter()
    rng = np.random.default_rng(seed)
    report = Report(problem.label, {}, problem=problem)
    found = inspect_backward(problem, rng)
    report.causes += found.causes
    report.notes += found.notes + problem.remarks
    values = problem.values()
    broken = {c.leaf for c in found.causes}
    usable = [n for n in problem.leaves if n not in found.unusable]
    probes = probe(problem, values, rng) if usable else []
    witnesses: dict[str, Witness] = {}
    numerically: list[str] = []
    for name in problem.leaves:
        leaf = report.leaves[name] = Leaf(
            name, values[name].shape, str(np.asarray(problem.arguments[name]).dtype)
        )
        if name not in usable:
            leaf.verdict = "wrong" if name in broken else "unresolved"
            continue
        witnesses[name] = _decide(
            problem, values, leaf, choose(problem, values, name, rng), probes, rng, report
        )
        if leaf.verdict == "wrong":
            numerically.append(name)
        if name in broken:
            leaf.verdict = "wrong"
    if None in broken and usable:
        report.notes.append("the verdicts of the leaves stand for a single call on fresh arrays")
    numerically += [
        n for n in problem.leaves if n in found.unusable and report.leaves[n].verdict == "wrong"
    ]
    numerically += [n for n in found.nonlinear if n not in numerically]
    wrong = [n for n in problem.leaves if n in numerically]
    if wrong:
        _say_why(problem, values, witnesses, wrong, found.nonlinear, report, seed)
    report.seconds = time.perf_counter() - start
    return report


def _decide(
    problem: Problem, values: dict, leaf: Leaf, witness: Witness, probes, rng, report: Report
) -> Witness:
    """The verdict on one leaf, at the given point or, where rounding or a kink hides the answer, at
    another.

    Returns the witness that decided.
    """
    name = leaf.name
    result = compare(problem, values, name, witness, probes, rng)
    if (
        result.verdict == "wrong"
        and witness.method == "complex step"
        and result.error < 1e-4 * result.scale
    ):
        # So near a miss may be a small part of the imaginary part, lost in a var or an abs: ask a
        # witness without one.
        real = Witness(
            "real differences",
            False,
            "forward is not complex-safe (it loses a small part): real differences used",
        )
        if refuted(problem, values, name, witness, real, probes, rng):
            witness, result = real, compare(problem, values, name, real, probes, rng)
    if witness.note and witness.method == "real differences":
        leaf.notes.append(witness.note)
    leaf.verdict, leaf.error, leaf.tolerance = result.verdict, result.error, result.tolerance
    leaf.witnesses[witness.method] = result.digits
    if result.tied:
        _decide_tie(problem, values, leaf, witness, rng, report)
    elif leaf.verdict == "agree":
        if result.vanishes:
            leaf.notes.append(
                "the gradient vanishes at this point whatever the cotangent: the check can hardly fail"
            )
    else:
        if leaf.verdict == "wrong" and rounding_explains(
            problem, values, name, witness, result, rng
        ):
            leaf.verdict = "unresolved"
        elif leaf.verdict == "wrong" and by_a_hair(problem, values, name, witness, result, rng):
            leaf.verdict = "agree"
            leaf.notes.append(
                "just above what rounding allows at the given values, below it at two other points"
            )
        if leaf.verdict == "unresolved":
            _decide_elsewhere(problem, values, leaf, witness, rng)
    if leaf.verdict == "agree" and leaf.dtype == "float32":
        agrees, error, tolerance = agrees_in_float32(problem, name, witness, rng)
        if not agrees:
            leaf.verdict, leaf.error, leaf.tolerance = "wrong", error, tolerance
            code, what = (
                ("nonfinite", "inf or nan")
                if not np.isfinite(error)
                else ("unclassified", f"{error:.2g} off, {tolerance:.2g} allowed")
            )
            report.causes.append(
                Cause(
                    code,
                    name,
                    f"right in float64, but {what} in float32: precision is lost or a value overflows",
                )
            )
    return witness


def _decide_tie(problem, values, leaf: Leaf, witness, rng, report: Report) -> None:
    finding = kinks.examine(problem, values, leaf.name, witness, rng)
    if finding.elsewhere and finding.valid:
        leaf.verdict = "agree"
        leaf.notes.append(finding.message)
    else:
        leaf.verdict = "wrong"
        if finding.elsewhere:
            report.causes.append(Cause("tie", leaf.name, finding.message))


def _decide_elsewhere(problem, values, leaf: Leaf, witness, rng) -> None:
    """Too much rounding here: draw other points until one of them decides."""
    for attempt in range(REDRAWS):
        point = redraw(values, rng, attempt)
        try:
            chosen = choose(problem, point, leaf.name, rng)
            result = compare(problem, point, leaf.name, chosen, probe(problem, point, rng), rng)
        except (CallError, FloatingPointError):  # outside the function's domain
            continue
        if result.verdict == "agree" and not result.vanishes:
            leaf.verdict, leaf.error, leaf.tolerance = "agree", result.error, result.tolerance
            leaf.witnesses[chosen.method] = result.digits
            leaf.notes.append(
                "at the given values rounding hides the derivative: compared at others"
            )
            return
        if (
            result.verdict == "wrong"
            and not result.tied
            and not rounding_explains(problem, point, leaf.name, chosen, result, rng)
        ):
            leaf.verdict, leaf.error, leaf.tolerance = "wrong", result.error, result.tolerance
            leaf.notes.append("at the given values rounding hides the derivative: wrong at others")
            return
    leaf.notes.append(
        "unresolved: rounding is as large as the derivative, here and at other points"
    )


def _say_why(problem, values, witnesses, wrong, nonlinear, report: Report, seed: int) -> None:
    """Worst entries, causes, and a smaller case that still fails."""
    explained = {c.leaf for c in report.causes if "float32" in c.message}
    explained |= {
        c.leaf
        for c in report.causes
        if c.code in ("tie", "missing", "nonfinite", "nondeterministic", "accumulates")
    }
    counts = dict.fromkeys(wrong, 0)
    for name in wrong:
        witness = witnesses.get(name)
        if witness is not None:
            located = locate(problem, values, name, witness)
            report.leaves[name].worst = located.worst
            counts[name] = located.wrong
            if located.yours is not None:
                report.arrays[name] = (located.yours, located.gradient)
    causes, ruled_out, shapes = explain(
        problem,
        values,
        witnesses,
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
