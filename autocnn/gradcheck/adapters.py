"""The ways in which people write backward passes, each turned into one Problem: closure, pair,
object, plain vjp.
"""

import copy
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.places import arrays_in
from autocnn.gradcheck.problem import CallError, Problem, make_problem

__all__ = ["arrays_in", "closure", "instance", "label_of", "pair", "vjp"]


def label_of(function: Callable) -> str:
    """Return the name by which a report speaks of a function or callable object."""
    return getattr(function, "__name__", type(function).__name__)


def require_callable(f: Any, what: str) -> None:
    """Raise ValueError when `f`, which should be `what`, cannot be called."""
    if not callable(f):
        hint = ": pass the function itself, not what it returned" if isinstance(f, tuple) else ""
        raise ValueError(
            f"expected a function {what}, got {type(f).__name__} {str(f)[:40]!r}{hint}"
        )


def require_arguments(f: Callable, arrays: dict[str, Any]) -> None:
    """Raise ValueError when `f` does not take these names."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # a builtin: the call itself will tell
        return
    try:
        signature.bind(**arrays)
    except TypeError as error:
        takes = ", ".join(map(str, signature.parameters.values())) or "no arguments"
        given = ", ".join(arrays) or "none"
        raise ValueError(f"{label_of(f)} takes ({takes}), got {given}: {error}") from error


def closure(f: Callable, arrays: dict[str, Any]) -> Problem:
    """f(**arrays) -> (y, backward), backward(dy) -> gradients. Also f(**arrays) -> (loss,
    gradients), for dy = 1.
    """
    require_callable(f, "f(**arrays) -> (y, backward)")
    require_arguments(f, arrays)

    def call(function):
        def forward(arguments):
            result = function(**arguments)
            if not isinstance(result, tuple) or len(result) != 2:
                got = (
                    f"a tuple of {len(result)}"
                    if isinstance(result, tuple)
                    else type(result).__name__
                )
                raise CallError(
                    f"{label_of(f)} must return (y, backward) with backward(dy) -> gradients, got {got}"
                )
            y, backward = result
            if callable(backward):
                return y, backward, lambda: arrays_in(backward, "cache")
            if (np.ndim(y) == 0 and not isinstance(y, np.ndarray | str)) or np.shape(y) == ():
                return y, lambda dy: _times(dy, backward), lambda: {}
            raise CallError(
                f"{label_of(f)} returned (y, {type(backward).__name__}): the second part must be a function backward(dy), "
                "or the gradients themselves when y is a scalar loss"
            )

        return forward

    return make_problem(label_of(f), call(f), arrays, call(lift(f)), (f,))


def _times(dy, gradients):
    if isinstance(gradients, dict):
        return {k: dy * np.asarray(g) for k, g in gradients.items()}
    if isinstance(gradients, tuple | list):
        return tuple(None if g is None else dy * np.asarray(g) for g in gradients)
    return dy * np.asarray(gradients)


def pair(forward: Callable, backward: Callable, arrays: dict[str, Any]) -> Problem:
    """forward(**arrays) -> (y, cache) and backward(dy, cache) -> gradients, as in CS231n."""
    require_callable(forward, "forward(**arrays) -> (y, cache)")
    require_callable(backward, "backward(dy, cache) -> gradients")
    require_arguments(forward, arrays)

    def call(function):
        def run_pair(arguments):
            result = function(**arguments)
            if not isinstance(result, tuple) or len(result) != 2:
                raise CallError(
                    f"{label_of(forward)} must return (y, cache), got {type(result).__name__}"
                )
            y, cache = result
            return y, lambda dy: backward(dy, cache), lambda: arrays_in(cache, "cache")

        return run_pair

    return make_problem(
        label_of(forward), call(forward), arrays, call(lift(forward)), (forward, backward)
    )


def vjp(fun: Callable, back: Callable, args: tuple) -> Problem:
    """fun(*args) -> y and back(dy, *args) -> gradients."""
    require_callable(fun, "fun(*args) -> y")
    require_callable(back, "vjp(dy, *args) -> gradients")
    try:
        names = [
            p.name
            for p in inspect.signature(fun).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    names = names[: len(args)] + [f"arg{k}" for k in range(len(names), len(args))]

    def call(function):
        def run_vjp(arguments):
            inputs = [arguments[n] for n in names]
            return function(*inputs), lambda dy: back(dy, *inputs), lambda: {}

        return run_vjp

    return make_problem(
        label_of(fun), call(fun), dict(zip(names, args, strict=True)), call(lift(fun)), (fun, back)
    )


GRADIENT_NAMES = ("d_{}", "d{}", "grad_{}", "{}_grad", "g_{}", "{}_gradient", "g{}")


def instance(layer: Any, x: np.ndarray, others: dict[str, Any]) -> Problem:
    """layer.forward(x) -> y and layer.backward(dy) -> dx, with parameters and their gradients as
    attributes.

    A parameter is a float array attribute (or an entry of layer.params) that has a gradient beside
    it after backward: d_weights, dweights, grad_weights, weights_grad, or grads["weights"]. Each
    call works on a deep copy of the layer.
    """
    if isinstance(layer, type):
        raise ValueError(
            f"{layer.__name__} is a class: pass an object of it, check_object({layer.__name__}(...), x)"
        )
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise ValueError(
                f"{type(layer).__name__} has no method {method}: check_object needs forward(x) and backward(dy)"
            )
    parameters, skipped = _parameters(layer, x, others)
    taken = {"x": x, **{n: _get(layer, n) for n in parameters}, **others}

    def call(lifted):
        def forward(arguments):
            mine = copy.deepcopy(layer)
            for name in parameters:
                _set(mine, name, arguments[name])
            method = lift(mine.forward) if lifted else mine.forward
            y = method(arguments["x"], **{n: arguments[n] for n in others})

            def backward(dy):
                dx = mine.backward(dy)
                dx = dx[0] if isinstance(dx, tuple | list) else dx
                return {"x": dx, **{n: _gradient(mine, n) for n in parameters}}

            return y, backward, lambda: {}

        return forward

    remarks = tuple(
        ("note", f"{n} is a float array without a gradient beside it: taken for a constant")
        for n in skipped
    )
    return make_problem(
        type(layer).__name__,
        call(False),
        taken,
        call(True),
        (),
        remarks=remarks,
        accumulates_in_place=True,
        parameters=frozenset(parameters),
    )


def _holder(layer: Any) -> dict | None:
    return next(
        (
            h
            for h in (getattr(layer, n, None) for n in ("params", "parameters"))
            if isinstance(h, dict)
        ),
        None,
    )


def _get(layer, name):
    holder = _holder(layer)
    return holder[name] if holder and name in holder else getattr(layer, name)


def _set(layer, name, value):
    holder = _holder(layer)
    if holder and name in holder:
        holder[name] = value
    else:
        setattr(layer, name, value)


_ABSENT = object()


def _gradient(layer: Any, name: str, missing=None):
    for holder in (getattr(layer, n, None) for n in ("grads", "gradients", "grad", "d")):
        if isinstance(holder, dict):
            for key in (name, *(t.format(name) for t in GRADIENT_NAMES)):
                if key in holder:
                    return holder[key]
    for template in GRADIENT_NAMES:
        if hasattr(layer, template.format(name)):
            return getattr(layer, template.format(name))
    return missing


def _parameters(layer: Any, x: np.ndarray, others: dict) -> tuple[list[str], list[str]]:
    """Names of the parameters, and of the float arrays that were there before forward but have
    no gradient.
    """
    trial = copy.deepcopy(layer)
    y = trial.forward(np.array(x), **others)
    trial.backward(np.ones_like(y))
    before = {
        n: a for n, a in vars(layer).items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"
    }
    before |= {
        n: a
        for n, a in (_holder(layer) or {}).items()
        if isinstance(a, np.ndarray) and a.dtype.kind == "f"
    }
    gradients = {t.format(n) for n in before for t in GRADIENT_NAMES} & set(before)
    names = [n for n in before if n not in gradients]
    found = [n for n in names if _gradient(trial, n, _ABSENT) is not _ABSENT]
    return found, [n for n in names if n not in found]
