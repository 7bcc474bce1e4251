"""Checks at a network's door: one ValueError that says what was got and what is needed."""

import math
import numbers
from functools import lru_cache, wraps
from itertools import repeat

import numpy as np

__all__ = [
    "batch",
    "call",
    "checked_init",
    "cotangent",
    "labels",
    "pair",
    "real",
    "share",
    "whole",
    "window_shape",
]


def whole(value, name, least=1):
    """Return ``value`` as an int of at least ``least``."""
    if type(value) is int and value >= least:
        return value
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an int, {least} or more; got {value!r}")
    return int(value)


def real(value, name):
    """Return ``value`` as a float; ValueError unless it is a finite real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name} must be a number; got {value!r}")
    return float(value)  # numpy's float64 would widen float32


def pair(value, name, least=1):
    """Return an int or a pair of ints as (vertical, horizontal)."""
    both = value if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ValueError(
            f"{name} must be an int or a pair of ints (vertical, horizontal); got {value!r}"
        )
    return whole(both[0], name, least), whole(both[1], name, least)


def window_shape(name, shape, kernel, stride, padding, dilation=(1, 1)):
    """Return (Ho, Wo), the number of windows in images (C, H, W), rounded down."""
    if len(shape) != 3:
        raise ValueError(
            f"{name} needs images (C, H, W), got shape {tuple(shape)} (no batch); a grey image is (1, H, W)"
        )
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


def _fits(tree, need, kinds):
    """Say whether a tree has the layout that is needed."""
    if isinstance(need, dict):
        alike = isinstance(tree, dict) and tree.keys() == need.keys()
        return alike and all(map(_fits, map(tree.get, need), need.values(), repeat(kinds)))
    if isinstance(need, (list, tuple)):
        return (
            isinstance(tree, (list, tuple))
            and len(tree) == len(need)
            and all(map(_fits, tree, need, repeat(kinds)))
        )
    return _floats(tree, kinds) and tree.shape == need.shape


def _floats(a, kinds):
    """Say whether ``a`` is an array of numbers of these kinds; one with a mask is none."""
    return (
        isinstance(a, np.ndarray) and a.dtype.kind in kinds and not isinstance(a, np.ma.MaskedArray)
    )


def _leaves(tree, path=""):
    """List (path, leaf) pairs."""
    if not isinstance(tree, (dict, list, tuple)):
        return [(path, tree)]
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return [
        pair for key, part in items for pair in _leaves(part, f"{path}.{key}" if path else str(key))
    ]


def _shapes(tree, name, kinds):
    """Map each leaf's path to its shape; ValueError for a leaf that is no array of floats."""
    for path, leaf in _leaves(tree):
        if not _floats(leaf, kinds):
            kind = leaf.dtype if type(leaf) is np.ndarray else type(leaf).__name__
            raise ValueError(f"{name} leaf '{path}' must be an array of floats, got {kind}")
    return {path: leaf.shape for path, leaf in _leaves(tree)}


def call(layer, params, state, x, kinds="fc"):
    """Check that x is a finite batch that the network accepts and that the trees are its own.
    Returns the output's shape.

    ``kinds`` are the kinds of numbers that will do: f real, c complex ones, of which a loss has no
    gradient.
    """
    if not _floats(x, kinds) or x.ndim < 2 or len(x) == 0:
        got = f"{x.dtype} of shape {x.shape}" if type(x) is np.ndarray else type(x).__name__
        raise ValueError(
            f"a batch is floats (N, C, H, W) with N at least 1, got {got}; one image goes in as image[None]"
        )
    out_shape, expected, expected_state = _layout(layer.init, x.shape[1:])
    for name, tree, need in (("params", params, expected), ("state", state, expected_state)):
        if not _fits(tree, need, kinds):
            got, need = _shapes(tree, name, kinds), _shapes(need, name, kinds)
            wrong = [path for path in {**need, **got} if got.get(path) != need.get(path)]
            if wrong:
                why = f"at '{wrong[0]}' it needs {need.get(wrong[0], 'nothing')}, got {got.get(wrong[0], 'nothing')}"
            else:
                why = f"its lists and dicts are others, around the leaves {list(got)}"
            raise ValueError(
                f"{name} are not this network's: {why}; make them by model.init(key, shape)"
            )
    if not (_finite(x) and _finite(params) and _finite(state)):
        named = [
            (f"{name} leaf '{path}'", a)
            for name, t in (("params", params), ("state", state))
            for path, a in _leaves(t)
        ]
        path, a = next(pair for pair in (("x", x), *named) if not _finite(pair[1]))
        at = np.argwhere(~np.isfinite(a))[0].tolist()
        raise ValueError(f"{path} must be finite, got {a[tuple(at)]} at {at}")
    return out_shape


def _finite(tree):
    """Say whether all numbers of a tree are finite."""
    if isinstance(tree, (list, tuple)):
        return all(map(_finite, tree))
    if isinstance(tree, dict):
        return all(map(_finite, tree.values()))
    # The sum of squares settles nearly every case; it may overflow, so that a bad one is looked
    # into.
    return math.isfinite(np.vdot(tree, tree).real) or bool(np.isfinite(tree).all())


def batch(parts):
    """Return (x, labels) or (x, labels, weights) of what is to be a batch; ValueError when it is
    neither, or x no array.
    """
    try:
        x, y, *weights = parts
        if len(weights) > 1:
            raise ValueError
    except (TypeError, ValueError):
        got = f"{type(parts).__name__}{f' of {len(parts)}' if isinstance(parts, (tuple, list)) else ''}"
        raise ValueError(
            f"a batch is a pair (x, labels), got {got}; call loss_and_grad(params, state, (x, labels))"
        ) from None
    if not getattr(x, "shape", ()):
        raise ValueError(
            f"a batch of images must be an array, got {type(x).__name__}; pass numpy.asarray(images, float)"
        )
    return x, y, *weights


def cotangent(dy, y):
    """Return ``dy`` as an array of the shape and kind of the output ``y``; ValueError when it is
    none.
    """
    found = np.asarray(dy)
    if found.shape != y.shape or found.dtype.kind not in "fciub":
        raise ValueError(
            f"backward takes dy, floats of the output's shape {y.shape}; got {found.dtype} of shape {found.shape}"
        )
    return found


def labels(y, n, out_shape):
    """Check that y is n integers in [0, K), K being the network's outputs."""
    try:
        y = np.asarray(y)
    except ValueError:  # lists of several lengths
        raise ValueError(
            f"labels must be {n} integers, one for each image; got {y!r:.60}"
        ) from None
    if len(out_shape) != 1:
        raise ValueError(
            f"a loss needs logits (N, K), but the network ends in {out_shape}; end it with dense(classes)"
        )
    if y.dtype.kind not in "iu" or y.shape != (n,):
        raise ValueError(
            f"labels must be {n} integers, one for each image; got {y.dtype} of shape {y.shape}"
        )
    if y.min() < 0 or y.max() >= out_shape[0]:
        raise ValueError(
            f"labels must lie in 0..{out_shape[0] - 1} for {out_shape[0]} outputs; got {y.min()}..{y.max()}"
        )


def share(weights, n):
    """Return each image's share w / sum w of the loss, (N,), from what follows the labels in a
    batch; None for nothing.
    """
    if not weights:
        return None
    w = np.asarray(weights[0])
    if len(weights) > 1 or w.shape != (n,) or w.dtype.kind not in "iuf":
        got = f"{w.dtype} of shape {w.shape}"
        raise ValueError(
            f"a batch is (x, labels) or (x, labels, weights), the weights being {n} numbers; got {got}"
        )
    total = w.sum(dtype=np.float64)
    if not (math.isfinite(total) and (w >= 0).all() and total > 0):
        raise ValueError(
            f"weights must be finite, 0 or more, and not all 0; got {w.min()}..{w.max()} with the sum {total}"
        )
    return w / total


def checked_init(init):
    """Wrap a layer's ``init`` so that the shape that it gets is a tuple of ints, 1 or more, and
    the dtype one of floats.
    """

    if getattr(init, "checks_shape", False):
        return init

    @wraps(init)
    def checked(key, shape, dtype="float64"):
        return init(key, image_shape(shape), float_type(dtype))

    checked.checks_shape = True
    return checked


def image_shape(shape):
    """Return the shape of one image or vector, without the batch, as a tuple of ints; ValueError
    when it is none.
    """
    given = shape.tolist() if isinstance(shape, np.ndarray) else shape
    sizes = given if isinstance(given, (tuple, list)) else ()
    if not sizes or not all(
        isinstance(n, numbers.Integral) and not isinstance(n, bool) and n >= 1 for n in sizes
    ):
        raise ValueError(
            f"got the shape {shape!r}; it must be that of one image, (C, H, W), or of one vector, (D,), without the batch: "
            "a tuple of ints, 1 or more, as in model.init(0, (1, 28, 28))"
        )
    if math.prod(map(int, sizes)) >= 2**48:
        raise ValueError(
            f"got the shape {tuple(sizes)}, more numbers than fit into memory; a shape is (C, H, W)"
        )
    return tuple(map(int, sizes))


def float_type(dtype):
    """Return ``dtype`` as a numpy dtype of floating-point numbers; ValueError when it is none."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in "fc":
        raise ValueError(f"dtype must be a type of floats, 'float32' or 'float64'; got {dtype!r}")
    return found
