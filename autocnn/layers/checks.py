"""Checks at a network's door: every bad argument gets one ValueError that says what was got and
what is needed.
"""

import math
import numbers
from functools import lru_cache, wraps
from itertools import repeat

import numpy as np
from autograd.tracer import getval, isbox

from autocnn.trees import leaves

__all__ = [
    "batch",
    "call",
    "checked_init",
    "cotangent",
    "finite",
    "float_type",
    "image_shape",
    "labels",
    "same_layout",
    "share",
]


def call(layer, params, state, x, kinds="fc"):
    """Check that x is a finite batch that the network accepts and that the trees are its own.
    Returns the output's shape.

    ``kinds`` are the kinds of numbers that will do: f real, c complex ones, of which a loss has no
    gradient.
    """
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise ValueError(
            f"a batch of images must be an array, got {type(x).__name__}; pass numpy.asarray(images, float)"
        )
    if len(x.shape) < 2 or x.shape[0] == 0:
        raise ValueError(
            f"a batch is (N, C, H, W) with N at least 1, got shape {x.shape}; one image goes in as image[None]"
        )
    floats("x", x, kinds)
    out_shape, expected, expected_state = _layout(layer.init, tuple(x.shape[1:]))
    finite("x", x)
    for name, tree, need in (("params", params, expected), ("state", state, expected_state)):
        if not _fits(tree, need, kinds):  # or is of another make: then it is looked at closely
            same_layout(name, tree, need, kinds=kinds)
            for path, leaf in leaves(tree):
                finite(f"{name} leaf '{path}'", leaf)
    return out_shape


def _fits(tree, need, kinds):
    """Say quickly whether a tree has the structure of ``need`` and finite arrays of its shapes:
    most do, at every step.
    """
    if type(need) is list:
        return (
            type(tree) is list
            and len(tree) == len(need)
            and all(map(_fits, tree, need, repeat(kinds)))
        )
    if type(need) is dict:
        alike = type(tree) is dict and tree.keys() == need.keys()
        return alike and all(map(_fits, map(tree.get, need), need.values(), repeat(kinds)))
    right = type(tree) is np.ndarray and tree.dtype.kind in kinds and tree.shape == need.shape
    return right and math.isfinite(np.vdot(tree, tree).real)


@lru_cache(maxsize=256)
def _layout(init, shape):
    """The output shape and the trees' layout for one image shape, of no memory; kept, since
    training asks at every step.
    """
    return init(None, shape)


def floats(name, a, kinds="fc"):
    """Raise ValueError unless ``a`` is an array of floating-point numbers."""
    if getattr(getattr(a, "dtype", None), "kind", "O") not in kinds:
        kind = getattr(a, "dtype", type(a).__name__)
        raise ValueError(
            f"{name} must be an array of floats, got {kind}; convert it by numpy.asarray(..., float)"
        )
    value = a if type(a) is np.ndarray else getval(a)
    if not isinstance(value, (np.ndarray, np.generic)) or isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"{name} must be a numpy array, got {type(value).__name__}; convert it by numpy.asarray(..., float)"
        )


def finite(name, a):
    """Raise ValueError when ``a`` holds NaN or infinity."""
    a = getval(a)
    # The sum of squares settles nearly every case in one pass without a temporary. It may overflow,
    # so that a bad one is looked into.
    if not math.isfinite(np.vdot(a, a).real) and not np.isfinite(a).all():
        bad = np.argwhere(~np.isfinite(a))
        where = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name or 'the array'} must be finite, got {a[where]} at {list(where)} ({len(bad)} such of {a.size})"
        )


def same_layout(name, tree, need, path="", kinds="fc"):
    """Raise ValueError unless ``tree`` has the structure of ``need``, and leaves of its shapes that
    are arrays of floats.

    The order of a dict's keys does not matter, nor whether a sequence is a list or a tuple.
    """
    if isinstance(need, dict):
        if not isinstance(tree, dict) or tree.keys() != need.keys():
            raise _other(name, path, f"a dict with the keys {list(need)}", tree)
        for key in need:
            same_layout(name, tree[key], need[key], f"{path}.{key}" if path else str(key), kinds)
    elif isinstance(need, (list, tuple)):
        if not isinstance(tree, (list, tuple)) or len(tree) != len(need):
            raise _other(name, path, f"a list of {len(need)}", tree)
        for i, part in enumerate(need):
            same_layout(name, tree[i], part, f"{path}.{i}" if path else str(i), kinds)
    elif isinstance(tree, (dict, list, tuple)):
        raise _other(name, path, f"an array of shape {need.shape}", tree)
    else:
        floats(f"{name} leaf '{path}'", tree, kinds)
        if tuple(tree.shape) != need.shape:
            raise _other(name, path, f"shape {need.shape} for this input", tree)


def _other(name, path, needed, got):
    if isinstance(got, dict):
        got = f"a dict with the keys {list(got)}"
    elif isinstance(got, (list, tuple)):
        got = f"a {type(got).__name__} of {len(got)}"
    else:
        got = f"shape {tuple(got.shape)}" if hasattr(got, "shape") else f"{got!r:.40}"
    place = f"leaf '{path}'" if path else "the whole tree"
    return ValueError(
        f"{name} are not this network's: at {place} it needs {needed}, got {got}; make them by model.init(key, shape) "
        "with the shape of one image"
    )


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
    found = dy if isbox(dy) else np.asarray(dy)
    if found.shape != y.shape or found.dtype.kind not in "fciub":
        raise ValueError(
            f"backward takes dy, floats of the output's shape {y.shape}; got {found.dtype} of shape {found.shape}"
        )
    return found


def labels(y, n, out_shape):
    """Raise ValueError unless ``y`` is n integers in [0, K), K being the network's outputs."""
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
