"""Where a wrong backward pass goes wrong, and the verified edit that puts it right."""

import ast
import contextlib
import io
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck.source.adjoints import Adjoints
from autocnn.gradcheck.source.conclude import Conclusion, Suspect, broken_of
from autocnn.gradcheck.source.found import Finding
from autocnn.gradcheck.source.missing import what_is_missing
from autocnn.gradcheck.source.program import Program
from autocnn.gradcheck.source.recording import Recording, record
from autocnn.gradcheck.source.repair import repair
from autocnn.gradcheck.source.search import Found, search_runs, search_value
from autocnn.gradcheck.source.session import FAILURES, NoPlace, Session
from autocnn.gradcheck.source.statements import parents_of, statement_edits
from autocnn.gradcheck.source.trail import Judged, judge
from autocnn.gradcheck.source.tryout import Trials

__all__ = ["find_place"]


def find_place(program: Program, seed: int = 0, budget: float = 4.0) -> Finding:
    """Look for the wrong statement of a program whose gradients are known to be wrong, within
    `budget` nominal seconds of work."""
    start = time.thread_time()
    search = _Search(program, seed, budget)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
        np.errstate(all="ignore"),
    ):
        try:
            finding = search.run()
        except NoPlace as why:
            finding = Finding(note=str(why))
        except FAILURES as error:
            finding = Finding(note=f"{type(error).__name__}: {str(error)[:120]}")
    seconds = time.thread_time() - start
    note = finding.note
    if search.session.effort.timed_out:
        note += (
            f"{'; ' * bool(note)}the search was stopped after {seconds:.0f} s: it may not be whole"
        )
    return replace(finding, note=note, seconds=seconds)


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
        self._statement_edits(suspects, 0.15, most=1.3)  # cheap, and some cures are far away
        self._repairs(suspects)
        self._edits(suspects)
        finding = Conclusion(self.recording, self.trials, self.judged).of(suspects)
        if finding.fix is not None:
            return finding
        line = finding.place.line if finding.place else 0
        blamed = [t for s in suspects if s.statement.lineno == line for t in s.sites]
        hint = what_is_missing(self.recording, self.adjoints, self.judged, blamed)
        return replace(finding, hint=hint)

    def _record(self) -> Recording:
        session = self.session
        values = self.program.problem.values()
        for attempt in range(4):
            at = values if attempt == 0 else session.elsewhere(values, attempt)
            recording = record(session, session.point(at))
            if recording.beside_loss and recording.point.y.size == 1:
                recording = record(session, session.point(at, unit=True))
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
                        if self.session.left() > 0.45:
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
        broken = broken_of(suspects)
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

    def _least(self, suspects: list[Suspect]) -> float:
        return min((s.cost for s in suspects), default=float("inf"))

    def _value_edits(self, s: Suspect, stage: int) -> None:
        for site, fix in s.repairs.items():
            where = self.recording.site(site)
            if fix.possible and where.kind == "value":
                s.found += search_value(
                    self.recording, self.trials, where, fix, stage, self.session.effort.until(0.4)
                )

    def _run_edits(self, s: Suspect, stage: int, same: bool) -> None:
        for site in s.sites:
            where = self.recording.site(site)
            if where.kind == "value":
                s.found += search_runs(
                    self.recording, self.trials, where, stage, self.session.effort.until(0.25), same
                )

    def _statement_edits(
        self, pool: list[Suspect], share: float = 0.35, most: float = float("inf")
    ) -> None:
        """Edits of whole statements: other operators, targets, indices, bounds and conditions."""
        done: set[int] = set()
        until = self.session.effort.until(share)
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
            for cost, patch in options if not suspect.found else ():
                if cost > most:
                    break
                if self.session.effort.over(until):
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
