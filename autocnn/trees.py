"""Trees: nested dicts, lists and tuples whose leaves are arrays; parameters, state and gradients
are all trees.

A leaf's path is its keys joined by dots, so that ``3.main.0.w`` is ``tree[3]["main"][0]["w"]``.
Dicts are walked in insertion order, which is the order in which layers were written down.
"""

import numpy as np

__all__ = ["count", "leaves", "tree_map", "unflatten"]


def leaves(tree, path=""):
    """List the (path, leaf) pairs of a tree, in order. Empty containers have none; a bare array
    has the path ``""``.
    """
    if isinstance(tree, dict):
        items = tree.items()
    elif isinstance(tree, (list, tuple)):
        items = enumerate(tree)
    else:
        return [(path, tree)]
    prefix = f"{path}." if path else ""
    return [pair for key, branch in items for pair in leaves(branch, f"{prefix}{key}")]


def tree_map(f, tree, *rest):
    """Build the tree of ``f(leaf, *leaves_at_the_same_place)``; all trees must have one structure.

    Raises ValueError naming the path at which two structures part.
    """
    return _map(f, (tree, *rest), ()) if rest else _map_one(f, tree)


def _map_one(f, tree):
    if isinstance(tree, dict):
        return {key: _map_one(f, branch) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return _sequence(tree, [_map_one(f, branch) for branch in tree])
    return f(tree)


def _sequence(like, parts):
    if isinstance(like, list):
        return parts
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _map(f, trees, path):
    tree, *rest = trees
    if not isinstance(tree, (dict, list, tuple)):
        for other in rest:
            if isinstance(other, (dict, list, tuple)):
                raise ValueError(
                    f"trees differ at {_at(path)}: a leaf in one, a {_kind(other)} in the other"
                )
        return f(*trees)
    for other in rest:
        if not _alike(tree, other):
            raise ValueError(
                f"trees differ at {_at(path)}: {_kind(tree)} in one, {_kind(other)} in the other"
            )
    if isinstance(tree, dict):
        return {key: _map(f, [t[key] for t in trees], (*path, key)) for key in tree}
    return _sequence(
        tree, [_map(f, branches, (*path, i)) for i, branches in enumerate(zip(*trees, strict=True))]
    )


def _alike(tree, other):
    if isinstance(tree, dict):
        return isinstance(other, dict) and tree.keys() == other.keys()
    kind = list if isinstance(tree, list) else tuple
    return isinstance(other, kind) and len(other) == len(tree)


def _kind(tree):
    if isinstance(tree, dict):
        return f"dict with keys {sorted(map(str, tree))}"
    if isinstance(tree, (list, tuple)):
        return f"{type(tree).__name__} of {len(tree)}"
    return "leaf"


def _at(path):
    return f"'{'.'.join(map(str, path))}'" if path else "the root"


def unflatten(tree, values):
    """Put ``values``, one for each leaf in order, into the structure of ``tree``. The inverse of
    listing the leaves.
    """
    values = list(values)
    feed, end = iter(values), object()
    filled = _map_one(lambda _: next(feed, end), tree)
    if len(values) != (n := len(leaves(tree))):
        raise ValueError(f"unflatten got {len(values)} values for a tree of {n} leaves")
    return filled


def count(tree):
    """Count the numbers in a tree: the sum of its leaves' sizes."""
    return sum(int(np.size(leaf)) for _, leaf in leaves(tree))
