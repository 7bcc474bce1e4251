"""Edits of a call: other axes, another reduction, the arguments in another order."""

import ast
import itertools
from collections.abc import Iterator
from typing import Any

__all__ = ["call_edits", "receiver_of", "swapped", "with_receiver"]

Candidate = tuple[float, ast.expr]
_REDUCE = ("sum", "mean", "max", "min", "prod")
_PARTNERS = (
    ("exp", "log"), ("sin", "cos"), ("maximum", "minimum"), ("zeros_like", "ones_like"),
    ("zeros", "ones"), ("argmax", "argmin"), ("sqrt", "square"), ("tanh", "sinh", "cosh"),
    ("floor", "ceil"), ("log", "log1p"), ("exp", "expm1"), ("subtract", "add"),
    ("multiply", "divide"), ("inner", "outer", "dot"), ("cumsum", "cumprod"),
)  # fmt: skip


def receiver_of(node: ast.expr) -> ast.expr | None:
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


def with_receiver(call: Any, new: ast.expr) -> ast.expr:
    """The call with another array to work on."""
    if isinstance(call.func.value, ast.Name) and call.func.value.id in (
        "np",
        "numpy",
        "jnp",
        "torch",
    ):
        return ast.Call(call.func, [new, *call.args[1:]], call.keywords)
    return ast.Call(ast.Attribute(new, call.func.attr, ast.Load()), call.args, call.keywords)


def call_edits(node: ast.Call) -> Iterator[Candidate]:
    """(cost, call that takes its place) for edits of one call."""
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
    receiver = receiver_of(node)
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
    if name in ("cumsum", "cumprod") and node.args and isinstance(func, ast.Attribute):
        yield from ((1.4, new) for new in _from_the_end(node, func))
    if name == "where" and len(node.args) == 3:
        yield 1.1, ast.Call(func, [node.args[0], node.args[2], node.args[1]], node.keywords)
    elif len(node.args) >= 2 and name not in _REDUCE:
        for a, b in itertools.combinations(range(min(len(node.args), 4)), 2):
            swapped = list(node.args)
            swapped[a], swapped[b] = swapped[b], swapped[a]
            yield 1.4, ast.Call(func, swapped, node.keywords)


def _from_the_end(node: ast.Call, func: ast.Attribute) -> Iterator[ast.expr]:
    """A running sum from the other end: np.flip(np.cumsum(np.flip(x, k), axis=k), k)."""
    if not isinstance(func.value, ast.Name) or func.value.id not in ("np", "numpy", "jnp"):
        return
    axis = next((k.value for k in node.keywords if k.arg == "axis"), None)
    axis = axis or (node.args[1] if len(node.args) > 1 else None)

    def flipped(x: ast.expr) -> ast.expr:
        return ast.Call(
            ast.Attribute(func.value, "flip", ast.Load()), [x, *([axis] if axis else [])], []
        )

    yield flipped(ast.Call(func, [flipped(node.args[0]), *node.args[1:]], node.keywords))


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
            for new in swapped(argument.elts):
                args = list(node.args)
                args[k] = ast.Tuple(new, ast.Load())
                yield 1.1, ast.Call(node.func, args, node.keywords)
    for new in swapped(node.args):
        yield 1.1, ast.Call(node.func, new, node.keywords)
    numbers = [a for a in node.args if isinstance(a, ast.Constant)]
    if len(numbers) == len(node.args) and 3 <= len(numbers) <= 4:
        for order in itertools.permutations(range(len(numbers))):
            args: list[ast.expr] = [ast.Constant(n) for n in order]
            yield 1.2, ast.Call(node.func, args, node.keywords)


def swapped(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """The items with two of them exchanged, for every two."""
    for a, b in itertools.combinations(range(len(items)), 2):
        new = list(items)
        new[a], new[b] = new[b], new[a]
        yield new
