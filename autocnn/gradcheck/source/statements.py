"""Edits of whole statements, as text: another operator of an assignment, other indices or bounds,
another condition, a statement in another place or taken away."""

import ast
import itertools
from collections.abc import Iterator
from typing import Any

from autocnn.gradcheck.source.code import Page, Unit
from autocnn.gradcheck.source.edits import expression_edits
from autocnn.gradcheck.source.patch import Patch, one_line, patch_expression, patch_text
from autocnn.gradcheck.source.slips import index_edits

__all__ = ["parents_of", "statement_edits"]

_SYMBOLS = {ast.Add: "+=", ast.Sub: "-=", ast.Mult: "*=", ast.Div: "/="}


def parents_of(root: ast.AST) -> dict[int, ast.AST]:
    """id of a node -> the node around it."""
    return {id(child): node for node in ast.walk(root) for child in ast.iter_child_nodes(node)}


def statement_edits(
    unit: Unit, statement: Any, parents: dict[int, ast.AST], names: list[str]
) -> Iterator[tuple[float, Patch]]:
    """(cost, patch) for edits of one statement that are no edits of its right-hand side."""
    page = unit.page
    for cost, text in _texts(unit, statement, parents):
        patch = patch_text(page, statement, text)
        if patch is not None:
            yield cost, patch
    yield from _before_loop(page, statement, parents)
    for cost, old, new in _parts(statement, names):
        patch = patch_expression(page, statement, old, new)
        if patch is not None:
            yield cost, patch


def _texts(unit: Unit, s: Any, parents: dict[int, ast.AST]) -> Iterator[tuple[float, str]]:
    page = unit.page

    source = page.source

    def instead(text: str) -> str:
        start, end = page.span(s)
        return page.text[:start] + text + page.text[end:]

    if isinstance(s, ast.Assign) and len(s.targets) == 1:
        target = s.targets[0]
        if isinstance(target, ast.Name | ast.Subscript | ast.Attribute):
            yield 1.0, instead(f"{source(target)} += {source(s.value)}")
            yield 1.2, instead(f"{source(target)} -= {source(s.value)}")
    if isinstance(s, ast.AugAssign):
        for op, symbol in _SYMBOLS.items():
            if not isinstance(s.op, op):
                cost = 1.0 if {op, type(s.op)} == {ast.Add, ast.Sub} else 1.5
                yield cost, instead(f"{source(s.target)} {symbol} {source(s.value)}")
        yield 1.0, instead(f"{source(s.target)} = {source(s.value)}")
    yield from ((cost, instead(text)) for cost, text in _repeated(page, s))
    lines = page.text.splitlines(keepends=True)
    alone = lines[s.lineno - 1][: s.col_offset].strip() == "" and not isinstance(
        s, ast.FunctionDef | ast.For | ast.While | ast.If | ast.With
    )
    around = parents.get(id(s))
    if isinstance(s, ast.Return) and alone and isinstance(around, ast.For | ast.While | ast.If):
        indent = lines[around.lineno - 1][: around.col_offset]
        if around.body and around.body[-1] is s and len(around.body) > 1:
            moved = [indent + line[s.col_offset :] for line in lines[s.lineno - 1 : s.end_lineno]]
            yield 1.0, "".join([*lines[: s.lineno - 1], *moved, *lines[s.end_lineno :]])
    if alone and not isinstance(s, ast.Return) and around is not None:
        body = getattr(around, "body", [])
        rest = "".join([*lines[: s.lineno - 1], *lines[s.end_lineno :]])
        if isinstance(body, list) and s in body and len(body) > 1:
            yield 1.6, rest
            yield from _moved(lines, s, around)


def _repeated(page: Page, s: Any) -> Iterator[tuple[float, str]]:
    """d[i] += v, which counts a repeated index once, as np.add.at(d, i, v), and the other way."""
    numpy = _numpy(page)
    target = s.target if isinstance(s, ast.AugAssign) else None
    if isinstance(s, ast.Assign) and len(s.targets) == 1:
        target = s.targets[0]
    if numpy and isinstance(target, ast.Subscript) and isinstance(target.ctx, ast.Store):
        op = "subtract" if isinstance(getattr(s, "op", None), ast.Sub) else "add"
        index = page.source(target.slice)
        if isinstance(target.slice, ast.Tuple) and not index.startswith("("):
            index = f"({index})"
        if not any(isinstance(n, ast.Slice) for n in ast.walk(target.slice)):
            where = f"{page.source(target.value)}, {index}, {page.source(s.value)}"
            yield 1.2, f"{numpy}.{op}.at({where})"


def _numpy(page: Page) -> str | None:
    """What the page calls numpy."""
    for node in ast.walk(page.tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name == "numpy":
                    return name.asname or "numpy"
    return None


def _before_loop(page: Page, s: Any, parents: dict[int, ast.AST]) -> Iterator[tuple[float, Patch]]:
    """What every pass of a loop assigns anew, assigned once before it, or added up from nought."""
    if not (isinstance(s, ast.Assign) and len(s.targets) == 1 and s.lineno == s.end_lineno):
        return
    target = s.targets[0]
    fixed = isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant)
    if not (fixed or isinstance(target, ast.Name | ast.Attribute)):
        return
    lines, whole = page.text.splitlines(keepends=True), one_line(page.source(s))
    name = page.source(target)
    added = f"{name} += {page.source(s.value)}"
    row = lines[s.lineno - 1]
    kept = row[: len(row) - len(row.lstrip())] + added + "\n"
    if row.strip().split("#")[0].strip() != whole:
        return  # other statements stand in the line
    around = parents.get(id(s))
    while around is not None and not isinstance(around, ast.FunctionDef | ast.Lambda):
        if isinstance(around, ast.For | ast.While):
            k = around.lineno - 1
            indent = lines[k][: around.col_offset]
            for cost, first, instead in ((1.25, whole, ""), (1.3, f"{name} = 0", kept)):
                rows = [*lines[:k], f"{indent}{first}\n", *lines[k : s.lineno - 1]]
                text = "".join([*rows, instead, *lines[s.lineno :]])
                after = added if instead else ""
                yield cost, Patch(text, s.lineno, whole, after, first, around.lineno)
        around = parents.get(id(around))


def _moved(lines: list[str], s: Any, around: Any) -> Iterator[tuple[float, str]]:
    """The statement one place up or down, and out of its loop."""
    body = around.body
    k = body.index(s)
    mine = lines[s.lineno - 1 : s.end_lineno]
    for other in (k - 1, k + 1):
        if 0 <= other < len(body) and body[other].lineno != s.lineno:
            o = body[other]
            theirs = lines[o.lineno - 1 : o.end_lineno]
            first, last = (o, s) if other < k else (s, o)
            between = lines[first.end_lineno : last.lineno - 1]
            pieces = [*mine, *between, *theirs] if other < k else [*theirs, *between, *mine]
            yield 1.5, "".join([*lines[: first.lineno - 1], *pieces, *lines[last.end_lineno :]])
    if isinstance(around, ast.For | ast.While) and k == len(body) - 1:
        indent = lines[around.lineno - 1][: around.col_offset]
        moved = [indent + line[s.col_offset :] for line in mine]
        yield 1.3, "".join([*lines[: s.lineno - 1], *moved, *lines[s.end_lineno :]])


def _parts(s: Any, names: list[str]) -> Iterator[tuple[float, ast.expr, ast.expr]]:
    """(cost, node, what takes its place) in targets, loops and conditions."""
    if isinstance(s, ast.Assign | ast.AugAssign):
        for target in s.targets if isinstance(s, ast.Assign) else [s.target]:
            yield from _targets(target, names)
    if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call) and len(s.value.args) > 1:
        yield from _targets(s.value.args[0], names)
        for argument in s.value.args[1:-1]:
            yield from _indices(argument, names)
    if isinstance(s, ast.For):
        yield from _loops(s.iter)
    if isinstance(s, ast.If | ast.While):
        for node in ast.walk(s.test):
            if isinstance(node, ast.expr):
                for cost, new in expression_edits(node, None, None):
                    yield cost, node, new
        yield 1.2, s.test, ast.Constant(True)
        yield 1.3, s.test, ast.Constant(False)
    if isinstance(s, ast.Return) and isinstance(s.value, ast.Tuple):
        for a, b in itertools.combinations(range(len(s.value.elts)), 2):
            new = list(s.value.elts)
            new[a], new[b] = new[b], new[a]
            yield 1.0, s.value, ast.Tuple(new, ast.Load())


def _targets(target: ast.expr, names: list[str]) -> Iterator[tuple[float, ast.expr, ast.expr]]:
    if isinstance(target, ast.Name):
        for name in names:
            if name != target.id:
                yield 1.4, target, ast.Name(name, target.ctx)
    if isinstance(target, ast.Tuple | ast.List):
        for a, b in itertools.combinations(range(len(target.elts)), 2):
            new = list(target.elts)
            new[a], new[b] = new[b], new[a]
            yield 1.0, target, ast.Tuple(new, ast.Store())
    if isinstance(target, ast.Subscript):
        index = target.slice
        items = index.elts if isinstance(index, ast.Tuple) else [index]
        for k, item in enumerate(items):
            options = [(c, n) for c, n in index_edits(item)]
            options.append((1.5, ast.Slice()))
            for cost, new in options:
                changed = [*items[:k], new, *items[k + 1 :]]
                whole = changed[0] if len(changed) == 1 else ast.Tuple(changed, ast.Load())
                yield cost, target, ast.Subscript(target.value, whole, target.ctx)
        if len(items) > 1:
            for a, b in itertools.combinations(range(len(items)), 2):
                new = list(items)
                new[a], new[b] = new[b], new[a]
                yield (
                    1.1,
                    target,
                    ast.Subscript(target.value, ast.Tuple(new, ast.Load()), target.ctx),
                )
        yield from _indices(index, names)
        if isinstance(target.value, ast.Name):
            for name in names:
                if name != target.value.id:
                    yield 1.5, target.value, ast.Name(name, ast.Load())


def _indices(index: ast.expr, names: list[str]) -> Iterator[tuple[float, ast.expr, ast.expr]]:
    for node in ast.walk(index):
        if isinstance(node, ast.Name):
            for name in names:
                if name != node.id:
                    yield 1.1, node, ast.Name(name, ast.Load())
        elif isinstance(node, ast.BinOp | ast.Constant):
            for cost, new in expression_edits(node, None, None):
                yield cost, node, new


def _loops(it: ast.expr) -> Iterator[tuple[float, ast.expr, ast.expr]]:
    """Other bounds of a range, and the other direction."""
    one = ast.Constant(1)
    if isinstance(it, ast.Call) and getattr(it.func, "id", "") == "reversed" and it.args:
        yield 1.0, it, it.args[0]
    elif isinstance(it, ast.Call):
        yield 1.0, it, ast.Call(ast.Name("reversed", ast.Load()), [it], [])
    for node in ast.walk(it):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range"):
            continue
        for k, bound in enumerate(node.args):
            options: list[tuple[float, ast.expr]] = [
                (1.0, ast.BinOp(bound, ast.Sub(), one)),
                (1.0, ast.BinOp(bound, ast.Add(), one)),
            ]
            if isinstance(bound, ast.BinOp):
                options += [(1.0, bound.left)]
            if isinstance(bound, ast.Constant):
                options += [(1.0, ast.Constant(n)) for n in range(3) if n != bound.value]
            for cost, new in options:
                args = [*node.args[:k], new, *node.args[k + 1 :]]
                yield cost, node, ast.Call(node.func, args, [])
        if len(node.args) == 1:
            yield 1.1, node, ast.Call(node.func, [one, node.args[0]], [])
        if len(node.args) >= 2:
            yield 1.0, node, ast.Call(node.func, [node.args[1]], [])
    for node in ast.walk(it):
        if isinstance(node, ast.Subscript):
            for cost, new in expression_edits(node, None, None):
                yield cost, node, new
