"""One statement of a backward pass changed at a time, by rules on its syntax tree."""

import ast
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from autocnn.gradcheck.source.code import Page
from autocnn.gradcheck.source.patch import patch_expression

__all__ = ["Mutant", "mutants"]


class Mutant(NamedTuple):
    """A changed module: `lines` are those that count as the place of the mistake."""

    kind: str
    lines: frozenset[int]
    before: str
    after: str
    text: str


def mutants(text: str, names: list[str]) -> Iterator[Mutant]:
    """Every mutant of the statements in the functions called `names`."""
    page = Page("layer.py", text, ast.parse(text))
    for node in ast.walk(page.tree):
        if isinstance(node, ast.FunctionDef) and node.name in names:
            yield from _of_function(page, node)


def _of_function(page: Page, function: ast.FunctionDef) -> Iterator[Mutant]:
    local = sorted(
        {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and not _callee(n, function)}
    )
    for statement in ast.walk(function):
        if not isinstance(statement, ast.stmt) or statement is function:
            continue
        if isinstance(statement, ast.FunctionDef):
            continue
        lines = frozenset(range(statement.lineno, _last(statement) + 1))
        for kind, old, new in _expressions(statement, local):
            patch = patch_expression(page, statement, old, new)
            if patch is not None:
                yield Mutant(kind, lines, patch.before, patch.after, patch.text)
        yield from _whole(page, function, statement, lines)


def _last(statement: ast.stmt) -> int:
    if isinstance(statement, ast.For | ast.If | ast.While):
        return max(statement.lineno, statement.body[0].lineno - 1)
    return statement.end_lineno or statement.lineno


def _callee(name: ast.Name, function: ast.AST) -> bool:
    called = {id(n.func) for n in ast.walk(function) if isinstance(n, ast.Call)} | {
        id(n.value) for n in ast.walk(function) if isinstance(n, ast.Attribute)
    }
    return (id(name) in called and name.id in ("np", "jnp", "jax", "torch")) or name.id in (
        "np", "range", "reversed", "zip", "len", "float", "dict", "enumerate", "jnp", "torch",
    )  # fmt: skip


def _top(statement: ast.stmt) -> list[ast.expr]:
    """The expressions of a statement that are mutated."""
    if isinstance(statement, ast.Assign | ast.AugAssign | ast.Return):
        return [statement.value] if statement.value is not None else []
    if isinstance(statement, ast.Expr):
        return [statement.value]
    if isinstance(statement, ast.For):
        return [statement.iter]
    if isinstance(statement, ast.If):
        return [statement.test]
    return []


def _expressions(statement: ast.stmt, names: list[str]):
    """(kind, old node, new node)."""
    one, two = ast.Constant(1), ast.Constant(2)
    for top in _top(statement):
        if not isinstance(statement, ast.For | ast.If | ast.Expr) and not isinstance(
            top, ast.Tuple | ast.Dict
        ):
            yield "sign", top, ast.UnaryOp(ast.USub(), top)
            yield "factor added", top, ast.BinOp(top, ast.Mult(), two)
        for node in ast.walk(top):
            if isinstance(node, ast.BinOp):
                left, op, right = node.left, node.op, node.right
                if isinstance(op, ast.Add | ast.Sub):
                    other = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
                    yield "sign", node, ast.BinOp(left, other, right)
                    yield "term dropped", node, left
                    if isinstance(op, ast.Add):
                        yield "term dropped", node, right
                    else:
                        yield "sign", node, ast.BinOp(right, op, left)
                if isinstance(op, ast.Mult):
                    yield "factor dropped", node, left
                    yield "factor dropped", node, right
                    yield "inverse", node, ast.BinOp(left, ast.Div(), right)
                if isinstance(op, ast.Div):
                    yield "factor dropped", node, left
                    yield "inverse", node, ast.BinOp(left, ast.Mult(), right)
                if isinstance(op, ast.MatMult):
                    yield "order", node, ast.BinOp(right, op, left)
                if isinstance(op, ast.Pow):
                    yield "square", node, left
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
                yield "sign", node, node.operand
            elif isinstance(node, ast.Attribute) and node.attr == "T":
                yield "transpose", node, node.value
            elif isinstance(node, ast.Compare) and len(node.ops) == 1:
                flip = ast.LtE() if isinstance(node.ops[0], ast.Gt) else ast.Gt()
                yield "condition", node, ast.Compare(node.left, [flip], node.comparators)
            elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
                yield "constant", node, ast.Constant(node.value + 1)
                if node.value:
                    yield "constant", node, ast.Constant(2 * node.value)
            elif isinstance(node, ast.Call):
                yield from _calls(node)
            elif isinstance(node, ast.Name) and node.id in names:
                for other in names:
                    if other != node.id:
                        yield "name", node, ast.Name(other, ast.Load())
                if not isinstance(statement, ast.For):
                    yield "one minus", node, ast.BinOp(one, ast.Sub(), node)
                    yield "square", node, ast.BinOp(node, ast.Pow(), two)


def _calls(node: ast.Call):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    for k, keyword in enumerate(node.keywords):
        rest = [*node.keywords[:k], *node.keywords[k + 1 :]]
        if keyword.arg in ("axis", "dim"):
            for axis in (0, 1, -1, (0, 1)):
                value = ast.parse(repr(axis), mode="eval").body
                if ast.dump(value) != ast.dump(keyword.value):
                    named = [ast.keyword(keyword.arg, value), *rest]
                    yield "axis", node, ast.Call(node.func, node.args, named)
        if keyword.arg in ("keepdims", "keepdim"):
            yield "keepdims", node, ast.Call(node.func, node.args, rest)
    if name in ("sum", "mean") and isinstance(node.func, ast.Attribute):
        other = ast.Attribute(node.func.value, "mean" if name == "sum" else "sum", ast.Load())
        yield "sum for mean", node, ast.Call(other, node.args, node.keywords)
    if name == "range":
        last = node.args[-1]
        for op in (ast.Sub(), ast.Add()):
            args = [*node.args[:-1], ast.BinOp(last, op, ast.Constant(1))]
            yield "bounds", node, ast.Call(node.func, args, [])
        if len(node.args) == 1:
            yield "bounds", node, ast.Call(node.func, [ast.Constant(1), *node.args], [])
    if name == "reversed":
        yield "direction", node, node.args[0]
    if name in ("transpose", "reshape") and isinstance(node.func, ast.Attribute):
        yield "layout", node, node.func.value
        if name == "transpose" and len(node.args) >= 3:
            for a, b in itertools.combinations(range(len(node.args)), 2):
                args = list(node.args)
                args[a], args[b] = args[b], args[a]
                yield "layout", node, ast.Call(node.func, args, [])
    if name == "einsum":
        text = str(node.args[0].value)
        inputs, _, output = text.partition("->")
        for a, b in itertools.combinations(range(len(output)), 2):
            new = list(output)
            new[a], new[b] = new[b], new[a]
            swapped = ast.Constant(f"{inputs}->{''.join(new)}")
            yield "layout", node, ast.Call(node.func, [swapped, *node.args[1:]], [])


def _whole(page: Page, function: ast.FunctionDef, s: ast.stmt, lines) -> Iterator[Mutant]:
    rows = page.text.splitlines(keepends=True)

    def text(new: str) -> str:
        indent = " " * s.col_offset
        return "".join([*rows[: s.lineno - 1], f"{indent}{new}\n", *rows[s.end_lineno :]])

    before = ast.unparse(s)
    if isinstance(s, ast.AugAssign):
        new = f"{ast.unparse(s.target)} = {ast.unparse(s.value)}"
        yield Mutant("= for +=", lines, before, new, text(new))
    if isinstance(s, ast.Assign | ast.AugAssign | ast.Expr):
        if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant):
            return
        near = {s.lineno - 1, s.lineno, s.lineno + 1}
        target = s.targets[0] if isinstance(s, ast.Assign) else getattr(s, "target", None)
        base = _base(target)
        for other in ast.walk(function):
            if isinstance(other, ast.Assign | ast.AugAssign):
                targets = other.targets if isinstance(other, ast.Assign) else [other.target]
                if base and any(_base(t) == base for t in targets):
                    near |= set(range(other.lineno, other.end_lineno + 1))
        yield Mutant("statement dropped", frozenset(near), before, "pass", text("pass"))


def _base(target: ast.AST | None) -> str:
    while isinstance(target, ast.Subscript):
        target = target.value
    return ast.unparse(target) if target is not None else ""
