"""From suspects to a verdict: which statement is blamed, what is shown, how every other fared."""

import ast
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.source.found import Finding, Fix, Place, Step
from autocnn.gradcheck.source.patch import diff, one_line, shown_path
from autocnn.gradcheck.source.recording import Recording
from autocnn.gradcheck.source.repair import Repair
from autocnn.gradcheck.source.search import Found
from autocnn.gradcheck.source.trail import Judged
from autocnn.gradcheck.source.tryout import Trials

__all__ = ["Conclusion", "Suspect", "broken_of"]


@dataclass(eq=False)
class Suspect:
    """A statement that could be to blame."""

    statement: Any
    sites: list[int]
    judged: Judged
    repairs: dict[int, Repair] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)

    @property
    def possible(self) -> bool | None:
        """Whether some value of one of its sites makes every leaf right."""
        answers = [r.possible for r in self.repairs.values()]
        return True if True in answers else None if None in answers or not answers else False

    @property
    def cost(self) -> float:
        """The least cost of a verified edit."""
        return min((f.cost for f in self.found), default=float("inf"))


def broken_of(suspects: list[Suspect]) -> Suspect | None:
    """The first suspect whose name promises another value, unless one before it is open."""
    for s in suspects:
        if s.judged.broken and s.judged.strength < 1:
            return s
        if s.possible and s.judged.strength < 1.5:
            return None
    return None


class Conclusion:
    """Ranks the suspects of one search."""

    def __init__(self, recording: Recording, trials: Trials, judged: dict[int, Judged]) -> None:
        self.recording, self.trials, self.judged = recording, trials, judged

    def of(self, suspects: list[Suspect]) -> Finding:
        order = {id(s): k for k, s in enumerate(suspects)}

        broken = broken_of(suspects)

        def doubt(s: Suspect) -> float:
            where = self.recording.site(s.sites[0])
            passed_on = isinstance(where.statement, ast.Return) and isinstance(
                where.node, ast.Name | ast.Attribute
            )
            empty = not any(
                np.any(a)
                for t in s.sites
                for e in self.recording.by_site.get(t, ())
                for a in e.arrays
            ) and any(t in self.recording.by_site for t in s.sites)
            known = {3: 1.0, 2: 1.0, 1.5: 0.4, 1.2: 0.3, 1: 0.15}.get(s.judged.strength, 0.0)
            copied = isinstance(where.statement, ast.Assign) and isinstance(where.node, ast.Name)
            known += 0.5 * (passed_on or (empty and not s.found))
            return known - 0.4 * s.judged.idle - 0.2 * copied - 0.5 * (s is broken)

        def rank(s: Suspect) -> tuple:
            able = 0 if s.possible else 1 if s.possible is None else 2
            if s.found:
                near = s.cost + doubt(s) <= least + 0.1
                return (0, not near, 0.0 if near else s.cost + doubt(s), 0, order[id(s)])
            return (1, able, doubt(s) >= 0.5, doubt(s) >= 0.35, doubt(s) > -0.15, order[id(s)])

        least = min((s.cost + doubt(s) for s in suspects if s.found), default=0.0)
        blamed = [s for s in suspects if s.found or s.possible]
        if not blamed:
            blamed = [s for s in suspects if s.possible is None and s.repairs]
        if not blamed:
            return Finding(
                trail=self._trail(None),
                note="no single statement accounts for every wrong leaf: more than one is wrong, "
                "or one is missing",
            )
        blamed.sort(key=rank)
        first = blamed[0]
        others = [
            s
            for s in blamed[1:]
            if s.statement is not first.statement
            and (not first.found or s.cost < first.cost + 0.6 or first.cost > 2.0)
        ]
        if not first.found:
            others += self._feeders(first, suspects)
        trail = self._trail(first)
        place = self._place(first, others[:4], trail)
        return Finding(place, self._fix(first, suspects), trail)

    def _feeders(self, first: Suspect, suspects: list[Suspect]) -> list[Suspect]:
        """Unproven statements on which a blamed one depends, the nearest first."""
        mine = set(first.sites)
        found = [
            s
            for s in suspects
            if s is not first
            and s.judged.strength < 1.5
            and any(mine & self.recording.influence.get(site, set()) for site in s.sites)
        ]
        return found[::-1]

    def _place(self, s: Suspect, others: list[Suspect], trail: tuple[Step, ...]) -> Place:
        where = self.recording.site(s.sites[0])
        node = s.statement
        line = (
            s.found[0].patch.line
            if s.found and isinstance(s.found[0].node, ast.stmt)
            else (_line_of(node))
        )
        best = min(s.found, key=lambda f: f.cost) if s.found else None
        columns = None
        line = _line_inside(node, best.node if best else where.node, line)
        if best is not None and getattr(best.node, "lineno", None) == line:
            end = best.node.end_col_offset if best.node.end_lineno == best.node.lineno else None
            columns = best.node.col_offset, end if end is not None else best.node.col_offset + 1
        named: dict[int, Step] = {}
        for other in others:
            step = self._step(other.statement, self.recording.site(other.sites[0]), "suspect", "")
            if step.line != line:
                named.setdefault(step.line, step)
        return Place(
            where.unit.page.name, line, _text(where.unit.page, node), where.target or "",
            _why(s, trail, self.recording), tuple(named.values())[:3], columns,
        )  # fmt: skip

    def _fix(self, s: Suspect, suspects: list[Suspect]) -> Fix | None:
        if not s.found:
            return None
        best = min(s.found, key=lambda f: f.cost)
        others = sorted(
            (f.cost, f.patch.line, f.patch.after)
            for t in suspects
            for f in t.found
            if f.patch.text != best.patch.text
        )
        page = best.site.unit.page
        shown = tuple(dict.fromkeys(f"line {line}: {after}" for _, line, after in others))
        return Fix(
            page.name,
            best.patch.line,
            best.patch.before,
            best.patch.after,
            diff(page, best.patch.text, shown_path(page.name)),
            1 + len(self.trials.other_points()),
            shown[:3],
            best.patch.first,
            best.patch.loop,
        )

    def _step(self, statement: Any, where: Any, verdict: str, reason: str) -> Step:
        return Step(
            where.unit.page.name, _line_of(statement), _text(where.unit.page, statement),
            where.target or "", verdict, reason,
        )  # fmt: skip

    def _trail(self, first: Suspect | None) -> tuple[Step, ...]:
        recording = self.recording
        by_statement: dict[int, list[int]] = {}
        for site in recording.by_site:
            by_statement.setdefault(id(recording.site(site).statement), []).append(site)
        follows: set[int] = set()
        if first is not None:
            follows = {t for s in first.sites for t in recording.influence.get(s, ())}
        steps = []
        for sites in by_statement.values():
            where = recording.site(sites[0])
            strength = min(self.judged[s].strength for s in sites)
            reason = next((self.judged[s].reason for s in sites if self.judged[s].reason), "")
            if first is not None and where.statement is first.statement:
                verdict, reason = "wrong", ""
            elif strength >= 2:
                verdict = "right"
            elif follows & set(sites):
                verdict, reason = "follows", "from the wrong one"
            else:
                verdict = "right" if strength == 1 else "not compared"
            steps.append(self._step(where.statement, where, verdict, reason))
        return tuple(steps)


def _line_of(node: Any) -> int:
    return node.body.lineno if isinstance(node, ast.Lambda) else node.lineno


def _line_inside(statement: Any, node: Any, line: int) -> int:
    """The line of an expression in a statement of several lines, else `line`."""
    several = isinstance(statement, ast.Return | ast.Assign | ast.AugAssign | ast.Expr)
    if not several or statement.lineno == statement.end_lineno:
        return line
    found = getattr(node, "lineno", line)
    return found if statement.lineno <= found <= statement.end_lineno else line


def _text(page: Any, node: Any) -> str:
    last = node.end_lineno
    if isinstance(node, ast.For | ast.While | ast.If | ast.With | ast.FunctionDef):
        last = max(node.lineno, node.body[0].lineno - 1)
    return one_line("\n".join(page.lines[node.lineno - 1 : last]))


def _why(s: Suspect, trail: tuple[Step, ...], recording: Recording) -> str:
    line = _line_of(s.statement)
    before = [t for t in trail if t.verdict == "right" and t.line < line and t.variable]
    names = list(dict.fromkeys(t.variable for t in before))[-4:]
    if not names:
        return "every wrong leaf follows from this statement"
    rows = [t.line for t in before if t.variable in names]
    where = f"line {rows[0]}" if len(set(rows)) == 1 else f"lines {min(rows)}-{max(rows)}"
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    verb = "is" if len(names) == 1 else "are"
    return (
        f"{listed} ({where}) {verb} right; this is the first statement that is not: every wrong "
        "leaf follows from it"
    )
