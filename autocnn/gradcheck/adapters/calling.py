"""How a backward function is called: the order and number of its arguments, by its signature."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.adapters.arguments import label_of, positional
from autocnn.gradcheck.adapters.results import CACHES, by_names

__all__ = ["calling", "is_float_output", "only_outputs", "scaled", "vjp_call"]

_UPSTREAM = frozenset(
    [
        "dy",
        "dout",
        "dz",
        "da",
        "g",
        "grad",
        "upstream",
        "dl_dy",
        "dldy",
        "gy",
        "cotangent",
        "v",
        "ybar",
        "dvalues",
    ]
)


def scaled(dy: Any, gradients: Any) -> Any:
    """dy x the gradients of a scalar loss, whatever they are nested in."""
    if isinstance(gradients, dict):
        return {k: scaled(dy, g) for k, g in gradients.items()}
    if isinstance(gradients, tuple | list):
        return tuple(scaled(dy, g) for g in gradients)
    if gradients is None:
        return None
    array = np.asarray(gradients)
    return (dy * array).astype(array.dtype) if array.dtype.kind == "f" else dy * array


def only_outputs(backward: Callable, result: Any) -> bool:
    """Is every part of forward's result an output, for each of which backward takes a gradient
    (dh, dc)? What backward needs besides then lies in the module or an object."""
    read = positional(backward)
    kinds = [getattr(getattr(y, "dtype", None), "kind", "") for y in result]
    if read is None or read[1] or not set(kinds) <= {"f", "c"}:
        return False
    names = [p.name.lower() for p in read[0] if p.default is p.empty]
    return len(names) == len(result) and all(_names_gradient(n) for n in names)


def _names_gradient(name: str) -> bool:
    return name in _UPSTREAM or (name.startswith(("d", "grad")) and name not in ("data", "d"))


def is_float_output(y: Any) -> bool:
    """Is it a float array or number?"""
    return isinstance(y, np.ndarray | np.floating | float) and np.asarray(y).dtype.kind == "f"


def calling(
    backward: Callable, count: int, cache: Any, given: dict[str, Any]
) -> Callable[[Any], Callable]:
    """cache -> (dy -> gradients): the order and number in which backward takes its arguments."""
    read = positional(backward)
    if read is None or read[1]:
        return lambda cache: lambda dy: backward(dy, cache)
    parameters, _ = read
    names = [p.name.lower() for p in parameters]
    required = len([p for p in parameters if p.default is p.empty])
    if names and names[0] in CACHES and len(names) > 1:
        if count > 1 and required == count + 1:
            return lambda cache: lambda dy: backward(cache, *dy)
        return lambda cache: lambda dy: backward(cache, dy)
    if required <= 1 and len(parameters) == 1 and names[0] in CACHES:
        return lambda cache: lambda dy: scaled(dy, backward(cache))
    if count > 1 and required == count + 1:
        return lambda cache: lambda dy: backward(*dy, cache)
    inside = len(cache) if isinstance(cache, tuple | list) else 0
    if inside and required == inside + 1 and required != 2:
        return lambda cache: lambda dy: backward(dy, *cache)
    if count > 1 and inside and required == inside + count:
        return lambda cache: lambda dy: backward(*dy, *cache)
    if required > 2 and (call := by_names(backward, given, count)) is not None:
        return lambda cache: lambda dy: call(dy, cache)
    if len(parameters) < 2 or required > 2:
        cotangents = ", ".join(f"dy{k + 1}" for k in range(count)) if count > 1 else "dy"
        raise ValueError(
            f"{label_of(backward)} takes ({', '.join(p.name for p in parameters)}), and forward "
            f"returned {count} output{'s' * (count > 1)} and a cache: write it as "
            f"{label_of(backward)}({cotangents}, cache)"
        )
    return lambda cache: lambda dy: backward(dy, cache)


def vjp_call(
    back: Callable, given: dict[str, Any], count: int, scalar: bool, label: str
) -> Callable:
    """(dy, arguments) -> gradients, by what `back` takes: (dy, *args), (*args, dy) or, for a
    scalar loss, (*args). `count` is the number of outputs."""
    read, names = positional(back), list(given)
    called = by_names(back, given, count)
    if called is not None and (count > 1 or CACHES & set(names)):
        return lambda dy, nested: called(dy, None)
    if read is None or read[1]:
        return lambda dy, nested: back(dy, *nested.values())
    parameters, _ = read
    required = len([p for p in parameters if p.default is p.empty])
    own = [p.name for p in parameters]
    if len(parameters) >= len(names) + 1 and required <= len(names) + 1:
        last = len(names) > 0 and own[len(names)].lower() in _UPSTREAM and own[0] == names[0]
        if last:
            return lambda dy, nested: back(*nested.values(), dy)
        if required <= len(names) and scalar and own[: len(names)] == names:
            return lambda dy, nested: scaled(dy, back(*nested.values()))
        return lambda dy, nested: back(dy, *nested.values())
    if scalar and len(parameters) >= len(names) >= required:
        return lambda dy, nested: scaled(dy, back(*nested.values()))
    if own and required <= len(own) and set(own[1:]) <= set(names):
        return lambda dy, nested: back(dy, **{n: nested[n] for n in own[1:]})
    if scalar and set(own) <= set(names):
        return lambda dy, nested: scaled(dy, back(**{n: nested[n] for n in own}))
    takes = ", ".join(own) or "nothing"
    raise ValueError(
        f"{label_of(back)} takes ({takes}): beside {label}({', '.join(names)}) -> y it must take "
        f"(dy, {', '.join(names)}), or ({', '.join(names)}) when y is a scalar loss"
    )
