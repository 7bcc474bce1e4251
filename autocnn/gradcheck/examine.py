"""The checker itself: hygiene, witnesses, verdict, localisation, naming, report."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from autocnn.gradcheck import precision, random_streams
from autocnn.gradcheck.decide import decide, decide_absent, moved_off_defaults
from autocnn.gradcheck.hints import blind_spots
from autocnn.gradcheck.hygiene import Findings, inspect_backward
from autocnn.gradcheck.large.examine import examine_large
from autocnn.gradcheck.large.size import is_large
from autocnn.gradcheck.layout_check import check_layouts
from autocnn.gradcheck.localise import locate
from autocnn.gradcheck.named_edits import name_by_edit
from autocnn.gradcheck.naming import explain
from autocnn.gradcheck.order import exchanged
from autocnn.gradcheck.outputs import VaryingShape, argument_of
from autocnn.gradcheck.point import LeafAt, Point
from autocnn.gradcheck.problem import CallError, Problem, observe, run
from autocnn.gradcheck.report import Cause, Leaf, Report
from autocnn.gradcheck.source.attach import attach
from autocnn.gradcheck.state import Memory
from autocnn.gradcheck.unread import record
from autocnn.gradcheck.verdict import probe
from autocnn.gradcheck.witnesses import choose

__all__ = ["examine"]

#: Findings that say all there is to say of a leaf: no rule is asked for its cause.
_SELF_EXPLAINING = {"missing", "nonfinite", "nondeterministic", "raises"}


@dataclass
class _Progress:
    """What has been found so far of the leaves of one problem."""

    report: Report
    rng: np.random.Generator
    surrogate: bool
    decided: dict[str, LeafAt] = field(default_factory=dict)
    explained: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)


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
    progress = _Progress(report, rng, surrogate)
    progress.wrong |= {c.leaf for c in found.causes if c.leaf in found.unusable} | found.nonlinear
    point = Point(problem, problem.values())
    before = list(report.causes), set(progress.wrong)
    _decide_all(point, found, progress)
    if _single_inside(problem, progress):
        problem = report.problem = replace(problem, eps=precision.SINGLE)
        found = found._replace(problem=problem)
        point = Point(problem, problem.values())
        report.leaves, report.causes = {}, before[0]
        progress = _Progress(report, rng, surrogate, wrong=before[1])
        _decide_all(point, found, progress)
    if not progress.wrong:
        _decide_off_defaults(point, found, progress)
        _check_layouts(point, progress)
    if name_causes:
        _look_for_exchanged(point, progress)
    hint = blind_spots(problem) if report.ok and name_causes else None
    report.notes += [hint] if hint else []
    if progress.wrong and (name_causes() if callable(name_causes) else name_causes):
        _say_why(point, progress, found.nonlinear, seed)
        if not quick:
            name_by_edit(report, attach(report, problem, seed))
    _tidy(report)
    return report


def _single_inside(problem: Problem, progress: _Progress) -> bool:
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


def _decide_all(point: Point, found: Findings, progress: _Progress) -> None:
    problem, report = point.problem, progress.report
    skipped = found.unusable | found.absent
    probes = probe(point, progress.rng) if set(problem.leaves) - skipped else []
    for name in problem.leaves:
        if name in found.absent and _is_data(problem, name, found.absent):
            report.uncompared.append(name)
            continue
        leaf = report.leaves[name] = Leaf(
            name, point.values[name].shape, str(np.asarray(problem.arguments[name]).dtype)
        )
        if name in found.unusable:
            wrong = any(c.leaf in (name, None) and c.level == "error" for c in found.causes)
            leaf.verdict = "wrong" if wrong else "unresolved"
            continue
        at = choose(point, name, progress.rng)
        if name in found.absent:
            got = [n for n in problem.leaves if n not in found.absent]
            cause = decide_absent(at, leaf, got, progress.rng)
        else:
            progress.decided[name], cause = decide(
                at, leaf, probes, progress.rng, progress.surrogate
            )
        if cause:
            report.causes.append(cause)
            progress.explained.add(name)
        if leaf.verdict == "wrong":
            progress.wrong.add(name)


def _is_data(problem: Problem, name: str, absent: set[str]) -> bool:
    """Is a leaf for which no gradient came an argument that is not differentiated?

    It is called a target or, in a loss, data, and other gradients came; or it lies in a dict of
    settings, for no entry of which a gradient came.
    """
    came = set(problem.leaves) - absent
    if not came:
        return False
    top = argument_of(name)
    if top != name:
        return not any(argument_of(n) == top for n in came) or name.rsplit(".", 1)[-1].startswith(
            ("running", "moving")
        )
    scalar = problem.output_shapes == ((),)
    return name in problem.optional or (scalar and name in problem.optional_in_loss)


def _decide_off_defaults(point: Point, found: Findings, progress: _Progress) -> None:
    """Leaves that agree are compared once more with constant ones (gamma of ones, b of zeros) moved
    off their constants, which hide a missing factor or term."""
    moved = moved_off_defaults(point, progress.rng)
    names = [n for n in progress.decided if progress.report.leaves[n].verdict == "agree"]
    if moved is None or not names:
        return
    place, constants = moved
    try:
        probes = probe(place, progress.rng)
        leaves = {n: choose(place, n, progress.rng) for n in names}
    except CallError:  # outside the function's domain
        return
    for name, at in leaves.items():
        if any(name not in p.grads or not np.all(np.isfinite(p.y)) for p in probes):
            continue
        leaf = progress.report.leaves[name]
        trial = Leaf(name, leaf.shape, "float64")
        at, cause = decide(at, trial, probes, progress.rng, progress.surrogate)
        if trial.verdict != "wrong":
            continue
        leaf.verdict, leaf.error, leaf.tolerance = "wrong", trial.error, trial.tolerance
        leaf.witnesses = trial.witnesses
        leaf.notes.append(
            f"right while {', '.join(constants)} {'is' if len(constants) == 1 else 'are'} "
            "constant, "
            "as given; wrong at other values"
        )
        progress.wrong.add(name)
        progress.decided[name] = at
        if cause:
            progress.report.causes.append(cause)
            progress.explained.add(name)


def _check_layouts(point: Point, progress: _Progress) -> None:
    """Leaves that agree must do so in other memory layouts of dy and the inputs."""
    report = progress.report
    names = [n for n in progress.decided if report.leaves[n].verdict == "agree"]
    if not names or any(c.level == "error" for c in report.causes):
        return
    for cause in check_layouts(point.problem, names, progress.rng):
        report.causes.append(cause)
        if cause.level == "error" and cause.leaf is not None:
            report.leaves[cause.leaf].verdict = "wrong"


def _look_for_exchanged(point: Point, progress: _Progress) -> None:
    """Gradients that are right for one another's leaves."""
    report = progress.report
    candidates = [n for n in progress.wrong if n in report.leaves]
    found = exchanged(point, candidates, progress.rng) if len(candidates) > 1 else None
    if found is None:
        return
    names, cause = found
    report.causes = [c for c in report.causes if c.leaf not in names or c.code != "shape"]
    report.causes.insert(0, cause)
    progress.explained |= set(names)
    for name in names:
        report.leaves[name].verdict = "wrong"


def _say_why(point: Point, progress: _Progress, nonlinear: set[str], seed: int) -> None:
    """Worst entries, causes, and a smaller case that still fails."""
    report = progress.report
    wrong = [n for n in point.problem.leaves if n in progress.wrong - point.problem.varying]
    explained = progress.explained | {c.leaf for c in report.causes if c.code in _SELF_EXPLAINING}
    counts = dict.fromkeys(wrong, 0)
    for name in wrong:
        if name in progress.decided and name not in explained:
            located = locate(progress.decided[name])
            report.leaves[name].worst = located.worst
            counts[name] = located.wrong
            if located.yours is not None:
                report.arrays[name] = (located.yours, located.gradient)
    causes, ruled_out, shapes = explain(
        point,
        progress.decided,
        {n: counts[n] for n in wrong if n not in explained},
        nonlinear,
        report.causes,
        seed,
    )
    hygiene = [c for c in report.causes if c.code != "not-linear"]
    late = [c for c in report.causes if c.code == "not-linear"]
    said = {c.leaf for c in hygiene + late if c.level == "error"}
    report.causes = (
        hygiene + [c for c in causes if c.code != "unclassified" or c.leaf not in said] + late
    )
    for cause in causes:
        if cause.level != "error":  # a small constant: the gradient is right but for it
            report.leaves[cause.leaf].verdict = "agree"
    report.ruled_out = ruled_out
    report.reproduce = {"seed": seed, "shapes": shapes}


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
