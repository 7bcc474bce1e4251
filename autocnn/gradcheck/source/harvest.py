"""Expressions of the author's own code that may belong in another place, with other names."""

import ast
from typing import Any

import numpy as np

from autocnn.gradcheck.source.scope import Atom, Scope

__all__ = ["harvested"]


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
        if hasattr(value, "shape") and hasattr(value, "dtype"):
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
