"""The verdict on each leaf: at the given values, off constant ones, and in other memory layouts."""

import numpy as np

from autocnn.gradcheck.decide import decide, decide_absent, moved_off_defaults
from autocnn.gradcheck.hygiene import Findings
from autocnn.gradcheck.layout_check import check_layouts
from autocnn.gradcheck.outputs import argument_of
from autocnn.gradcheck.point import Point
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.progress import Progress
from autocnn.gradcheck.report import Leaf
from autocnn.gradcheck.verdict import probe
from autocnn.gradcheck.witnesses import choose

__all__ = ["check_all_layouts", "decide_all", "decide_off_defaults"]


def decide_all(point: Point, found: Findings, progress: Progress) -> None:
    """Decide each leaf that has a gradient, and note those that are data or have none."""
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


def decide_off_defaults(point: Point, found: Findings, progress: Progress) -> None:
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


def check_all_layouts(point: Point, progress: Progress) -> None:
    """Leaves that agree must do so in other memory layouts of dy and the inputs."""
    report = progress.report
    names = [n for n in progress.decided if report.leaves[n].verdict == "agree"]
    if not names or any(c.level == "error" for c in report.causes):
        return
    for cause in check_layouts(point.problem, names, progress.rng):
        report.causes.append(cause)
        if cause.level == "error" and cause.leaf is not None:
            report.leaves[cause.leaf].verdict = "wrong"
