"""Single edits of an expression, from simple to less simple.

Each is a pair (cost, expression that takes the node's place). Costs order the candidates: a slip of
one character comes before a factor put in, and that before a whole term. Nothing here decides
whether an edit is right: that takes a run.
"""

import ast
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from autocnn.gradcheck.source.scope import Atom, Scope

__all__ = ["Candidate", "expression_edits", "negated", "term_edits"]

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
_REDUCE = ("sum", "mean", "max", "min", "prod")
_PARTNERS = (
    ("exp", "log"), ("sin", "cos"), ("maximum", "minimum"), ("zeros_like", "ones_like"),
    ("zeros", "ones"), ("argmax", "argmin"), ("sqrt", "square"), ("tanh", "sinh", "cosh"),
    ("floor", "ceil"), ("log", "log1p"), ("exp", "expm1"), ("subtract", "add"),
    ("multiply", "divide"), ("inner", "outer", "dot"), ("cumsum", "cumprod"),
)  # fmt: skip


def negated(node: ast.expr) -> ast.expr:
    """-node."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return node.operand
    return ast.UnaryOp(ast.USub(), node)


def _bin(left: ast.expr, op: type[ast.operator], right: ast.expr) -> ast.expr:
    return ast.BinOp(left, op(), right)


def expression_edits(
    node: ast.expr, value: Any, scope: Scope | None, stage: int = 0
) -> Iterator[Candidate]:
    """Edits of one node. `value` is what the node yields (None where unknown), `scope` what is in
    reach there (None inside a comprehension). Stage 0 holds slips, stage 1 factors and functions
    that are put in."""
    if stage == 0:
        yield from _own(node)
        if _numeric(value) or value is None:
            yield 1.2, negated(node)
        if scope is not None and _numeric(value):
            yield from _exchanges(node, value, scope)
            if type(value) is int and not isinstance(node, ast.Constant):
                yield 1.2, _bin(node, ast.Add, ast.Constant(1))
                yield 1.2, _bin(node, ast.Sub, ast.Constant(1))
            if len(np.shape(value)) == 2:
                yield 1.0, ast.Attribute(node, "T", ast.Load())
    elif scope is None or not _numeric(value):
        return
    elif stage == 1:
        yield from _derived_exchanges(node, value, scope)
        yield from _factors(node, value, scope)
        yield from _wrappers(node, value, scope)
        yield from _inner_terms(node, value, scope)
    else:
        yield from _harvests(node, value, scope)


def _inner_terms(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """A variable added or subtracted."""
    shape = np.shape(value)
    for atom in scope.atoms:
        if type(atom.value) is not int and _broadcasts(atom.value, shape):
            yield 1.6 + 0.2 * atom.rank, _bin(node, ast.Add, atom.node)
            yield 1.6 + 0.2 * atom.rank, _bin(node, ast.Sub, atom.node)


def _harvests(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """An expression of the author's, from elsewhere in the code and perhaps with other names, as a
    term, as a factor, or in the node's place."""
    shape = np.shape(value)
    for cost, found, there in harvested(scope):
        if not _broadcasts(there, shape) and shape:
            continue
        yield cost, _bin(node, ast.Add, found)
        yield cost, _bin(node, ast.Sub, found)
        yield cost, _bin(node, ast.Mult, found)
        yield cost + 0.2, _bin(node, ast.Div, found)
        if np.shape(there) == shape or not shape:
            yield cost + 0.1, found


def harvested(scope: Scope) -> list[tuple[float, ast.expr, Any]]:
    """(cost, expression, value) for expressions of the author's code that have a value here, as
    they are and with one or two names exchanged for others of the same shape."""
    if "harvest" in scope.cache:
        return scope.cache["harvest"]
    found: dict[str, tuple[float, ast.expr, Any]] = {}
    by_shape: dict[tuple, list[Atom]] = {}
    for atom in scope.atoms:
        if isinstance(atom.node, ast.Name) and hasattr(atom.value, "shape"):
            by_shape.setdefault(np.shape(atom.value), []).append(atom)

    def add(cost: float, node: ast.expr) -> None:
        text = ast.unparse(node)
        if text in found or len(found) > 400:
            return
        try:
            value = scope.evaluate(node)
        except Exception:
            return
        if _numeric(value) and hasattr(value, "shape"):
            found[text] = cost, node, value

    inside = {id(n) for n in ast.walk(scope.function)}
    nodes = [
        n
        for n in ast.walk(scope.unit.node)
        if isinstance(n, ast.BinOp | ast.Call | ast.UnaryOp | ast.Compare)
        and sum(1 for _ in ast.walk(n)) <= 40
    ]
    nodes.sort(key=lambda n: id(n) not in inside)
    for node in nodes:
        add(2.2 if id(node) in inside else 2.3, ast.parse(ast.unparse(node), mode="eval").body)
    shapes = {
        a.node.id: np.shape(a.value)
        for group in by_shape.values()
        for a in group
        if isinstance(a.node, ast.Name)
    }
    for node in nodes:
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in shapes]
        for old in dict.fromkeys(names):
            for new, shape in shapes.items():
                if new != old and shape == shapes[old]:
                    pairs = _alike(old, new, names, shapes)
                    text = ast.unparse(_renamed(node, pairs))
                    add(2.3 + 0.1 * len(pairs), ast.parse(text, mode="eval").body)
                    if len(pairs) > 1:
                        text = ast.unparse(_renamed(node, {old: new}))
                        add(2.4, ast.parse(text, mode="eval").body)
    scope.cache["harvest"] = list(found.values())
    return scope.cache["harvest"]


def _alike(old: str, new: str, names: list[str], shapes: dict[str, tuple]) -> dict[str, str]:
    """The exchange of one name for another, carried over to the names that contain it: with x -> y
    goes nx -> ny, with dq -> dk goes wq -> wk."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    a, b = old[start : len(old) - end], new[start : len(new) - end]
    pairs = {old: new}
    for name in dict.fromkeys(names):
        other = name.replace(a, b) if a else name
        if name != old and other != name and shapes.get(other) == shapes.get(name):
            pairs[name] = other
    return pairs


def _renamed(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, ast.Name):
        return ast.Name(names.get(node.id, node.id), node.ctx)
    fields = {
        k: _renamed(v, names)
        if isinstance(v, ast.AST)
        else [_renamed(i, names) if isinstance(i, ast.AST) else i for i in v]
        if isinstance(v, list)
        else v
        for k, v in ast.iter_fields(node)
    }
    return type(node)(**fields)


def _numeric(value: Any) -> bool:
    return (
        isinstance(value, float | np.floating)
        or (type(value) is int)
        or (hasattr(value, "dtype") and hasattr(value, "shape"))
    )


def _own(node: ast.expr) -> Iterator[Candidate]:
    """Edits that need to know nothing but the node."""
    if isinstance(node, ast.BinOp):
        for cost, op in _OPS.get(type(node.op), ()):
            yield cost, _bin(node.left, op, node.right)
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
        yield from _called(node)


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
        body = _receiver(inner)
        if body is not None:
            joined = ast.BinOp(outer, node.op, body) if first else ast.BinOp(body, node.op, outer)
            yield 1.2, _with_receiver(inner, joined)
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


def _receiver(node: ast.expr) -> ast.expr | None:
    """x of x.sum(...), np.sum(x, ...)."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr not in _REDUCE:
        return None
    if isinstance(node.func.value, ast.Name) and node.func.value.id in (
        "np",
        "numpy",
        "jnp",
        "torch",
    ):
        return node.args[0] if node.args else None
    return node.func.value


def _with_receiver(call: Any, new: ast.expr) -> ast.expr:
    if isinstance(call.func.value, ast.Name) and call.func.value.id in (
        "np",
        "numpy",
        "jnp",
        "torch",
    ):
        return ast.Call(call.func, [new, *call.args[1:]], call.keywords)
    return ast.Call(ast.Attribute(new, call.func.attr, ast.Load()), call.args, call.keywords)


def _called(node: ast.Call) -> Iterator[Candidate]:
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")

    def renamed(new: str) -> ast.expr:
        called = (
            ast.Attribute(func.value, new, ast.Load())
            if isinstance(func, ast.Attribute)
            else ast.Name(new, ast.Load())
        )
        return ast.Call(called, node.args, node.keywords)

    if name in _REDUCE:
        for other in _REDUCE:
            if other != name:
                yield (1.0 if {name, other} == {"sum", "mean"} else 1.5), renamed(other)
        yield from _axes(node)
    for group in _PARTNERS:
        if name in group:
            yield from ((1.4, renamed(other)) for other in group if other != name)
    receiver = _receiver(node)
    if receiver is not None:
        yield 1.5, receiver
    elif isinstance(func, ast.Attribute) and name in (
        "transpose",
        "reshape",
        "ravel",
        "copy",
        "clip",
        "swapaxes",
        "squeeze",
        "flatten",
    ):
        yield 1.2, func.value
    elif len(node.args) == 1 and not node.keywords:
        yield 1.5, node.args[0]
    if name == "einsum" and node.args and isinstance(node.args[0], ast.Constant):
        for cost, text in _subscripts(str(node.args[0].value)):
            yield cost, ast.Call(func, [ast.Constant(text), *node.args[1:]], node.keywords)
    if name in ("transpose", "swapaxes", "moveaxis", "permute", "reshape", "view"):
        yield from _orders(node)
    if name == "where" and len(node.args) == 3:
        yield 1.1, ast.Call(func, [node.args[0], node.args[2], node.args[1]], node.keywords)
    elif len(node.args) >= 2 and name not in _REDUCE:
        for a, b in itertools.combinations(range(min(len(node.args), 4)), 2):
            swapped = list(node.args)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            yield 1.4, ast.Call(func, swapped, node.keywords)


def _axes(node: ast.Call) -> Iterator[Candidate]:
    """Other axes, and keepdims turned on or off."""
    word = "dim" if any(k.arg in ("dim", "keepdim") for k in node.keywords) else "axis"
    keep = "keepdim" if word == "dim" else "keepdims"
    positional = (
        1
        if isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("np", "numpy", "jnp", "torch")
        else 0
    )
    others = [k for k in node.keywords if k.arg not in (word, keep)]
    now = next((k.value for k in node.keywords if k.arg == word), None)
    if now is None and len(node.args) > positional:
        now = node.args[positional]
    kept = next((k.value for k in node.keywords if k.arg == keep), None)
    choices: list[Any] = [None, 0, 1, 2, 3, -1, -2, (0, 1), (0, 2), (1, 2), (0, 3), (0, 1, 2),
                          (0, 2, 3), (1, 2, 3), (2, 3), (-2, -1)]  # fmt: skip
    here = None if now is None else ast.unparse(now)
    for axes in choices:
        axis_now = here == (None if axes is None else repr(axes))
        for keepdims in (False, True):
            keep_now = (kept is not None and ast.unparse(kept) == "True") == keepdims
            if axis_now and keep_now:
                continue
            if axes is None and keepdims and not (kept is not None and keep_now):
                continue
            cost = 1.0 if axis_now or keep_now else 1.8
            named = list(others)
            args = node.args[:positional]
            if axes is not None:
                shown = ast.parse(repr(axes), mode="eval").body
                if len(node.args) > positional:
                    args = [*args, shown]
                else:
                    named = [ast.keyword(word, shown), *named]
            if keepdims:
                named.append(ast.keyword(keep, ast.Constant(True)))
            yield cost, ast.Call(node.func, args, named)


def _subscripts(text: str) -> Iterator[tuple[float, str]]:
    """Einsum subscripts with two letters of one operand or of the result exchanged."""
    if "->" not in text or "." in text:
        return
    inputs, output = text.replace(" ", "").split("->")
    operands = [*inputs.split(","), output]
    for k, letters in enumerate(operands):
        for a, b in itertools.combinations(range(len(letters)), 2):
            new = list(letters)
            new[a], new[b] = new[b], new[a]
            changed = [*operands[:k], "".join(new), *operands[k + 1 :]]
            yield 1.1, ",".join(changed[:-1]) + "->" + changed[-1]
        for a, letter in enumerate(letters):
            for other in sorted(set("".join(operands))):
                if other != letter and (k < len(operands) - 1 or other not in letters):
                    new = list(letters)
                    new[a] = other
                    changed = [*operands[:k], "".join(new), *operands[k + 1 :]]
                    yield 1.3, ",".join(changed[:-1]) + "->" + changed[-1]


def _orders(node: ast.Call) -> Iterator[Candidate]:
    """Two arguments exchanged, or two entries of the tuple that is the argument."""
    for k, argument in enumerate(node.args):
        if isinstance(argument, ast.Tuple):
            for new in _swapped(argument.elts):
                args = list(node.args)
                args[k] = ast.Tuple(new, ast.Load())
                yield 1.1, ast.Call(node.func, args, node.keywords)
    for new in _swapped(node.args):
        yield 1.1, ast.Call(node.func, new, node.keywords)
    numbers = [a for a in node.args if isinstance(a, ast.Constant)]
    if len(numbers) == len(node.args) and 3 <= len(numbers) <= 4:
        for order in itertools.permutations(range(len(numbers))):
            args: list[ast.expr] = [ast.Constant(n) for n in order]
            yield 1.2, ast.Call(node.func, args, node.keywords)


def _swapped(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for a, b in itertools.combinations(range(len(items)), 2):
        new = list(items)
        new[a], new[b] = new[b], new[a]
        yield new


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
        for new_items in _swapped(items):
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
                options = [(1.1, None), (1.1, _bin(bound, ast.Add, one)), (1.1, negated(bound))]
                options.append((1.1, _bin(bound, ast.Sub, one)))
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
        yield 1.1, _bin(item, ast.Add, one)
        yield 1.1, _bin(item, ast.Sub, one)
        if isinstance(item, ast.BinOp):
            yield 1.0, item.left
        if isinstance(item, ast.Constant):
            yield from ((1.0, _constant(n)) for n in range(-2, 4) if n != item.value)


def _exchanges(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """Another name of the same shape in this one's place."""
    shape, text = np.shape(value), ast.unparse(node)
    simple = isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
    if not simple and len(shape) < 1:
        return
    for atom in scope.atoms:
        if np.shape(atom.value) == shape and ast.unparse(atom.node) != text:
            yield (1.0 if simple else 1.9) + 0.2 * atom.rank, atom.node
    if simple:
        for atom in scope.atoms:
            if np.shape(atom.value) != shape:
                far = 0.0 if np.ndim(atom.value) == len(shape) else 0.1
                yield 1.5 + far + 0.2 * atom.rank, atom.node


def _derived_exchanges(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """What is one step from a variable in the place of the node."""
    shape, simple = np.shape(value), isinstance(node, ast.Name | ast.Attribute | ast.Subscript)
    for cost, new, there in derived(scope):
        if np.shape(there) == shape and shape:
            yield cost + (0.4 if simple else 0.9), new


def derived(scope: Scope) -> list[tuple[float, ast.expr, Any]]:
    """(cost, expression, value) of what is one step from a variable: 1 - v, v * v, 1 - v * v ..."""
    if "derived" not in scope.cache:
        found = []
        one = ast.Constant(1)
        numpy = scope.numpy
        for atom in scope.atoms:
            v, n = atom.value, atom.node
            if (
                isinstance(v, bool)
                or not hasattr(v, "shape")
                or (hasattr(v, "dtype") and str(v.dtype) == "bool")
            ):
                continue
            forms = [
                (1.0, _bin(one, ast.Sub, n), lambda v=v: 1 - v),
                (1.0, _bin(n, ast.Pow, ast.Constant(2)), lambda v=v: v**2),
                (1.2, _bin(one, ast.Sub, _bin(n, ast.Pow, ast.Constant(2))), lambda v=v: 1 - v**2),
                (1.2, _bin(n, ast.Mult, _bin(one, ast.Sub, n)), lambda v=v: v * (1 - v)),
                (1.2, _bin(one, ast.Add, n), lambda v=v: 1 + v),
                (1.0, ast.Compare(n, [ast.Gt()], [ast.Constant(0)]), lambda v=v: v > 0),
                (1.4, _bin(n, ast.Pow, ast.Constant(3)), lambda v=v: v**3),
            ]
            if numpy and not hasattr(v, "detach"):
                for name in ("exp", "sqrt", "tanh", "log", "sign", "cos", "sin"):
                    call = ast.Call(
                        ast.Attribute(ast.Name(numpy, ast.Load()), name, ast.Load()), [n], []
                    )
                    forms.append((1.3, call, lambda v=v, f=name: getattr(np, f)(v)))
            for cost, node, make in forms:
                try:
                    found.append((cost + 0.2 * atom.rank, node, make()))
                except Exception:
                    continue
        scope.cache["derived"] = found
    return scope.cache["derived"]


def _broadcasts(small: Any, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(np.shape(small), shape) == shape
    except ValueError:
        return False


def _factors(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """The node times, or divided by, something that broadcasts into it."""
    shape = np.shape(value)
    options = [(1.4 + 0.2 * a.rank, a.node, a.value) for a in scope.atoms]
    options += [(1.6 + 0.2 * a.rank, a.node, a.value) for a in scope.sizes()]
    options += [(1.7, a.node, a.value) for a in scope.constants() if a.value != 1]
    options += [(0.8 + cost, new, there) for cost, new, there in derived(scope)]
    if scope.numpy:
        root = ast.Attribute(ast.Name(scope.numpy, ast.Load()), "sqrt", ast.Load())
        options += [
            (1.9, ast.Call(root, [a.node], []), float(np.sqrt(a.value)))
            for a in [*scope.atoms, *scope.sizes()]
            if type(a.value) is int and a.value > 1
        ]
    for cost, new, there in options:
        if not _broadcasts(there, shape):
            if shape and not _broadcasts(value, np.shape(there)):
                continue
            cost += 0.1  # a number, or an axis of length one, that should have been longer
        if hasattr(there, "dtype") and str(there.dtype).endswith("bool"):
            yield cost, _bin(node, ast.Mult, new)
            continue
        yield cost, _bin(node, ast.Mult, new)
        yield cost + 0.1, _bin(node, ast.Div, new)


def _wrappers(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """A transpose, a power, 1 - it, a sum or mean over axes put around the node."""
    shape = np.shape(value)
    yield 1.9, _bin(ast.Constant(1), ast.Sub, node)
    yield 1.9, _bin(node, ast.Pow, ast.Constant(2))
    yield 2.1, _bin(ast.Constant(1), ast.Div, node)
    if scope.numpy and not hasattr(value, "detach"):
        for name in ("sqrt", "exp", "log", "abs", "tanh"):
            f = ast.Attribute(ast.Name(scope.numpy, ast.Load()), name, ast.Load())
            yield 2.2, ast.Call(f, [node], [])
    for atom in scope.atoms if len(shape) and not hasattr(value, "detach") else ():
        other = np.shape(atom.value)
        if other != shape and math.prod(other) == math.prod(shape) and atom.rank <= 0.5:
            target = ast.Attribute(atom.node, "shape", ast.Load())
            yield 1.4, ast.Call(ast.Attribute(node, "reshape", ast.Load()), [target], [])
    if len(shape) >= 3:
        swap = ast.Attribute(node, "swapaxes", ast.Load())
        yield 1.3, ast.Call(swap, [ast.Constant(1), ast.Constant(2)], [])
    tensor = hasattr(value, "detach")
    for name in ("sum", "mean") if shape else ():
        method = ast.Attribute(node, name, ast.Load())
        for axis in [*range(len(shape)), None]:
            word = "dim" if tensor else "axis"
            named = [] if axis is None else [ast.keyword(word, ast.Constant(axis))]
            yield 1.8, ast.Call(method, [], named)
            if axis is not None:
                keep = ast.keyword("keepdim" if tensor else "keepdims", ast.Constant(True))
                yield 1.7, ast.Call(method, [], [*named, keep])


def term_edits(scope: Scope, shape: tuple[int, ...]) -> Iterator[tuple[float, ast.expr, Any]]:
    """(cost, term, value) of terms that could be added to an expression of this shape: variables,
    what is one step from them, products of two of them."""
    singles: list[Atom] = [a for a in scope.atoms if _broadcasts(a.value, shape)]
    for a in singles:
        yield 1.6 + 0.2 * a.rank, a.node, a.value
    for cost, node, there in derived(scope):
        if np.shape(there) == shape:
            yield 1.2 + cost, node, there
    for cost, node, there in products(scope, shape):
        yield cost, node, there
    for a, b in itertools.permutations(scope.atoms, 2):
        if a.rank > 0.3 or b.rank > 0.3 or np.ndim(a.value) < 2 or np.ndim(b.value) < 2:
            continue
        for left, right in ((a.node, b.node), (a.node, _t(b.node)), (_t(a.node), b.node)):
            yield 2.4, _bin(left, ast.MatMult, right), None


def products(scope: Scope, shape: tuple[int, ...]) -> Iterator[tuple[float, ast.expr, Any]]:
    """Products of two or three variables that have this shape."""
    singles = [a for a in scope.atoms if _broadcasts(a.value, shape)]
    near = [a for a in singles if a.rank <= 0.3][:14]
    for count, group in ((2, singles), (3, near)):
        for some in itertools.combinations_with_replacement(group, count):
            node, value = some[0].node, some[0].value
            for a in some[1:]:
                node = _bin(node, ast.Mult, a.node)
                value = value * a.value
            if np.shape(value) == shape:
                yield 1.2 + 0.5 * count + 0.1 * sum(a.rank for a in some), node, value


def _t(node: ast.expr) -> ast.expr:
    return ast.Attribute(node, "T", ast.Load())
