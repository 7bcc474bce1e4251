"""Slips: edits that need to know nothing but the expression itself."""

import ast
from collections.abc import Iterator

from autocnn.gradcheck.source.calls import call_edits, receiver_of, swapped, with_receiver

__all__ = ["Candidate", "binary", "index_edits", "negated", "own_edits"]

Candidate = tuple[float, ast.expr]

_OPS = {
    ast.Add: ((1.0, ast.Sub),),
    ast.Sub: ((1.0, ast.Add),),
    ast.Mult: ((1.2, ast.Div), (1.5, ast.Add), (1.6, ast.MatMult), (1.8, ast.Sub)),
    ast.Div: ((1.2, ast.Mult),),
    ast.MatMult: ((1.6, ast.Mult),),
    ast.FloorDiv: ((1.2, ast.Div),),
}
_COMPARE = (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq)


def negated(node: ast.expr) -> ast.expr:
    """-node."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    return ast.UnaryOp(ast.USub(), node)


def binary(left: ast.expr, op: type[ast.operator], right: ast.expr) -> ast.expr:
    """left op right."""
    return ast.BinOp(left, op(), right)


def own_edits(node: ast.expr) -> Iterator[Candidate]:
    """Edits that need to know nothing but the node."""
    if isinstance(node, ast.BinOp):
        for cost, op in _OPS.get(type(node.op), ()):
            yield cost, binary(node.left, op, node.right)
        if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult | ast.Pow):
            yield 1.2, ast.BinOp(node.right, node.op, node.left)
        drop = 1.1 if isinstance(node.op, ast.Mult | ast.Div | ast.Add | ast.Sub) else 1.6
        yield drop, node.left
        if not isinstance(node.op, ast.Div | ast.Pow):
            yield drop, negated(node.right) if isinstance(node.op, ast.Sub) else node.right
            if isinstance(node.op, ast.Sub):
                yield drop + 0.1, node.right
        yield from _regrouped(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield 1.0, node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for op in _COMPARE:
            if not isinstance(node.ops[0], op):
                yield 1.0, ast.Compare(node.left, [op()], node.comparators)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for number in _numbers(node.value):
            yield (1.3 if number in (0, 1) else 1.1), _constant(number)
    elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield 1.0, node.value
    elif isinstance(node, ast.IfExp):
        yield 1.1, ast.IfExp(node.test, node.orelse, node.body)
        yield 1.4, node.body
        yield 1.4, node.orelse
    elif isinstance(node, ast.Subscript):
        yield from _indexed(node)
    elif isinstance(node, ast.Call):
        yield from call_edits(node)


def _numbers(n: float) -> list[float]:
    found = [n + 1, n - 1, -n, 2 * n, n / 2, 0, 1, 2, 0.5, 3, 1 / n if n else 0, n * n]
    whole = [int(v) if isinstance(n, int) and float(v).is_integer() else v for v in found]
    return [v for v in dict.fromkeys(whole) if v != n]


def _constant(number: float) -> ast.expr:
    return negated(ast.Constant(-number)) if number < 0 else ast.Constant(number)


def _regrouped(node: ast.BinOp) -> Iterator[Candidate]:
    """a - b * c <-> (a - b) * c, and x * y.sum(k) <-> (x * y).sum(k)."""
    left, right = node.left, node.right
    if (isinstance(right, ast.BinOp) and type(right.op) is not type(node.op)) or (
        isinstance(right, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div)
    ):
        yield 1.2, ast.BinOp(ast.BinOp(left, node.op, right.left), right.op, right.right)
    if isinstance(left, ast.BinOp) and (
        type(left.op) is not type(node.op) or isinstance(node.op, ast.Sub | ast.Div)
    ):
        yield 1.2, ast.BinOp(left.left, left.op, ast.BinOp(left.right, node.op, right))
    for outer, inner, first in ((left, right, True), (right, left, False)):
        body = receiver_of(inner)
        if body is not None:
            joined = ast.BinOp(outer, node.op, body) if first else ast.BinOp(body, node.op, outer)
            yield 1.2, with_receiver(inner, joined)
    # a * b + c where the factor belongs to the sum, three deep
    if isinstance(left, ast.BinOp) and isinstance(left.right, ast.BinOp):
        deep = left.right
        yield (
            1.6,
            ast.BinOp(
                left.left,
                left.op,
                ast.BinOp(deep.left, deep.op, ast.BinOp(deep.right, node.op, right)),
            ),
        )


def _indexed(node: ast.Subscript) -> Iterator[Candidate]:
    """Other indices: one on, one back, a bound moved or taken away, the order turned round."""

    def put(index: ast.expr) -> ast.expr:
        return ast.Subscript(node.value, index, node.ctx)

    items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for k, item in enumerate(items):
        for cost, new in index_edits(item):
            changed = [*items[:k], new, *items[k + 1 :]]
            yield cost, put(changed[0] if len(changed) == 1 else ast.Tuple(changed, ast.Load()))
    if len(items) > 1:
        for new_items in swapped(items):
            yield 1.1, put(ast.Tuple(new_items, ast.Load()))
    yield 1.6, node.value


def index_edits(item: ast.expr) -> Iterator[Candidate]:
    """Edits of one index or slice."""
    one = ast.Constant(1)
    if isinstance(item, ast.Slice):
        for place in ("lower", "upper"):
            bound = getattr(item, place)
            options: list[tuple[float, ast.expr | None]] = []
            if bound is None:
                options = [(1.2, one), (1.3, negated(one))]
            else:
                options = [(1.1, None), (1.1, binary(bound, ast.Add, one)), (1.1, negated(bound))]
                options.append((1.1, binary(bound, ast.Sub, one)))
                if isinstance(bound, ast.BinOp):
                    options += [(1.1, bound.left)]
            for cost, new in options:
                fields = {"lower": item.lower, "upper": item.upper, "step": item.step}
                yield cost, ast.Slice(**{**fields, place: new})
        step = negated(one) if item.step is None else None
        yield 1.2, ast.Slice(item.lower, item.upper, step)
    elif isinstance(item, ast.Constant) and item.value is None:
        yield 1.2, ast.Slice()
    elif not (isinstance(item, ast.Constant) and not isinstance(item.value, int)):
        yield 1.1, binary(item, ast.Add, one)
        yield 1.1, binary(item, ast.Sub, one)
        if isinstance(item, ast.BinOp):
            yield 1.0, item.left
        if isinstance(item, ast.Constant):
            yield from ((1.0, _constant(n)) for n in range(-2, 4) if n != item.value)
