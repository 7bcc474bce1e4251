"""Trees: nested dicts, lists and tuples of arrays. Parameters, state and gradients are all trees.

The path of a leaf is its keys joined by dots: ``3.main.0.w`` is ``tree[3]["main"][0]["w"]``. Dicts
are traversed in insertion order, which is the order of the layers.

>>> params = [{"w": np.ones((2, 3)), "b": np.zeros(2)}, {}]
>>> [(path, leaf.shape) for path, leaf in leaves(params)]
[('0.w', (2, 3)), ('0.b', (2,))]
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from reference.origin import origin_of, remember

__all__ = [
    "Tree",
    "count",
    "leaves",
    "max_relative_difference",
    "tree_map",
    "unflatten",
    "untracked_tree_map",
]

Tree = Any  # a leaf, or a dict, list or tuple of trees


def leaves(tree: Tree, path: str = "") -> list[tuple[str, Any]]:
    """Return the (path, leaf) pairs of a tree, in order.

    Empty containers have none. A bare array is one leaf with the path ``""``. path: a prefix for
    all paths.
    """
    if isinstance(tree, dict):
        items: Iterable[tuple[Any, Any]] = tree.items()
    elif isinstance(tree, list | tuple):
        items = enumerate(tree)
    else:
        return [(path, tree)]
    prefix = f"{path}." if path else ""
    return [pair for key, branch in items for pair in leaves(branch, f"{prefix}{key}")]


def tree_map(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """Apply ``f(leaf, *leaves of the other trees at the same path)`` to every leaf.

    Returns a tree of the results, with the structure of ``tree``. Raises ValueError that names the
    first path at which the structures differ. What is made of a network's parameters is known to
    ``train`` as parameters of the same network.

    >>> tree_map(lambda a, b: a + b, {"w": 1, "b": [2]}, {"w": 10, "b": [20]})
    {'w': 11, 'b': [22]}
    """
    mapped = untracked_tree_map(f, tree, *rest)
    if (model := origin_of(tree)) is not None:
        remember(mapped, model)
    return mapped


def untracked_tree_map(f: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """``tree_map`` for inner loops: it does not note which network the results belong to."""
    return _map_many(f, (tree, *rest), ()) if rest else _map_one(f, tree)


def unflatten(tree: Tree, values: Iterable[Any]) -> Tree:
    """Return a tree with the structure of ``tree`` and the leaves ``values``, in order.

    The inverse of listing the leaves. ValueError when there are more or fewer values than leaves.
    """
    values = list(values)
    if len(values) != (n := len(leaves(tree))):
        raise ValueError(f"unflatten got {len(values)} values for a tree of {n} leaves")
    remaining = iter(values)
    return _map_one(lambda _: next(remaining), tree)


def count(tree: Tree) -> int:
    """Return how many numbers a tree holds: the sum of its leaves' sizes."""
    return sum(int(np.size(leaf)) for _, leaf in leaves(tree))


def _map_one(f: Callable[[Any], Any], tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {key: _map_one(f, branch) for key, branch in tree.items()}
    if isinstance(tree, list | tuple):
        return _sequence_like(tree, [_map_one(f, branch) for branch in tree])
    return f(tree)


def _map_many(f: Callable[..., Any], trees: Iterable[Tree], path: tuple[Any, ...]) -> Tree:
    tree, *rest = trees
    for other in rest:
        if not _same_container(tree, other):
            raise ValueError(
                f"trees differ at {_path_text(path)}: {_describe(tree)} in one, "
                f"{_describe(other)} in the other"
            )
    if isinstance(tree, dict):
        return {key: _map_many(f, [t[key] for t in (tree, *rest)], (*path, key)) for key in tree}
    if isinstance(tree, list | tuple):
        branches = enumerate(zip(tree, *rest, strict=True))
        return _sequence_like(tree, [_map_many(f, parts, (*path, i)) for i, parts in branches])
    return f(tree, *rest)


def _sequence_like(like: list | tuple, parts: list) -> list | tuple:
    if isinstance(like, list):
        return parts
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _same_container(tree: Tree, other: Tree) -> bool:
    if isinstance(tree, dict):
        return isinstance(other, dict) and tree.keys() == other.keys()
    if isinstance(tree, list | tuple):
        kind = list if isinstance(tree, list) else tuple
        return isinstance(other, kind) and len(other) == len(tree)
    return not isinstance(other, dict | list | tuple)


def _describe(tree: Tree) -> str:
    if isinstance(tree, dict):
        return f"a dict with keys {sorted(map(str, tree))}"
    if isinstance(tree, list | tuple):
        return f"a {type(tree).__name__} of {len(tree)}"
    return "a leaf"


def _path_text(path: tuple[Any, ...]) -> str:
    return f"'{'.'.join(map(str, path))}'" if path else "the root"


def max_relative_difference(tree: Tree, other: Tree) -> float:
    """Return the largest max |a - b| / max |a| over the leaves a of ``tree`` and b of ``other``.

    tree, other: trees of one structure, such as two gradients of one network. A leaf of zeros
    counts as 0 where b is zero too, and as infinite where it is not; NaN anywhere gives NaN. Raises
    ValueError naming the path where the structures differ.

    >>> max_relative_difference({"w": np.array([1.0, 4.0])}, {"w": np.array([1.0, 5.0])})
    0.25
    """
    largest = 0.0

    def compare(a: Any, b: Any) -> None:
        nonlocal largest
        gap, scale = np.abs(a - b).max(initial=0.0), np.abs(a).max(initial=0.0)
        found = np.inf if scale == 0 < gap else gap / (scale or 1.0)
        largest = float(np.maximum(largest, found))  # NaN stays NaN

    untracked_tree_map(compare, tree, other)
    return largest
