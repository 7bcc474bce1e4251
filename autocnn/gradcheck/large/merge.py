"""One report of what was seen at full size and on the smaller copy."""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.large.slopes import Along, Compared, Facts
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.report import Cause, Leaf, Report

__all__ = ["Seen", "merge"]

FULL = "real differences at full size"
COPY = "on a smaller copy"
#: Causes that are no matter of values: they hold at full size as they do on the copy.
_EXACT = frozenset(
    [
        "accumulates", "aliased", "layout", "missing", "mutates-input", "nondeterministic",
        "not-linear", "raises", "tie", "uncompared", "unused",
    ]
)  # fmt: skip


class Seen(NamedTuple):
    """One leaf at full size: the worst of its directions."""

    result: Compared
    along: Along
    note: str = ""


def merge(
    report: Report,
    problem: Problem,
    small: Problem | None,
    causes: list[Cause],
    facts: dict[str, Facts],
    seen: dict[str, Seen],
    turns: int,
) -> None:
    """Complete the report of the smaller copy (an empty one where there is none) by what was seen
    at full size."""
    report.label, report.problem = problem.label, problem
    found = {c.leaf for c in causes if c.leaf}
    report.causes = [c for c in report.causes if c.leaf not in found or c.code in _EXACT]
    codes = {(c.code, c.leaf) for c in report.causes} | {(c.code, None) for c in report.causes}
    report.causes += [c for c in causes if (c.code, c.leaf) not in codes]
    leaves = {}
    for name in problem.leaves:
        copy = report.leaves.get(name)
        x = np.asarray(problem.arguments[name])
        leaf = Leaf(name, x.shape, str(x.dtype))
        if name in seen:
            _decide(leaf, copy, seen[name], report, small)
        elif copy is not None:
            leaf.verdict, leaf.notes = copy.verdict, list(copy.notes)
            leaf.witnesses = _on_copy(copy)
        elif not facts[name].came and small is None and name not in problem.optional:
            leaf.verdict = "wrong"
            report.causes.append(Cause("missing", name, f"no gradient for {name} came"))
        elif name not in found:
            report.uncompared += [] if name in report.uncompared else [name]
            continue
        if any(c.leaf == name and c.level == "error" for c in report.causes):
            leaf.verdict = "wrong"
        leaves[name] = leaf
    report.leaves = leaves
    report.notes += _what_was_done(small, seen, turns)


def _on_copy(copy: Leaf) -> dict[str, float]:
    return {f"{method} {COPY}": digits for method, digits in copy.witnesses.items()}


def _decide(
    leaf: Leaf, copy: Leaf | None, seen: Seen, report: Report, small: Problem | None
) -> None:
    result = seen.result
    leaf.verdict, leaf.error, leaf.tolerance = result.verdict, result.error, result.tolerance
    leaf.witnesses = {FULL: result.digits}
    leaf.notes = [seen.note] if seen.note else []
    if result.tied and result.verdict == "wrong":
        leaf.verdict = "unresolved"
    if copy is None:
        if leaf.verdict == "unresolved":
            leaf.notes.append("unresolved: rounding or a kink hides the derivative at full size")
        return
    leaf.witnesses |= _on_copy(copy)
    leaf.notes += copy.notes
    leaf.worst = copy.worst
    if copy.verdict == "wrong" and leaf.verdict == "agree":
        _weigh(leaf, copy, result, report, small)
    elif leaf.verdict == "unresolved":
        leaf.verdict = copy.verdict
        leaf.notes.append(f"at full size rounding or a kink hides the derivative: compared {COPY}")
    elif leaf.verdict == "wrong" and copy.verdict == "wrong":
        _not_zero(leaf, seen, report)
    elif leaf.verdict == "wrong" and copy.verdict == "unresolved":
        surrogates = [c for c in report.causes if c.leaf == leaf.name and c.code == "surrogate"]
        if surrogates or any("surrogate" in note for note in copy.notes):
            leaf.verdict = "unresolved"


def _not_zero(leaf: Leaf, seen: Seen, report: Report) -> None:
    """A gradient that is zero on the copy alone is wrong at full size for another reason."""
    zero = next((c for c in report.causes if c.code == "zero" and c.leaf == leaf.name), None)
    if zero is None or not seen.along.size:
        return
    report.causes.remove(zero)
    leaf.notes.append("all of yours is zero on the smaller copy, not at full size")
    _forget_place(leaf, report)


def _forget_place(leaf: Leaf, report: Report) -> None:
    """Drop what was found on the copy and does not hold at full size."""
    leaf.worst, report.trail = [], []
    report.place = report.fix = None
    report.reproduce.pop("shapes", None)


def _weigh(leaf: Leaf, copy: Leaf, result: Compared, report: Report, small: Problem | None) -> None:
    """Right at full size, wrong on the smaller copy: a mistake too small to be seen at full size,
    or a function that is right at its own size alone."""
    own = [c for c in report.causes if c.leaf == leaf.name and c.level == "error"]
    visible = copy.digits is not None and 10.0**-copy.digits * result.scale > 10 * result.tolerance
    elsewhere = any("wrong at other" in note for note in copy.notes)
    if any(c.code in _EXACT for c in own) or elsewhere or not visible:
        leaf.verdict = "wrong"
        return
    shapes = ", ".join(f"{n} {np.shape(small.arguments[n])}" for n in small.leaves)
    for cause in own:
        message = f"right at the given size; on a copy cut to {shapes} not: {cause.message}"
        report.causes[report.causes.index(cause)] = cause._replace(message=message, level="warning")
    _forget_place(leaf, report)


def _what_was_done(small: Problem | None, seen: dict[str, Seen], turns: int) -> list[str]:
    names = ", ".join(seen)
    done = [f"{names}: compared at full size along {turns} directions each"] if seen else []
    rest = "side effects, layouts, linearity and ties"
    if small is None:
        return [*done, f"{rest} were not looked at: no smaller copy of the arguments runs"]
    shapes = ", ".join(
        f"{n} {np.shape(a)}" for n, a in small.arguments.items() if isinstance(a, np.ndarray)
    )
    return [*done, f"{rest} were looked at on a smaller copy: {shapes}"]
