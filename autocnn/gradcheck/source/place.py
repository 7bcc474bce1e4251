"""Where a wrong backward pass goes wrong, and the verified edit that puts it right."""

import ast
import contextlib
import io
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.source.adjoints import Adjoints
from autocnn.gradcheck.source.found import Finding, Fix, Place, Step
from autocnn.gradcheck.source.patch import diff, one_line, shown_path
from autocnn.gradcheck.source.program import Program
from autocnn.gradcheck.source.recording import Recording, record
from autocnn.gradcheck.source.repair import Repair, repair
from autocnn.gradcheck.source.search import Found, search_runs, search_value
from autocnn.gradcheck.source.session import FAILURES, NoPlace, Session
from autocnn.gradcheck.source.statements import parents_of, statement_edits
from autocnn.gradcheck.source.trail import Judged, judge
from autocnn.gradcheck.source.tryout import Trials

__all__ = ["find_place"]


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


def find_place(program: Program, seed: int = 0, budget: float = 4.0) -> Finding:
    """Look for the wrong statement of a program whose gradients are known to be wrong, within
    `budget` seconds."""
    start = time.thread_time()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        try:
            finding = _Search(program, seed, budget).run()
        except NoPlace as why:
            finding = Finding(note=str(why))
        except FAILURES as error:
            finding = Finding(note=f"{type(error).__name__}: {str(error)[:120]}")
    return Finding(
        finding.place, finding.fix, finding.trail, finding.note, time.thread_time() - start
    )


class _Search:
    def __init__(self, program: Program, seed: int, budget: float) -> None:
        self.session = Session(program, seed, budget)
        self.program = program

    def run(self) -> Finding:
        self.recording = self._record()
        self.trials = Trials(self.recording)
        self.adjoints = Adjoints(self.session, self.recording.point, self.recording.forward)
        self.judged = judge(self.recording, self.adjoints)
        suspects = self.last = self._suspects()
        self._repairs(suspects)
        self._edits(suspects)
        return self._conclude(suspects)

    def _record(self) -> Recording:
        session = self.session
        values = self.program.problem.values()
        for attempt in range(4):
            at = values if attempt == 0 else session.elsewhere(values, attempt)
            recording = record(session, session.point(at))
            if recording.wrong:
                return recording
        raise NoPlace("the instrumented copy agrees with the true gradient")

    def _suspects(self) -> list[Suspect]:
        """Statements on which every wrong leaf depends, in order of execution."""
        recording = self.recording
        wrong = set(recording.wrong)
        groups: dict[tuple, Suspect] = {}
        for site, judged in self.judged.items():
            where = recording.site(site)
            key = id(where.statement), where.kind == "value" and where.target
            if not wrong <= recording.leaves[site]:
                continue
            suspect = groups.setdefault(key, Suspect(where.statement, [], judged))
            suspect.sites.append(site)
            if judged.strength < suspect.judged.strength:
                suspect.judged = judged
        return list(groups.values())

    def _repairs(self, suspects: list[Suspect]) -> None:
        """Ask of each suspect whether some value could make all leaves right: the unproven first,
        the proven only where none of those can."""
        for proven in (False, True):
            for s in suspects:
                if (s.judged.strength >= 2) == proven:
                    for site in s.sites:
                        if self.session.left() > 0.4 * self.session.budget:
                            s.repairs[site] = repair(self.recording, site)
            if any(s.possible for s in suspects):
                break

    def _edits(self, suspects: list[Suspect]) -> None:
        """Look for edits, the simplest kinds first, until some are found."""
        able = [s for s in suspects if s.possible]
        unknown = [s for s in suspects if s.possible is None and s.judged.strength < 2]
        unknown = unknown or ([] if able else suspects[:])
        self._statement_edits(able or suspects)
        for s in able:
            self._value_edits(s, 0)
        for s in suspects[:]:
            if not s.possible and s.judged.strength < 2:
                self._run_edits(s, 0, same=bool(able) and s.possible is None)
        if self._least(suspects) > 1.15:
            self._control(suspects)
            self._discrete(suspects)
            if self._least(suspects) == float("inf"):
                for s in unknown:
                    self._run_edits(s, 0, same=True)
                self._discrete(suspects, 1)
        broken = self._broken(suspects)
        if broken is not None and not broken.found:
            self._value_edits(broken, 1)
            if not broken.possible:
                self._run_edits(broken, 1, same=False)
        for stage in (1, 2):
            if self._least(suspects) < float("inf"):
                return
            for s in able:
                self._value_edits(s, stage)
            if self._least(suspects) == float("inf"):
                for s in unknown if stage == 1 or not able else ():
                    self._run_edits(s, stage, same=True)

    def _broken(self, suspects: list[Suspect]) -> Suspect | None:
        """The first suspect whose name promises another value, unless one before it is open."""
        for s in suspects:
            if s.judged.broken and s.judged.strength < 1:
                return s
            if s.possible and s.judged.strength < 1.5:
                return None
        return None

    def _least(self, suspects: list[Suspect]) -> float:
        return min((s.cost for s in suspects), default=float("inf"))

    def _until(self, share: float) -> float:
        return time.thread_time() + max(0.0, share * self.session.left())

    def _value_edits(self, s: Suspect, stage: int) -> None:
        for site, fix in s.repairs.items():
            where = self.recording.site(site)
            if fix.possible and where.kind == "value":
                s.found += search_value(
                    self.recording, self.trials, where, fix, stage, self._until(0.4)
                )

    def _run_edits(self, s: Suspect, stage: int, same: bool) -> None:
        for site in s.sites:
            where = self.recording.site(site)
            if where.kind == "value":
                s.found += search_runs(
                    self.recording, self.trials, where, stage, self._until(0.25), same
                )

    def _statement_edits(self, pool: list[Suspect]) -> None:
        """Edits of whole statements: other operators, targets, indices, bounds and conditions."""
        done: set[int] = set()
        until = self._until(0.35)
        for suspect in pool:
            statement, site = suspect.statement, suspect.sites[0]
            if id(statement) in done or isinstance(statement, ast.Lambda):
                continue
            done.add(id(statement))
            where = self.recording.site(site)
            parents = parents_of(where.unit.node)
            options = sorted(
                statement_edits(where.unit, statement, parents, self._names(where)),
                key=lambda item: item[0],
            )
            for cost, patch in options:
                if time.thread_time() > until:
                    return
                if self.trials.right(where.unit, patch.text):
                    suspect.found.append(Found(cost, where, patch, statement))
                    break

    def _names(self, where: Any) -> list[str]:
        """Names that the function assigns, for other targets and indices."""
        return sorted(
            {
                n.id
                for n in ast.walk(where.function)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            }
        )

    def _control(self, suspects: list[Suspect]) -> None:
        """Loops and conditions that hold statements of the backward pass are suspects too."""
        found, seen = [], set()
        for site in self.recording.by_site:
            where = self.recording.site(site)
            parents = parents_of(where.unit.node)
            node: Any = where.statement
            while id(node) in parents and node is not where.function:
                node = parents[id(node)]
                if isinstance(node, ast.For | ast.While | ast.If) and id(node) not in seen:
                    seen.add(id(node))
                    found.append(Suspect(node, [site], Judged(site)))
        suspects += found
        self._statement_edits(found)

    def _discrete(self, suspects: list[Suspect], stage: int = 0) -> None:
        """Masks, indices and slices: each is edited and run."""
        for site in self.recording.discrete:
            where = self.recording.site(site)
            suspect = Suspect(where.statement, [site], Judged(site))
            suspects.append(suspect)
            self._run_edits(suspect, stage, same=True)

    def _conclude(self, suspects: list[Suspect]) -> Finding:
        order = {id(s): k for k, s in enumerate(suspects)}

        broken = self._broken(suspects)

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
        if best is not None and getattr(best.node, "lineno", None) == _line_of(node):
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
            page.name, best.patch.line, best.patch.before, best.patch.after,
            diff(page, best.patch.text, shown_path(page.name)), 1 + len(self.trials.other_points()), shown[:3],
        )  # fmt: skip

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
