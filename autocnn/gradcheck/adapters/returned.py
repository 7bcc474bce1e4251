"""What an object's backward returns, handed out to its inputs and parameters."""

from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.adapters.parameters import Parameter
from autocnn.gradcheck.outputs import argument_of, means

__all__ = ["Returned", "distribute"]


class Returned(NamedTuple):
    """Gradients by leaf name, and what belongs to no leaf."""

    gradients: dict[str, Any]
    extra: tuple[str, ...] = ()


def distribute(
    result: Any, inputs: list[str], parameters: list[Parameter], given: dict[str, Any]
) -> Returned:
    """Name the parts of what backward returned: an array is the input's gradient; a tuple holds
    those of the inputs, then those of parameters in their order; dicts go by name."""
    names = [p.name for p in parameters]
    inputs = [n for n in inputs if _is_float(given.get(n))]
    found: dict[str, Any] = {}
    if result is None:
        return Returned(found)
    if isinstance(result, dict):
        _by_name(result, inputs, names, found)
        return Returned(found)
    if not isinstance(result, tuple | list):
        if inputs:
            fits = [n for n in inputs if np.shape(given[n]) == np.shape(result)]
            found[fits[0] if fits else inputs[0]] = result
        elif len(names) == 1 and np.shape(given[names[0]]) == np.shape(result):
            found[names[0]] = result
        return Returned(found)
    _from_sequence(list(result), inputs, parameters, given, found)
    return Returned(found)


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.floating) and np.asarray(value).dtype.kind == "f"


def _from_sequence(items: list, inputs, parameters, given, found: dict[str, Any]) -> None:
    waiting, names = list(inputs), [p.name for p in parameters]
    own = [p.name for p in parameters if p.gradient is None] or names
    arrays = [i for i in items if not isinstance(i, dict | tuple | list)]
    rest: list[Any] = []
    for item in items:
        if isinstance(item, dict):
            _by_name(item, inputs, names, found)
        elif isinstance(item, tuple | list):
            rest += _leaves(item, inputs, names, found)
        elif waiting and (
            len(arrays) <= len(waiting) or item is None or _next_is(item, waiting, given)
        ):
            found[waiting.pop(0)] = item
        else:
            rest.append(item)
    left = [n for n in own if n not in found]
    shapes = [np.shape(given[n]) for n in left]
    if [np.shape(r) for r in rest] == shapes:
        found |= dict(zip(left, rest, strict=True))
        return
    for item in rest:
        fits = [n for n in left if n not in found and np.shape(given[n]) == np.shape(item)]
        if fits:
            found[fits[0]] = item
    unmatched = [r for r in rest if not any(r is g for g in found.values())]
    open_names = [n for n in left if n not in found]
    if len(unmatched) == len(open_names):  # wrong shapes: the order is all there is
        found |= dict(zip(open_names, unmatched, strict=True))


def _next_is(item: Any, waiting: list[str], given: dict[str, Any]) -> bool:
    """Is an item the gradient of the next input: by its shape, or since nothing else is known?"""
    return np.shape(item) == np.shape(given[waiting[0]])


def _leaves(items: Any, inputs, names, found) -> list[Any]:
    rest: list[Any] = []
    for item in items:
        if isinstance(item, dict):
            _by_name(item, inputs, names, found)
        elif isinstance(item, tuple | list):
            rest += _leaves(item, inputs, names, found)
        else:
            rest.append(item)
    return rest


def _by_name(grads: dict, inputs: list[str], names: list[str], found: dict[str, Any]) -> None:
    for key, value in grads.items():
        if isinstance(value, dict):
            _by_name(value, inputs, names, found)
            continue
        every = [*names, *inputs]
        match = next((n for n in every if key == n), None)
        match = match or next((n for n in every if means(str(key), n)), None)
        match = match or next(
            (n for n in names if "." in n and means(str(key), n.rsplit(".", 1)[1])), None
        )
        match = match or next(
            (n for n in inputs if argument_of(n) != n and key == n.rsplit(".", 1)[-1]), None
        )
        if match is not None and match not in found:
            found[match] = value
