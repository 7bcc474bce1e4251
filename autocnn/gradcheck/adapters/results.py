"""What checked functions hand back in less usual ways: partials, generators, gradients in an order
that the return statement names."""

import ast
import copy
import functools
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import random_streams
from autocnn.gradcheck.adapters.arguments import positional
from autocnn.gradcheck.outputs import means

__all__ = [
    "CACHES",
    "InNamedOrder",
    "by_names",
    "of_generator",
    "returns_gradients",
    "through_partials",
    "with_fresh_contexts",
]

#: What people call that which forward keeps for backward.
CACHES = frozenset(
    [
        "cache", "caches", "ctx", "context", "saved", "tape", "memory", "mem", "tmp", "residuals",
        "res", "residual", "stored", "saved_tensors", "intermediates", "stash",
    ]
)  # fmt: skip


def through_partials(transform: Callable[[Callable], Callable]) -> Callable[[Callable], Callable]:
    """`transform` that reaches the function inside a functools.partial."""

    def apply(f: Callable) -> Callable:
        if isinstance(f, functools.partial):
            return functools.partial(apply(f.func), *f.args, **f.keywords)
        return transform(f)

    return apply


def with_fresh_contexts(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments with a copy of each object in which forward keeps something for backward."""
    return {n: copy.deepcopy(v) if n.lower() in CACHES else v for n, v in given.items()}


def by_names(backward: Callable, given: dict[str, Any], count: int) -> Callable | None:
    """(dy, cache) -> gradients for a backward whose parameters are called as forward's are, cache,
    or else are the gradients of the `count` outputs: back_prop(params, cache, dy). None where
    they do not fit."""
    read = positional(backward)
    if read is None or read[1]:
        return None
    names = [p.name for p in read[0] if p.default is p.empty or p.name in given]
    kinds = ["given" if n in given else "cache" if n.lower() in CACHES else "dy" for n in names]
    if kinds.count("dy") != count or kinds.count("cache") > 1 or "given" not in kinds:
        return None

    def call(dy: Any, cache: Any) -> Any:
        parts = iter(dy if count > 1 else (dy,))
        values = {"cache": lambda n: cache, "given": given.get, "dy": lambda n: next(parts)}
        return backward(**{n: values[kind](n) for n, kind in zip(names, kinds, strict=True)})

    return call


def of_generator(result: Any) -> tuple[Any, Callable]:
    """(y, backward) of a generator that yields y, is sent dy, and yields or returns gradients."""
    y = next(result)

    def backward(dy: Any) -> Any:
        try:
            return result.send(dy)
        except StopIteration as stop:
            if stop.value is None:
                raise RuntimeError("the generator has ended without gradients") from None
            return stop.value

    return y, backward


def returns_gradients(f: Callable, arrays: dict[str, Any]) -> bool:
    """Does a function of tensors return `(y, backward)`, or a loss with gradients by hand? These
    are in a dict with the arguments' names, or have the arguments' shapes and are called gradients
    in the return statement, or point where the library's own gradient does; other outputs are
    differentiated by the library."""
    try:
        with random_streams.keep():
            result = f(**copy.deepcopy(arrays))
    except Exception:  # the call that is checked will raise it again and be reported
        return False
    if not isinstance(result, tuple) or len(result) < 2:
        return False
    if callable(result[-1]):
        return True
    loss, *gradients = result
    if tuple(getattr(loss, "shape", (0,))) != ():
        return False
    if len(gradients) == 1 and isinstance(gradients[0], dict):
        return all(any(means(str(k), n) for n in arrays) for k in gradients[0])
    gradients = [g for part in gradients for g in (part if isinstance(part, tuple) else (part,))]
    shapes = [tuple(getattr(a, "shape", (-1,))) for a in arrays.values()]
    if any(g is not None and tuple(getattr(g, "shape", (-2,))) not in shapes for g in gradients):
        return False
    return _says_gradient(f, arrays) or _is_like_gradient(f, arrays, gradients[0])


def _says_gradient(f: Callable, arrays: dict[str, Any]) -> bool:
    """Does each part of the return statement after the first hold a name like grad or dx?"""
    parts = _last_return(getattr(f, "__code__", None))
    words = [{n.id for n in ast.walk(p) if isinstance(n, ast.Name)} for p in parts[1:]]
    return bool(words) and all(
        any("grad" in n.lower() or any(means(n, a) for a in arrays) for n in some) for some in words
    )


def _is_like_gradient(f: Callable, arrays: dict[str, Any], first: Any) -> bool:
    """Is the first array returned beside a loss within 60 degrees of the loss's gradient, or of its
    opposite?"""
    given = copy.deepcopy(arrays)
    shape = tuple(getattr(first, "shape", ()))
    fits = [
        a for a in given.values()
        if tuple(getattr(a, "shape", (-1,))) == shape and hasattr(a, "requires_grad_")
    ]  # fmt: skip
    try:
        fits[0].requires_grad_(True)
        with random_streams.keep():
            f(**given)[0].backward()
        true, found = (np.asarray(v.detach().cpu()).ravel() for v in (fits[0].grad, first))
        return bool(abs(true @ found) > 0.5 * np.linalg.norm(true) * np.linalg.norm(found))
    except Exception:  # no graph, no gradient: then it is not the library's
        return True


class InNamedOrder:
    """Gradients returned in another order than that of the arguments, where the names in the return
    statement say which is which (`return dW, db, dx`) and the arguments' order cannot be meant,
    since shapes differ. `remarks` then has a note."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.shapes = {
            n: np.shape(v)
            for n, v in arguments.items()
            if isinstance(v, np.ndarray | np.floating) and np.asarray(v).dtype.kind == "f"
        }
        self.remarks: list[tuple[str, str]] = []

    def named(self, function: Any, result: Any) -> Any:
        """The gradients by name, or `result` as it is."""
        if not isinstance(result, tuple | list) or len(result) != len(self.shapes):
            return result
        order = self._order(function)
        if order is None or order == list(self.shapes):
            return result
        got = [np.shape(g) for g in result]
        if got == list(self.shapes.values()):
            return result  # the order of the arguments may be meant
        if sum(s == self.shapes[n] for n, s in zip(order, got, strict=True)) <= sum(
            s == t for s, t in zip(got, self.shapes.values(), strict=True)
        ):
            return result
        written = ", ".join(f"d{n}" for n in order)
        message = (
            f"the gradients are returned as {written}, taken by these names; the order of the "
            f"arguments is {', '.join(self.shapes)}"
        )
        if ("note", message) not in self.remarks:
            self.remarks.append(("note", message))
        return dict(zip(order, result, strict=True))

    def _order(self, function: Any) -> list[str] | None:
        names = _returned(getattr(function, "__code__", None))
        found = [next((n for n in self.shapes if means(name, n)), None) for name in names]
        if None in found or len(set(found)) != len(self.shapes):
            return None
        return [str(n) for n in found]


@functools.lru_cache(maxsize=64)
def _returned(code: Any) -> tuple[str, ...]:
    """The names in a function's last `return a, b, c`."""
    items = _last_return(code)
    if not all(isinstance(item, ast.Name) for item in items):
        return ()
    return tuple(item.id for item in items if isinstance(item, ast.Name))


@functools.lru_cache(maxsize=64)
def _last_return(code: Any) -> tuple[ast.expr, ...]:
    """The parts of a function's last `return a, b, c`."""
    if code is None:
        return ()
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError, TypeError, ValueError):
        return ()
    returns = [n for n in ast.walk(tree) if isinstance(n, ast.Return) and n.value is not None]
    last = max(returns, key=lambda n: n.lineno, default=None)
    if last is None or not isinstance(last.value, ast.Tuple | ast.List):
        return ()
    return tuple(last.value.elts)
