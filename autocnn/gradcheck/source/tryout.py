"""Edits put to the test: the edited source is compiled, run in a copy, and believed only where
every leaf then agrees at four points."""

import ast
from typing import Any

from autocnn.gradcheck.source.code import Page, Unit, _functions
from autocnn.gradcheck.source.instrument import Instrumenter, Sites, compile_function
from autocnn.gradcheck.source.recording import Recording
from autocnn.gradcheck.source.scope import Scope
from autocnn.gradcheck.source.session import FAILURES, Point, Session
from autocnn.gradcheck.source.trace import Tracer
from autocnn.gradcheck.source.written import redirected

__all__ = ["Trials"]

OTHERS = 3
NEARER = 0.03  # how far an edit may leave what was wrong, of the distance before


class _Edited(Sites):
    """Sites of the author's functions, with one function exchanged for its edited text."""

    def __init__(self, sites: Sites, unit: Unit, text: str) -> None:
        super().__init__()
        self.original, self.edited = sites, unit
        self.replacement = Unit(
            Page(unit.page.name, text, ast.Module([], [])), _definition(unit, text), unit.owner
        )

    def unit(self, function: Any) -> Unit | None:
        found = self.original.unit(function)
        return self.replacement if found is self.edited else found

    def code(self, unit: Unit, function: Any) -> Any:
        if unit is self.replacement:
            return compile_function(redirected(unit), function.__code__)
        return self.original.code(unit, function)


def _definition(unit: Unit, text: str) -> Any:
    """The edited function's syntax tree. Only its own lines are parsed."""
    node, old, new = unit.node, unit.page.lines, text.splitlines()
    if isinstance(node, ast.Lambda):
        return next(
            b
            for (a, _), (b, _) in zip(
                _functions(unit.page.tree, None), _functions(ast.parse(text), None), strict=True
            )
            if a is node
        )
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    rows = new[first - 1 : node.end_lineno + len(new) - len(old)]
    tree = ast.parse("if True:\n" * bool(node.col_offset) + "\n".join(rows))
    ast.increment_lineno(tree, first - 1 - bool(node.col_offset))
    return next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))


class Trials:
    """Runs edited source at the recorded point and at others."""

    def __init__(self, recording: Recording) -> None:
        self.recording, self.session = recording, recording.session
        self.points: list[Point] | None = None
        self.runs = 0
        self.tried: dict[str, bool] = {}
        self.scopes: dict[int, list[Scope]] = {}
        at, found = recording.point, recording.gradients
        self.before = {n: self.session.distance(at, found, n) for n in recording.wrong}

    def right(self, unit: Unit, text: str) -> bool:
        """True when every leaf agrees with this text in place of the page's, here and at three
        other points."""
        if text not in self.tried:
            self.tried[text] = self._right(unit, text)
        return self.tried[text]

    def _right(self, unit: Unit, text: str) -> bool:
        self.runs += 1
        self.session.effort.candidate(5e-4 + 4e-5 * len(unit.page.lines))
        tracer = Tracer(self.session.effort)
        try:
            sites = _Edited(self.session.sites, unit, text)
        except (SyntaxError, StopIteration, ValueError):
            return False
        problem = self.session.rebuilt(
            Instrumenter(sites, tracer, False, self.session.program.modules)
        )
        if not self._agrees(problem, tracer, self.recording.point):
            return False
        return all(self._agrees(problem, tracer, p) for p in self.other_points())

    def _agrees(self, problem: Any, tracer: Tracer, point: Point) -> bool:
        session = self.session
        tracer.watched = frozenset()
        tracer.limit(2 * session.patience)
        try:
            out = session.forward(point.values, problem=problem)
            if (
                out.flat.shape != point.y.shape
                or not (abs(out.flat - point.y) <= 1e-12 * (1 + abs(point.y))).all()
            ):
                return False  # the edit must leave the forward pass alone
            gradients = out.backward(point.dy)
            if session.wrong(point, gradients, 10.0):
                return False
            # a mistake near the tolerance must not pass for its cure
            return point is not self.recording.point or all(
                session.distance(point, gradients, n) <= NEARER * before
                for n, before in self.before.items()
            )
        except FAILURES:
            return False

    def other_points(self) -> list[Point]:
        """Three points beside the recorded one, made when first needed."""
        if self.points is None:
            self.points = other_points(self.session, self.recording.point)
        return self.points


def other_points(session: Session, point: Point) -> list[Point]:
    """Three other points at which the function is finite."""
    found: list[Point] = []
    for attempt in range(12):
        try:
            values = session.elsewhere(point.values, attempt)
            found.append(session.point(values, few=True, seed=8 + attempt))
        except FAILURES:
            continue
        if len(found) == OTHERS:
            break
    return found
