"""Why gradients are wrong: worst entries, causes, and a smaller case that still fails."""

from autocnn.gradcheck.localise import locate
from autocnn.gradcheck.naming import explain
from autocnn.gradcheck.order import exchanged
from autocnn.gradcheck.point import Point
from autocnn.gradcheck.progress import Progress

__all__ = ["look_for_exchanged", "say_why"]


#: Findings that say all there is to say of a leaf: no rule is asked for its cause.
_SELF_EXPLAINING = {"missing", "nonfinite", "nondeterministic", "raises"}


def look_for_exchanged(point: Point, progress: Progress) -> None:
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


def say_why(point: Point, progress: Progress, nonlinear: set[str], seed: int) -> None:
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
