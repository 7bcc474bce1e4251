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

from autocnn.gradcheck.source.harvest import harvested
from autocnn.gradcheck.source.scope import Atom, Scope
from autocnn.gradcheck.source.slips import Candidate, binary, negated, own_edits

__all__ = ["Candidate", "expression_edits", "term_edits"]


def expression_edits(
    node: ast.expr, value: Any, scope: Scope | None, stage: int = 0
) -> Iterator[Candidate]:
    """Edits of one node. `value` is what the node yields (None where unknown), `scope` what is in
    reach there (None inside a comprehension). Stage 0 holds slips, stage 1 factors and functions
    that are put in."""
    if stage == 0:
        yield from own_edits(node)
        if _numeric(value) or value is None:
            yield 1.2, negated(node)
        if scope is not None and _numeric(value):
            yield from _exchanges(node, value, scope)
            if type(value) is int and not isinstance(node, ast.Constant):
                yield 1.2, binary(node, ast.Add, ast.Constant(1))
                yield 1.2, binary(node, ast.Sub, ast.Constant(1))
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
            yield 1.6 + 0.2 * atom.rank, binary(node, ast.Add, atom.node)
            yield 1.6 + 0.2 * atom.rank, binary(node, ast.Sub, atom.node)


def _harvests(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """An expression of the author's, from elsewhere in the code and perhaps with other names, as a
    term, as a factor, or in the node's place."""
    shape = np.shape(value)
    for cost, found, there in harvested(scope):
        if not _broadcasts(there, shape) and shape:
            continue
        yield cost, binary(node, ast.Add, found)
        yield cost, binary(node, ast.Sub, found)
        yield cost, binary(node, ast.Mult, found)
        yield cost + 0.2, binary(node, ast.Div, found)
        if np.shape(there) == shape or not shape:
            yield cost + 0.1, found


def _numeric(value: Any) -> bool:
    return (
        isinstance(value, float | np.floating)
        or (type(value) is int)
        or (hasattr(value, "dtype") and isinstance(getattr(value, "shape", None), tuple))
    )


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
                (1.0, binary(one, ast.Sub, n), lambda v=v: 1 - v),
                (1.0, binary(n, ast.Pow, ast.Constant(2)), lambda v=v: v**2),
                (
                    1.2,
                    binary(one, ast.Sub, binary(n, ast.Pow, ast.Constant(2))),
                    lambda v=v: 1 - v**2,
                ),
                (1.2, binary(n, ast.Mult, binary(one, ast.Sub, n)), lambda v=v: v * (1 - v)),
                (1.2, binary(one, ast.Add, n), lambda v=v: 1 + v),
                (1.0, ast.Compare(n, [ast.Gt()], [ast.Constant(0)]), lambda v=v: v > 0),
                (1.4, binary(n, ast.Pow, ast.Constant(3)), lambda v=v: v**3),
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
            yield cost, binary(node, ast.Mult, new)
            continue
        yield cost, binary(node, ast.Mult, new)
        yield cost + 0.1, binary(node, ast.Div, new)


def _wrappers(node: ast.expr, value: Any, scope: Scope) -> Iterator[Candidate]:
    """A transpose, a power, 1 - it, a sum or mean over axes put around the node."""
    shape = np.shape(value)
    yield 1.9, binary(ast.Constant(1), ast.Sub, node)
    yield 1.9, binary(node, ast.Pow, ast.Constant(2))
    yield 2.1, binary(ast.Constant(1), ast.Div, node)
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
    yield from _spread_terms(scope, shape)
    for a, b in itertools.permutations(scope.atoms, 2):
        if a.rank > 0.3 or b.rank > 0.3 or np.ndim(a.value) < 2 or np.ndim(b.value) < 2:
            continue
        for left, right in ((a.node, b.node), (a.node, _t(b.node)), (_t(a.node), b.node)):
            yield 2.4, binary(left, ast.MatMult, right), None


def _spread_terms(scope: Scope, shape: tuple[int, ...]) -> Iterator[tuple[float, ast.expr, Any]]:
    """Variables that fit after axes of length one are put in, `d[:, None, :]`, and variables and
    products divided by sizes."""
    terms = [(1.6 + 0.2 * a.rank, a.node, a.value) for a in scope.atoms if a.rank <= 0.3]
    terms = [t for t in terms if hasattr(t[2], "shape") and np.shape(t[2])]
    wide = [found for t in terms for found in _widened(*t, shape)]
    yield from wide
    whole = [a for a in [*scope.atoms, *scope.sizes()] if type(a.value) is int and a.value > 1]
    sizes = [(a.node, a.value) for a in whole[:8]]
    sizes += [
        (binary(a.node, ast.Mult, b.node), a.value * b.value)
        for a, b in itertools.combinations(whole[:5], 2)
    ]
    fits = [t for t in terms if np.shape(t[2]) == shape]
    fits += [p for p in products(scope, shape) if p[0] < 2.4][:60]
    for cost, node, value in [*wide, *fits]:
        for size, number in sizes:
            yield cost + 0.4, binary(node, ast.Div, size), value / number


def _widened(
    cost: float, node: ast.expr, value: Any, shape: tuple[int, ...]
) -> Iterator[tuple[float, ast.expr, Any]]:
    """A variable with axes of length one put in so that it broadcasts to `shape`."""
    own = np.shape(value)
    if not len(own) < len(shape) <= 6 or _broadcasts(value, shape):
        return
    for kept in itertools.combinations(range(len(shape)), len(own)):
        if all(shape[k] == n or n == 1 for k, n in zip(kept, own, strict=True)):
            key = tuple(slice(None) if k in kept else None for k in range(len(shape)))
            items: list[ast.expr] = [
                ast.Slice() if k in kept else ast.Constant(None) for k in range(len(shape))
            ]
            index = ast.Tuple(items, ast.Load())
            yield cost + 0.3, ast.Subscript(node, index, ast.Load()), value[key]


def products(scope: Scope, shape: tuple[int, ...]) -> Iterator[tuple[float, ast.expr, Any]]:
    """Products of two or three variables that have this shape."""
    singles = [a for a in scope.atoms if _broadcasts(a.value, shape)]
    near = [a for a in singles if a.rank <= 0.3][:14]
    for count, group in ((2, singles), (3, near)):
        for some in itertools.combinations_with_replacement(group, count):
            node, value = some[0].node, some[0].value
            for a in some[1:]:
                node = binary(node, ast.Mult, a.node)
                value = value * a.value
            if np.shape(value) == shape:
                yield 1.2 + 0.5 * count + 0.1 * sum(a.rank for a in some), node, value


def _t(node: ast.expr) -> ast.expr:
    return ast.Attribute(node, "T", ast.Load())
