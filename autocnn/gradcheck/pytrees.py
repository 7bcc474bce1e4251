"""Dicts, lists, tuples, named tuples and dataclasses of arrays: their leaves by path, and back.

A path reads as Python does: `params.conv.W` for params["conv"]["W"], `layers[0].b` for
layers[0]["b"] or layers[0].b. The leaves of a tree have its own order: dicts as they were filled,
fields as they were declared. An array that stands in two places is two leaves.
"""

import contextlib
import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = [
    "children",
    "flat_function",
    "flatten",
    "is_container",
    "is_float_leaf",
    "leaves",
    "path_steps",
    "rebuild",
    "tree_map",
]

DEPTH = 40  # containers inside one another, before what lies deeper counts as one leaf

Step = tuple[str, Any]  # ("key", k), ("index", i) or ("field", name)


def children(value: Any) -> list[tuple[Step, Any]] | None:
    """The values one step inside a container, None for a leaf."""
    if isinstance(value, dict):
        return [(("key", k), v) for k, v in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(("field", n), v) for n, v in zip(value._fields, value, strict=True)]
    if isinstance(value, list | tuple):
        return [(("index", i), v) for i, v in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            (("field", f.name), getattr(value, f.name))
            for f in dataclasses.fields(value)
            if hasattr(value, f.name)
        ]
    return None


def is_container(value: Any) -> bool:
    """Is it a dict, list, tuple, named tuple or dataclass?"""
    return children(value) is not None


def extended(name: str, step: Step) -> str:
    """The path one step further: `name.W`, `name[0]`."""
    kind, key = step
    if kind == "index" or not isinstance(key, str) or not key or set(key) & set(".[]"):
        return f"{name}[{key!r}]"
    return f"{name}.{key}" if name else key


def leaves(value: Any, name: str = "", depth: int = DEPTH) -> list[tuple[str, Any]]:
    """(path, value) of all that is no container, `name` standing for the root."""
    inside = children(value) if depth else None
    if inside is None:
        return [(name, value)]
    return [leaf for step, v in inside for leaf in leaves(v, extended(name, step), depth - 1)]


def rebuild(template: Any, values: Iterator[Any], depth: int = DEPTH) -> Any:
    """A tree of the template's structure whose leaves are the next of `values`, in order."""
    inside = children(template) if depth else None
    if inside is None:
        return next(values)
    parts = [rebuild(v, values, depth - 1) for _, v in inside]
    if isinstance(template, dict):
        made = copy.copy(template)
        made.update(zip(template, parts, strict=True))
        return made
    if isinstance(template, tuple):
        kind = type(template)
        if hasattr(template, "_fields"):
            return kind._make(parts)
        return kind(parts)
    if isinstance(template, list):
        return type(template)(parts)
    made = copy.copy(template)
    for (step, _), part in zip(inside, parts, strict=True):
        object.__setattr__(made, step[1], part)  # frozen ones, too
    return made


def tree_map(change: Callable[[Any], Any], value: Any) -> Any:
    """The tree with `change(leaf)` for each leaf."""
    return rebuild(value, iter([change(v) for _, v in leaves(value)]))


def path_steps(path: str) -> tuple[str, list[str]]:
    """("params", ["conv", "[0]"]) for "params.conv[0]": the argument, and the steps in it."""
    steps, start, inside = [], 0, False
    for k, letter in enumerate(path):
        if letter == "]":
            inside = False
        elif letter in ".[" and k and not inside:
            steps.append(path[start:k])
            start = k
        inside |= letter == "["
    steps.append(path[start:])
    return steps[0], [s.removeprefix(".") for s in steps[1:]]


def is_float_leaf(value: Any) -> bool:
    """Is it an array of at least one real or complex float, of NumPy, torch or jax?"""
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and bool(value.size)
    if not is_framework_array(value):
        return False
    kind = str(value.dtype).removeprefix("torch.")
    return kind.startswith(("float", "bfloat", "complex")) and 0 not in tuple(value.shape)


def is_framework_array(value: Any) -> bool:
    """Is it a torch tensor or a jax array?"""
    home = type(value).__module__.partition(".")[0]
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(value, torch.Tensor):
        return True
    return home in ("jax", "jaxlib") and jax is not None and isinstance(value, jax.Array)


def flatten(
    arguments: dict[str, Any],
) -> tuple[dict[str, Any], Callable[[dict[str, Any]], dict[str, Any]]]:
    """Float arrays inside containers as arguments of their own ("params.W"), and the function that
    puts them back into fresh containers."""
    flat: dict[str, Any] = {}
    inside: dict[str, list[tuple[str, bool, Any]]] = {}
    for name, value in arguments.items():
        found = leaves(value, name) if is_container(value) else []
        if not any(is_float_leaf(v) for _, v in found):
            flat[name] = value
            continue
        inside[name] = [(path, is_float_leaf(v), v) for path, v in found]
        flat |= {path: v for path, is_leaf, v in inside[name] if is_leaf}
    if not inside:
        return flat, dict

    def nest(values: dict[str, Any]) -> dict[str, Any]:
        nested = {}
        for name, value in arguments.items():
            if name not in inside:
                nested[name] = values[name]
                continue
            parts = (values[p] if is_leaf else _copied(v) for p, is_leaf, v in inside[name])
            nested[name] = rebuild(value, parts)
        return nested

    return flat, nest


def _copied(value: Any) -> Any:
    """A deep copy of what can be copied."""
    if isinstance(value, int | float | str | bytes | None) or is_framework_array(value):
        return value
    with contextlib.suppress(Exception):  # locks, modules and the like are shared
        return copy.deepcopy(value)
    return value


def flat_function(f: Callable, arrays: dict[str, Any]) -> tuple[Callable, dict[str, Any]]:
    """f of the leaves of its arguments, where torch tensors or jax arrays lie in containers;
    otherwise f and the arguments themselves."""
    inside = [a for a in arrays.values() if is_container(a)]
    if not any(is_framework_array(v) for a in inside for _, v in leaves(a)):
        return f, arrays
    flat, nest = flatten(arrays)

    def flattened(**values: Any) -> Any:
        return f(**nest(values))

    flattened.__name__ = getattr(f, "__name__", type(f).__name__)
    return flattened, flat
