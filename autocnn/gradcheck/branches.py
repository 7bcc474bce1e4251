"""Gradients of nested arguments, brought to the leaves of the argument by path.

The gradient of a tree is a tree of the same structure, one with dW for W, or a flat list in the
tree's order. What belongs to no leaf keeps its path, so that a report can say so.
"""

from typing import Any

from autocnn.gradcheck.names import means
from autocnn.gradcheck.pytrees import children, extended, path_steps

__all__ = ["below", "gradients_inside"]


def below(path: str, leaves: tuple[str, ...]) -> list[str]:
    """The leaves inside what stands at a path."""
    return [n for n in leaves if n.startswith((f"{path}.", f"{path}["))]


def _steps(path: str, leaves: tuple[str, ...]) -> dict[str, str]:
    """One step further than `path`: token ("W" or "[0]") -> path."""
    depth = len(path_steps(path)[1])
    found: dict[str, str] = {}
    for name in below(path, leaves):
        token = path_steps(name)[1][depth]
        found[token] = path + (token if token.startswith("[") else f".{token}")
    return found


def gradients_inside(path: str, value: Any, leaves: tuple[str, ...]) -> dict[str, Any]:
    """Gradients of the leaves at or below a path, by leaf name; parts that belong to no leaf by
    their own path."""
    if path in leaves and not isinstance(value, dict):
        return {path: value}
    own = below(path, leaves)
    inside = children(value)
    if inside is None or (not own and path not in leaves):
        return {path: value} if hasattr(value, "dtype") or isinstance(value, float | dict) else {}
    steps = _steps(path, leaves)
    if all(kind == "index" for (kind, _), _ in inside):
        return _from_sequence(path, [v for _, v in inside], steps, own, leaves)
    found: dict[str, Any] = {}
    for step, part in inside:
        token = extended("", step)
        alias = [p for t, p in steps.items() if means(token, t)]
        target = steps.get(token) or (alias[0] if len(alias) == 1 else extended(path, step))
        found |= gradients_inside(target, part, leaves)
    return found


def _from_sequence(path, items: list, steps: dict, own: list[str], leaves) -> dict[str, Any]:
    if not all(token.startswith("[") for token in steps):  # a dict's or a record's, in order
        names = list(steps.values()) if len(items) == len(steps) else own
        names += [f"{path}[{k}]" for k in range(len(names), len(items))]
    else:
        names = [f"{path}[{k}]" for k in range(len(items))]
        if len(items) == len(steps) != len([n for n in names if n in steps.values()]):
            names = list(steps.values())  # gradients of the float entries alone
        elif len(items) == len(own) > len(steps):
            names = own
    found: dict[str, Any] = {}
    for name, item in zip(names, items, strict=False):
        found |= gradients_inside(name, item, leaves)
    return found
