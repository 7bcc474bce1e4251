"""The search for the edit of one statement that makes every leaf right."""

import ast
import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.source import edits
from autocnn.gradcheck.source.effort import Effort
from autocnn.gradcheck.source.instrument import Site
from autocnn.gradcheck.source.patch import Patch, exchange, patch_expression
from autocnn.gradcheck.source.recording import Key, Recording
from autocnn.gradcheck.source.repair import Repair
from autocnn.gradcheck.source.scope import Scope, scope_of
from autocnn.gradcheck.source.session import FAILURES
from autocnn.gradcheck.source.tryout import Trials
from autocnn.gradcheck.source.values import floats

__all__ = ["Found", "search_runs", "search_value"]

_OPERATORS = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.MatMult: operator.matmul, ast.Pow: operator.pow,
}  # fmt: skip
ANY = (*FAILURES, Exception)


class Found(NamedTuple):
    """A verified edit of one statement, and what it costs."""

    cost: float
    site: Site
    patch: Patch
    node: ast.AST


class Evaluator:
    """Values of candidate expressions in one scope; the author's own parts are computed once."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.known: dict[int, Any] = {}
        self.kept: list[ast.AST] = []

    def own(self, node: ast.expr) -> Any:
        """The value of a node of the author's."""
        if id(node) not in self.known:
            self.known[id(node)] = self.scope.evaluate(node)
            self.kept.append(node)
        return self.known[id(node)]

    def __call__(self, node: ast.expr) -> Any:
        if id(node) in self.known:
            return self.known[id(node)]
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return _OPERATORS[type(node.op)](self(node.left), self(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self(node.operand)
        if isinstance(node, ast.Name):
            return self.scope.names[node.id]
        if isinstance(node, ast.Constant):
            return node.value
        return self.scope.evaluate(node)


def scopes_of(recording: Recording, site: Site, repaired: dict[Key, list[np.ndarray]]):
    """The scope of a statement at each of its turns, in a run with repaired values."""
    tracer, found = recording.session.tracer, []

    def look(number: int, turn: int, value: Any, frame: Any) -> None:
        if number == site.number and len(found) < 64:
            found.append(scope_of(site.unit, site.function, frame, recording.scopes))

    out = recording.rerun()
    tracer.replace(repaired)
    tracer.watched = {site.number, *(s for s, _ in repaired)}
    tracer.look = look
    try:
        with np.errstate(all="ignore"):
            recording.session.gradients(out, recording.point.dy)
    except FAILURES:
        pass
    finally:
        tracer.reset()
    return found


def nodes_of(root: ast.expr) -> Iterator[tuple[ast.expr, bool]]:
    """(node, whether its names are those of the function) for every expression of a statement."""
    stack = [(root, True)]
    while stack:
        node, plain = stack.pop(0)
        yield node, plain
        for name, child in ast.iter_fields(node):
            for item in child if isinstance(child, list) else [child]:
                if isinstance(item, ast.keyword):
                    item = item.value
                if isinstance(item, ast.comprehension):
                    stack.append((item.iter, False))
                    stack += [(i, False) for i in item.ifs]
                elif isinstance(item, ast.expr) and not (
                    name == "func" and isinstance(node, ast.Call) and isinstance(item, ast.Name)
                ):
                    if name == "func" and isinstance(item, ast.Attribute):
                        if not _is_module(item.value):
                            stack.append((item.value, plain))
                        continue
                    inner = isinstance(
                        node, ast.ListComp | ast.GeneratorExp | ast.DictComp | ast.Lambda
                    )
                    stack.append((item, plain and not inner))


def _is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "numpy", "jnp", "torch", "math")


def candidates(
    root: ast.expr, scope: Scope, stage: int, effort: Effort
) -> Iterator[tuple[float, ast.expr, ast.expr, Any]]:
    """(cost, node, replacement, value of the whole expression) for every edit that can be
    evaluated in the scope."""
    evaluate = Evaluator(scope)
    if stage == 2:
        yield from _terms(root, scope, evaluate, effort)
    for node, plain in nodes_of(root):
        value = None
        if plain:
            try:
                value = evaluate.own(node)
            except ANY:
                plain = False
        whole = root is node
        hole = None
        if not whole and plain:
            rest = exchange(root, node, ast.Name("__hole__", ast.Load()))
            try:
                hole = compile(
                    ast.fix_missing_locations(ast.Expression(rest)), "<candidate edit>", "eval"
                )
            except ANY:
                continue
        for cost, new in edits.expression_edits(node, value, scope if plain else None, stage):
            effort.candidate()
            try:
                if plain:
                    there = evaluate(new)
                    if hole is not None:
                        scope.names["__hole__"] = there
                        there = eval(hole, scope.names)
                else:
                    there = scope.evaluate(exchange(root, node, new))
            except ANY:
                continue
            yield cost, node, new, there


def _terms(root: ast.expr, scope: Scope, evaluate: Evaluator, effort: Effort):
    try:
        value = evaluate.own(root)
    except ANY:
        return
    if not hasattr(value, "shape"):
        return
    for cost, term, there in edits.term_edits(scope, tuple(np.shape(value))):
        effort.candidate(6e-5)
        try:
            there = evaluate(term) if there is None else there
            for op, both in (
                (ast.Add, value + there),
                (ast.Sub, value - there),
                (ast.Mult, value * there),
            ):
                yield cost, root, ast.BinOp(root, op(), term), both
            yield cost + 0.2, root, term, there
        except ANY:
            continue


def search_value(
    recording: Recording,
    trials: Trials,
    site: Site,
    fix: Repair,
    stage: int,
    until: float,
    most: int = 3,
) -> list[Found]:
    """Verified edits of the expression at a site that some values can repair, cheapest first."""
    effort = recording.session.effort
    scopes = trials.scopes.get(site.number)
    if scopes is None:
        scopes = trials.scopes[site.number] = scopes_of(recording, site, fix.values)
    if not scopes:
        return []
    turns = sorted(turn for s, turn in fix.values if s == site.number)
    if len(turns) > 1 and not fix.unique:
        return search_runs(recording, trials, site, stage, until, True)
    accepted: list[tuple[float, ast.expr, ast.expr]] = []
    with np.errstate(all="ignore"):
        for cost, node, new, value in candidates(site.node, scopes[0], stage, effort):
            if effort.over(until):
                break
            if fix.fits(site.number, turns[0], floats(value)):
                accepted.append((cost, node, new))
    accepted.sort(key=lambda item: item[0])
    found: list[Found] = []
    for cost, node, new in accepted[:30]:
        if effort.over(until) or len(found) >= most:
            break
        if not _fits_all(fix, site, node, new, scopes, turns):
            continue
        patch = patch_expression(site.unit.page, site.statement, node, new)
        if patch is not None and trials.right(site.unit, patch.text):
            found.append(Found(cost, site, patch, node))
    return found


def search_runs(
    recording: Recording, trials: Trials, site: Site, stage: int, until: float, same: bool
) -> list[Found]:
    """Verified edits of an expression whose right value is not known: each is run. Without `same`
    only those that change its shape."""
    effort = recording.session.effort
    scopes = trials.scopes.get(site.number)
    if scopes is None:
        scopes = trials.scopes[site.number] = scopes_of(recording, site, {})
    if not scopes:
        return []
    events = recording.by_site.get(site.number)
    now = [a.shape for a in events[0].arrays] if events else None
    options = []
    with np.errstate(all="ignore"):
        for cost, node, new, value in candidates(site.node, scopes[0], stage, effort):
            if effort.over(until):
                break
            if same or [a.shape for a in floats(value)] != now:
                options.append((cost, node, new))
    options.sort(key=lambda item: item[0])
    found: list[Found] = []
    for cost, node, new in options:
        if effort.over(until) or len(found) >= 2:
            break
        if not _run_is_right(recording, site, exchange(site.node, node, new)):
            continue
        patch = patch_expression(site.unit.page, site.statement, node, new)
        if patch is not None and trials.right(site.unit, patch.text):
            found.append(Found(cost, site, patch, node))
    return found


def _run_is_right(recording: Recording, site: Site, expression: ast.expr) -> bool:
    """True when backward is right with this expression evaluated in the statement's place."""
    session, tracer = recording.session, recording.session.tracer
    try:
        code = compile(
            ast.fix_missing_locations(ast.Expression(expression)), "<candidate edit>", "eval"
        )
    except ANY:
        return False
    outer: dict[str, Any] = {}
    for names in recording.scopes.values():
        outer |= names

    def look(number: int, turn: int, value: Any, frame: Any) -> Any:
        new = eval(code, {**frame.f_globals, **outer, **frame.f_locals})
        # a copy: the value may be an array of the cache, and later statements may write into it
        return new.copy() if isinstance(new, np.ndarray) else new

    try:
        out = recording.rerun()
        tracer.watched, tracer.look = {site.number}, look
        session.effort.candidate(2e-4)
        tracer.limit(session.patience)
        gradients = session.gradients(out, recording.point.dy)
        return not session.wrong(recording.point, gradients, 10.0)
    except ANY:
        return False
    finally:
        tracer.reset()


def _fits_all(fix: Repair, site: Site, node, new, scopes: list[Scope], turns: list[int]) -> bool:
    if len(turns) == 1 or not fix.unique:
        return True
    expression = exchange(site.node, node, new)
    with np.errstate(all="ignore"):
        for turn, scope in zip(turns[1:], scopes[1:], strict=False):
            try:
                value = scope.evaluate(expression)
            except ANY:
                return False
            if not fix.fits(site.number, turn, floats(value)):
                return False
    return True
