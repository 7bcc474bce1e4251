"""The checker itself: hygiene, witnesses, verdict, localisation, naming, report."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck import precision, random_streams
from autocnn.gradcheck.hints import blind_spots
from autocnn.gradcheck.hygiene import inspect_backward
from autocnn.gradcheck.large.examine import examine_large
from autocnn.gradcheck.large.size import is_large
from autocnn.gradcheck.leaf_verdicts import check_all_layouts, decide_all, decide_off_defaults
from autocnn.gradcheck.named_edits import name_by_edit
from autocnn.gradcheck.outputs import VaryingShape
from autocnn.gradcheck.point import Point
from autocnn.gradcheck.problem import CallError, Problem, observe, run
from autocnn.gradcheck.progress import Progress
from autocnn.gradcheck.report import Cause, Report
from autocnn.gradcheck.source.attach import attach
from autocnn.gradcheck.state import Memory
from autocnn.gradcheck.unread import record
from autocnn.gradcheck.why import look_for_exchanged, say_why

__all__ = ["examine"]


@np.errstate(all="ignore")  # inf and nan are looked for and reported, not warned about
def examine(
    problem: Problem,
    seed: int = 0,
    surrogate: bool = False,
    quick: bool = False,
    name_causes: bool | Callable[[], bool] = True,
) -> Report:
    """Check every leaf of a problem; the report is complete whatever is wrong with the backward
    pass.

    `surrogate` says that gradients of flat functions are not meant to be their derivatives;
    `quick` leaves out the search for the wrong statement; `name_causes=False` leaves wrong
    gradients without a cause and a statement, which is quicker still; a function is asked once a
    gradient is wrong. Raises
    CallError (a ValueError) when the function cannot be called at all, or returns nothing that has
    a gradient.
    """
    start = time.perf_counter()
    memory = Memory(problem.functions)
    with random_streams.keep():
        try:
            if is_large(problem):
                report = examine_large(
                    problem, memory, seed, lambda p: examine(p, seed, surrogate, quick, name_causes)
                )
                _tidy(report)
            else:
                problem = _away_from_underflow(problem)
                report = _examine_steadily(problem, memory, seed, surrogate, quick, name_causes)
        finally:
            if memory.changed():
                memory.restore()
            for restore in problem.restore:  # generators are left as they were found
                restore()
    report.seconds = time.perf_counter() - start
    record(report)
    return report


def _away_from_underflow(problem: Problem) -> Problem:
    """The problem with leaves that are so small that their squares underflow brought to unit size:
    no difference can be taken where they are."""
    moved = {}
    for name in problem.leaves:
        x = np.asarray(problem.arguments[name])
        top = np.max(np.abs(x))
        if 0 < top < np.sqrt(np.finfo(x.dtype).tiny):
            scaled = x.astype(np.float64) / np.float64(top)
            moved[name] = scaled.astype(x.dtype) if x.ndim else x.dtype.type(scaled)
    if not moved:
        return problem
    there = problem.at(**moved)
    try:
        if not np.all(np.isfinite(run(there, there.values(None)).flat)):
            return problem
    except CallError:  # outside the function's domain
        return problem
    names = ", ".join(moved)
    note = f"{names}: squares of the given values underflow, compared at values of unit size"
    return replace(there, remarks=(*problem.remarks, ("note", note)))


def _examine_steadily(problem: Problem, memory: Memory, *options: Any) -> Report:
    """`_examine`, again without the gradients whose shapes turn out to vary between calls."""
    varying: dict[str, str] = {}
    while True:
        try:
            report = _examine(
                replace(problem, varying=frozenset(varying)), memory, *options, varying
            )
        except VaryingShape as error:
            varying[error.leaf] = str(error)
            memory.restore()
            continue
        return report


def _examine(
    problem: Problem,
    memory: Memory,
    seed: int,
    surrogate: bool,
    quick: bool,
    name_causes: bool | Callable[[], bool],
    varying: dict[str, str],
) -> Report:
    rng = np.random.default_rng(seed)
    problem, first = observe(problem)
    found = inspect_backward(problem, first, memory, rng)
    problem = found.problem
    if varying:
        found.causes.extend(Cause("shape", n, message) for n, message in varying.items())
        found.unusable.update(varying)
        found.absent.difference_update(varying)
    report = Report(problem.label, {}, problem=problem)
    report.causes += found.causes
    report.notes += found.notes
    report.parameters = len(problem.parameters & set(problem.leaves))
    _take_remarks(problem, report)
    progress = Progress(report, rng, surrogate)
    progress.wrong |= {c.leaf for c in found.causes if c.leaf in found.unusable} | found.nonlinear
    point = Point(problem, problem.values())
    before = list(report.causes), set(progress.wrong)
    decide_all(point, found, progress)
    if _single_inside(problem, progress):
        problem = report.problem = replace(problem, eps=precision.SINGLE)
        found = found._replace(problem=problem)
        point = Point(problem, problem.values())
        report.leaves, report.causes = {}, before[0]
        progress = Progress(report, rng, surrogate, wrong=before[1])
        decide_all(point, found, progress)
    if not progress.wrong:
        decide_off_defaults(point, found, progress)
        check_all_layouts(point, progress)
    if name_causes:
        look_for_exchanged(point, progress)
    hint = blind_spots(problem) if report.ok and name_causes else None
    report.notes += [hint] if hint else []
    if progress.wrong and (name_causes() if callable(name_causes) else name_causes):
        say_why(point, progress, found.nonlinear, seed)
        if not quick:
            name_by_edit(report, attach(report, problem, seed))
    _tidy(report)
    return report


def _single_inside(problem: Problem, progress: Progress) -> bool:
    """Is a leaf wrong by a few digits alone, and does forward round as in single precision although
    its output is float64 (float32 arrays times a float64 number)?"""
    leaves = [progress.report.leaves[n] for n in progress.decided]
    near = [x for x in leaves if x.verdict == "wrong" and (x.digits or 0.0) > 2.5]
    if not near or precision.is_coarse(problem.eps):
        return False
    return precision.measured_noise(problem) > 1e-10


def _take_remarks(problem: Problem, report: Report) -> None:
    for level, message, *cause in problem.remarks:
        if level == "note":
            report.notes.append(message)
        else:
            code, leaf = cause or ("uncompared", None)
            report.causes.append(Cause(code, leaf, message, level=level))
    report.uncompared = list(problem.uncompared)


def _tidy(report: Report) -> None:
    """Errors first, those with a name before those without; every note once; what was not compared
    in one note."""
    ranks = {"error": 0, "warning": 1, "note": 2}
    report.causes = list(dict.fromkeys(report.causes))
    report.causes.sort(
        key=lambda c: (ranks[c.level], c.code == "unclassified", c.code == "aliased")
    )
    if report.uncompared:
        names = list(dict.fromkeys(report.uncompared))
        report.uncompared = names
        more = f" and {len(names) - 12} more" if len(names) > 12 else ""
        report.notes.append(f"not compared: {', '.join(names[:12])}{more}")
    report.notes = list(dict.fromkeys(report.notes))
    for leaf in report.leaves.values():
        leaf.notes = list(dict.fromkeys(leaf.notes))
