"""Validation of what a network is called with: batches, trees, targets, cotangents."""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np

from reference.arguments import concrete

__all__ = [
    "batch",
    "call",
    "cotangent",
    "example_weights",
    "finite",
    "floats",
    "layout",
    "same_layout",
]


def call(layer, params, state, x, kinds: str = "fc") -> tuple[int, ...]:
    """Check that x is a finite batch that the network accepts and that the trees are its own.

    kinds: the kinds of dtypes that are allowed, "f" for real and "c" for complex numbers.
    Returns the shape of one output.
    """
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise ValueError(
            f"a batch of images must be an array, got {type(x).__name__}; "
            "pass numpy.asarray(images, float)"
        )
    if len(x.shape) < 2 or x.shape[0] == 0:
        raise ValueError(
            f"a batch is (N, C, H, W) with N at least 1, got shape {x.shape}; "
            "one image goes in as image[None]"
        )
    floats("x", x, kinds)
    try:
        out_shape, expected, expected_state = layout(layer.init, tuple(x.shape[1:]))
    except ValueError as error:
        if len(x.shape) != 3:
            raise
        raise ValueError(
            f"{error}; x has shape {tuple(x.shape)}: pass x[None] for one image (C, H, W), "
            "x[:, None] for grey images (N, H, W)"
        ) from None
    finite("x", x)
    for name, tree, need in (("params", params, expected), ("state", state, expected_state)):
        if not _fits(tree, need, kinds):  # find out why, or that it fits after all
            same_layout(name, tree, need, kinds=kinds)
            for path, leaf in _leaves(tree):
                finite(f"{name} leaf '{path}'", leaf)
    return out_shape


def _fits(tree, need, kinds):
    """Whether a tree has the structure of ``need`` and finite arrays of its shapes.

    This is the quick test of every step; a tree that fails it may still be right.
    """
    if type(need) is list:
        same = type(tree) is list and len(tree) == len(need)
        return same and all(map(_fits, tree, need, repeat(kinds)))
    if type(need) is dict:
        same = type(tree) is dict and tree.keys() == need.keys()
        return same and all(map(_fits, map(tree.get, need), need.values(), repeat(kinds)))
    right = type(tree) is np.ndarray and tree.dtype.kind in kinds and tree.shape == need.shape
    return right and math.isfinite(np.vdot(tree, tree).real)


@lru_cache(maxsize=256)  # training asks for the same layout at every step
def layout(init: Any, shape: tuple[int, ...]) -> tuple:
    """Return (out_shape, params, state) of a layer for one shape, without drawing a number."""
    return init(None, shape)


def floats(name: str, a: Any, kinds: str = "fc") -> None:
    """Raise ValueError unless ``a`` is a NumPy array of floating-point numbers."""
    if getattr(getattr(a, "dtype", None), "kind", "O") not in kinds:
        kind = getattr(a, "dtype", type(a).__name__)
        raise ValueError(
            f"{name} must be an array of floats, got {kind}; "
            "convert it by numpy.asarray(..., float)"
        )
    value = concrete(a)
    if not isinstance(value, (np.ndarray, np.generic)) or isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"{name} must be a numpy array, got {type(value).__name__}; "
            "convert it by numpy.asarray(..., float)"
        )


def finite(name: str, a: Any) -> None:
    """Raise ValueError when ``a`` holds NaN or infinity."""
    a = concrete(a)
    # The sum of squares decides nearly every case in one pass, without a temporary array. It may
    # overflow, so an infinite sum is looked into.
    if not math.isfinite(np.vdot(a, a).real) and not np.isfinite(a).all():
        bad = np.argwhere(~np.isfinite(a))
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name or 'the array'} must be finite, got {a[where]} at {list(where)} "
            f"({len(bad)} of {a.size} entries are not finite)"
        )


def same_layout(name: str, tree: Any, need: Any, path: str = "", kinds: str = "fc") -> None:
    """Raise ValueError unless ``tree`` has the structure of ``need`` and floats of its shapes.

    The order of a dict's keys does not matter, nor whether a sequence is a list or a tuple.
    """
    if isinstance(need, dict):
        if not isinstance(tree, dict) or tree.keys() != need.keys():
            raise _mismatch(name, path, f"a dict with the keys {list(need)}", tree)
        for key in need:
            same_layout(name, tree[key], need[key], f"{path}.{key}" if path else str(key), kinds)
    elif isinstance(need, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(need):
            raise _mismatch(name, path, f"a list of {len(need)}", tree)
        for i, part in enumerate(need):
            same_layout(name, tree[i], part, f"{path}.{i}" if path else str(i), kinds)
    elif isinstance(tree, (dict, list, tuple)):
        raise _mismatch(name, path, f"an array of shape {need.shape}", tree)
    else:
        floats(f"{name} leaf '{path}'", tree, kinds)
        if tuple(tree.shape) != need.shape:
            raise _mismatch(name, path, f"shape {need.shape} for this input", tree)


def _mismatch(name, path, needed, got):
    if not path and isinstance(got, tuple) and len(got) == 3 and isinstance(got[0], tuple):
        return ValueError(
            f"{name} are all that init returns: unpack them, out_shape, params, state = "
            "model.init(key, shape)"
        )
    if isinstance(got, dict):
        got = f"a dict with the keys {list(got)}"
    elif isinstance(got, (list, tuple)):
        got = f"a {type(got).__name__} of {len(got)}"
    else:
        got = f"shape {tuple(got.shape)}" if hasattr(got, "shape") else f"{got!r:.40}"
    place = f"leaf '{path}'" if path else "the whole tree"
    return ValueError(
        f"{name} are not this network's: at {place} it needs {needed}, got {got}; "
        "make them by model.init(key, shape) with the shape of one image"
    )


def _leaves(tree, path="") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, (dict, list, tuple)):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _leaves(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, tree


def batch(parts: Any) -> tuple:
    """Return a batch as (x, targets) or (x, targets, weights); x is an array."""
    try:
        x, y, *weights = parts
        if len(weights) > 1:
            raise ValueError
    except (TypeError, ValueError):
        size = f" of {len(parts)}" if isinstance(parts, (tuple, list)) else ""
        raise ValueError(
            f"a batch is a pair (x, labels), got {type(parts).__name__}{size}; "
            "call loss_and_grad(params, state, (x, labels))"
        ) from None
    if not getattr(x, "shape", ()):
        raise ValueError(
            f"a batch of images must be an array, got {type(x).__name__}; "
            "pass numpy.asarray(images, float)"
        )
    return x, y, *weights


def cotangent(dy: Any, y: Any) -> Any:
    """Return ``dy`` as an array of the shape of the output ``y``."""
    found = dy if hasattr(dy, "_value") else np.asarray(dy)
    if found.shape != y.shape or found.dtype.kind not in "fciub":
        raise ValueError(
            f"backward takes dy, floats of the output's shape {y.shape}; "
            f"got {found.dtype} of shape {found.shape}"
        )
    return found


def example_weights(weights: list, n: int) -> np.ndarray | None:
    """Return each example's weight in the loss, w / sum(w), (N,); None for no weights.

    ``weights`` is what follows the targets in a batch: nothing, or one array of N numbers.
    """
    if not weights:
        return None
    w = np.asarray(weights[0])
    if len(weights) > 1 or w.shape != (n,) or w.dtype.kind not in "iuf":
        raise ValueError(
            f"a batch is (x, labels) or (x, labels, weights), the weights being {n} numbers; "
            f"got {w.dtype} of shape {w.shape}"
        )
    total = w.sum(dtype=np.float64)
    if not (math.isfinite(total) and (w >= 0).all() and total > 0):
        raise ValueError(
            "weights must be finite, 0 or more, and not all 0; "
            f"got {w.min()}..{w.max()} with the sum {total}"
        )
    return w / total
