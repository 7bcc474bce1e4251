"""Checks at a network's door: one ValueError that says what was got and what is needed."""

import math
import numbers
from functools import lru_cache

import numpy as np

__all__ = ["call", "labels", "pair", "share", "whole", "window_shape"]


def whole(value, name, least=1):
    """Return ``value`` as an int of at least ``least``."""
    if type(value) is int and value >= least:
        return value
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int, {least} or more; got {value!r}")
    return int(value)


def pair(value, name, least=1):
    """Return an int or a pair of ints as (vertical, horizontal)."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(f"{name} must be an int or a pair of ints (vertical, horizontal); got {value!r}")
    return whole(both[0], name, least), whole(both[1], name, least)


def window_shape(name, shape, kernel, stride, padding, dilation=(1, 1)):
    """Return (Ho, Wo), the number of windows in images (C, H, W), rounded down."""
    if len(shape) != 3:
        raise ValueError(f"{name} needs images (C, H, W), got shape {tuple(shape)} (no batch); a grey image is (1, H, W)")
    out = []
    for n, k, s, p, d in zip(shape[1:], kernel, stride, padding, dilation, strict=True):
        reach = d * (k - 1) + 1
        if reach > n + 2 * p:
            raise ValueError(
                f"{name}: a window {reach} long does not fit into {n + 2 * p} rows or columns; use a smaller kernel, "
                "more padding or larger images"
            )
        out.append((n + 2 * p - reach) // s + 1)
    return tuple(out)


@lru_cache(maxsize=256)
def _layout(init, shape):
    return init(None, shape)


def _fits(tree, need):
    """Say whether a tree has the layout that is needed."""
    if isinstance(need, dict):
        return isinstance(tree, dict) and tree.keys() == need.keys() and all(_fits(tree[key], need[key]) for key in need)
    if isinstance(need, (list, tuple)):
        return isinstance(tree, (list, tuple)) and len(tree) == len(need) and all(map(_fits, tree, need))
    return isinstance(tree, np.ndarray) and tree.shape == need.shape and tree.dtype.kind in "fc"


def _leaves(tree, path=""):
    """List (path, leaf) pairs."""
    if not isinstance(tree, (dict, list, tuple)):
        return [(path, tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [pair for key, part in items for pair in _leaves(part, f"{path}.{key}" if path else str(key))]


def _shapes(tree, name):
    """Map each leaf's path to its shape; ValueError for a leaf that is no array of floats."""
    for path, leaf in _leaves(tree):
        if getattr(getattr(leaf, "dtype", None), "kind", "O") not in "fc":
            kind = getattr(leaf, "dtype", type(leaf).__name__)
            raise ValueError(f"{name} leaf '{path}' must be an array of floats, got {kind}")
    return {path: leaf.shape for path, leaf in _leaves(tree)}


def call(layer, params, state, x):
    """Check that x is a finite batch that the network accepts and that the trees are its own. Returns the output's shape."""
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fc" or x.ndim < 2 or len(x) == 0:
        got = f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"a batch is floats (N, C, H, W) with N at least 1, got {got}; one image goes in as image[None]")
    out_shape, expected, expected_state = _layout(layer.init, x.shape[1:])
    for name, tree, need in (("params", params, expected), ("state", state, expected_state)):
        if not _fits(tree, need):
            got, need = _shapes(tree, name), _shapes(need, name)
            wrong = [path for path in {**need, **got} if got.get(path) != need.get(path)]
            if wrong:
                why = f"at '{wrong[0]}' it needs {need.get(wrong[0], 'nothing')}, got {got.get(wrong[0], 'nothing')}"
            else:
                why = f"its lists and dicts are others, around the leaves {list(got)}"
            raise ValueError(f"{name} are not this network's: {why}; make them by model.init(key, shape)")
    named = [(f"{name} leaf '{path}'", a) for name, tree in (("params", params), ("state", state)) for path, a in _leaves(tree)]
    for path, a in (("x", x), *named):
        # The sum of squares settles nearly every case; it may overflow, so that a bad one is looked into.
        if not math.isfinite(np.vdot(a, a).real) and not np.isfinite(a).all():
            at = np.argwhere(~np.isfinite(a))[0].tolist()
            raise ValueError(f"{path} must be finite, got {a[tuple(at)]} at {at}")
    return out_shape


def labels(y, n, out_shape):
    """Check that y is n integers in [0, K), K being the network's outputs."""
    y = np.asarray(y)
    if len(out_shape) != 1:
        raise ValueError(f"a loss needs logits (N, K), but the network ends in {out_shape}; end it with dense(classes)")
    if y.dtype.kind not in "iu" or y.shape != (n,):
        raise ValueError(f"labels must be {n} integers, one for each image; got {y.dtype} of shape {y.shape}")
    if y.min() < 0 or y.max() >= out_shape[0]:
        raise ValueError(f"labels must lie in 0..{out_shape[0] - 1} for {out_shape[0]} outputs; got {y.min()}..{y.max()}")


def share(weights, n):
    """Return each image's share w / sum w of the loss, (N,), from what follows the labels in a batch; None for nothing."""
    if not weights:
        return None
    w = np.asarray(weights[0])
    if len(weights) > 1 or w.shape != (n,) or w.dtype.kind not in "iuf":
        got = f"{w.dtype} of shape {w.shape}"
        raise ValueError(f"a batch is (x, labels) or (x, labels, weights), the weights being {n} numbers; got {got}")
    total = w.sum(dtype=np.float64)
    if not (math.isfinite(total) and (w >= 0).all() and total > 0):
        raise ValueError(f"weights must be finite, 0 or more, and not all 0; got {w.min()}..{w.max()} with the sum {total}")
    return w / total
