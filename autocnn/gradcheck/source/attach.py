"""The place and the fix as parts of a report."""

from typing import Any

from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.source.place import find_place
from autocnn.gradcheck.source.program import Program

__all__ = ["attach", "program_of"]

BUDGET = 3.5  # nominal seconds of work for the search


def program_of(problem: Problem) -> Program | None:
    """The program of a problem whose functions can be exchanged for copies."""
    if problem.build is None:
        return None
    return Program(problem, problem.build, getattr(problem.build, "modules", None))


def attach(report: Any, problem: Problem, seed: int = 0) -> tuple[str, str] | None:
    """Look for the wrong statement and write `place`, `fix` and `trail` into the report, or one
    note that says why there is none. Returns what the statements say of the cause."""
    program = program_of(problem)
    if program is None:
        report.notes.append("no line is named: the functions of this form cannot be followed")
        return None
    finding = find_place(program, seed, BUDGET)
    report.place, report.fix, report.trail = finding.place, finding.fix, list(finding.trail)
    if finding.note:
        found = "the line" if finding.place else "no line is named"
        report.notes.append(f"{found}: {finding.note}")
    return finding.hint
