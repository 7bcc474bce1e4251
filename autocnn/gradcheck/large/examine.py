"""The check of a problem with large arguments.

A copy cut to a small size goes through the whole checker: side effects, layouts, linearity, ties,
and the names of causes. At full size, gradients are compared along few directions, and their shapes
and dtypes are checked. The report says what was done where.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from autocnn.gradcheck.large.calls import FullSize
from autocnn.gradcheck.large.cutting import smaller_copy
from autocnn.gradcheck.large.directions import Direction
from autocnn.gradcheck.large.findings import gradient_causes
from autocnn.gradcheck.large.merge import Seen, merge
from autocnn.gradcheck.large.slopes import Compared, compare, read_gradients
from autocnn.gradcheck.large.where import wrong_entries
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause, Report
from autocnn.gradcheck.state import Memory

__all__ = ["examine_large"]

_OTHER_POINTS = (2.0**-10, 0.3)  # how far away, in parts of the leaf, where the given one is a kink


def examine_large(
    problem: Problem, memory: Memory, seed: int, examine: Callable[[Problem], Report]
) -> Report:
    """Check a problem at full size along few directions and, by `examine`, on a smaller copy."""
    full = FullSize(problem)
    turns = 3 if sum(np.size(problem.arguments[n]) for n in problem.leaves) < 2**22 else 2
    read, facts, here = read_gradients(full, (seed, 0), problem.leaves)
    causes = gradient_causes(full, facts, here)
    if memory.changed():  # each call starts from what the functions remembered before the first
        problem = replace(problem, restore=(memory.restore, *problem.restore))
        full = FullSize(problem, full.copies, full.causes)
    small = smaller_copy(problem, set(read))
    report = Report(problem.label, {}) if small is None else examine(small)
    eps = _precision(problem, report, here)
    seen: dict[str, Seen] = {}
    for turn in range(turns):
        if turn:
            read, _, again = read_gradients(full, (seed, turn), _open(seen, read))
            if not np.allclose(again.sample, here.sample, 1e-9 if eps[""] < 1e-12 else 1e-4):
                message = "forward gives other values at a second call with the same arguments"
                full.add(Cause("nondeterministic", None, f"{message}: fix its seed"))
                break
        for name, one in read.items():
            result = compare(full, one, eps[name])
            if name not in seen or _rank(result) > _rank(seen[name].result):
                seen[name] = Seen(result, one)
    for name, one in seen.items():
        if one.result.tied or one.result.verdict == "unresolved":
            seen[name] = _elsewhere(full, one, eps[name], seed)
    full.causes += [c for c in causes if c not in full.causes]
    merge(report, problem, small, full.causes, facts, seen, turns)
    for name, leaf in report.leaves.items():
        alone = leaf.verdict == "wrong" and not any(c.leaf == name for c in report.errors)
        if alone and name in seen:
            right = small is not None and not any("smaller copy" in n for n in leaf.notes)
            report.causes.append(_only_at_full_size(full, seen[name], right))
    return report


def _open(seen: dict[str, Seen], names) -> list[str]:
    return [n for n in names if n not in seen or seen[n].result.verdict != "wrong"]


def _rank(result: Compared) -> tuple[int, float]:
    ratio = result.error / result.tolerance if result.tolerance else float(result.error > 0)
    return ("agree", "unresolved", "wrong").index(result.verdict), ratio


def _precision(problem: Problem, report: Report, here) -> dict[str, float]:
    """The rounding of each leaf, as the smaller copy shows it; "" is that of the outputs."""
    known = report.problem if report.problem is not None else problem
    own = {n: float(np.finfo(np.asarray(problem.arguments[n]).dtype).eps) for n in problem.leaves}
    outputs = max(float(np.finfo(d).eps) for d in here.dtypes)
    return {"": outputs, **{n: max(known.eps_of(n), own[n], outputs) for n in problem.leaves}}


def _elsewhere(full: FullSize, one: Seen, eps: float, seed: int) -> Seen:
    """The comparison at other points, where the given one is a kink or rounding hides the
    derivative."""
    x, name = full.value(one.along.leaf), one.along.leaf
    for turn, far in enumerate(_OTHER_POINTS):
        moved = np.empty_like(x)
        Direction(x.shape, seed, 5, turn).move(x, far, one.along.unit, moved)
        there = FullSize(full.problem.at(**{name: moved}), full.copies)
        try:
            read, _, _ = read_gradients(there, (seed, 6, turn), [name])
            if name not in read:
                continue
            result = compare(there, read[name], eps)
        except CallError:  # outside the function's domain
            continue
        if result.verdict != "unresolved" and not result.tied:
            why = "a kink lies at" if one.result.tied else "rounding hides the derivative at"
            return Seen(result, read[name], f"{why} the given values: compared next to them")
    return one


def _only_at_full_size(full: FullSize, one: Seen, right_on_copy: bool) -> Cause:
    name = one.along.leaf
    first, last = wrong_entries(full, one.along, one.result)
    x = full.value(name)
    ends = [tuple(int(i) for i in np.unravel_index(k, x.shape)) for k in (first, last)]
    words = [f"{name}[{', '.join(map(str, e))}]" for e in ends]
    where = (
        "wrong entries all over the leaf"
        if last - first + 1 == x.size
        else f"the wrong entries lie between {words[0]} and {words[1]}"
    )
    what = "at full size alone, right on a smaller copy" if right_on_copy else "at full size"
    return Cause("unclassified", name, f"wrong {what}: {where}")
