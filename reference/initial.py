"""Initial weights and the streams that they come from: the chapter's rule, seed + i for the i-th
layer with parameters.
"""

import math
import numbers

import numpy as np

__all__ = ["child", "count_layers", "filled", "he_normal", "layer_key", "rng", "zeros"]


def rng(key):
    """Return the Generator of a key: an int seed, or (seed, i, j, ...) for SeedSequence(seed,
    spawn_key=(i, j, ...)).
    """
    seed, *path = _parts(key)
    return np.random.default_rng(
        np.random.SeedSequence(int(seed), spawn_key=tuple(int(i) for i in path))
    )


def _parts(key):
    parts = key if isinstance(key, (tuple, list)) and key else (key,)
    if not all(
        isinstance(k, numbers.Integral) and not isinstance(k, (bool, np.bool_)) and k >= 0
        for k in parts
    ):
        raise ValueError(
            f"a key is an int seed or a tuple of ints, none negative, such as 3 or (3, 0); got {key!r}"
        )
    return parts


def child(key, i):
    """Return the key of the part at position i; None stays None."""
    if key is None:
        return None
    return (*key, i) if isinstance(key, (tuple, list)) else (key, i)


def layer_key(key, i):
    """Return the key with i added to its seed; None stays None."""
    if key is None:
        return None
    seed, *path = _parts(key)
    return (seed + i, *path)


def he_normal(key, shape, fan_in, dtype):
    """Draw N(0, 2 / fan_in) (He et al. 2015, equation 10); the key None gives shapes without
    memory.
    """
    if key is None:
        return zeros(key, shape, dtype)
    weights, generator = np.empty(shape, dtype), rng(key)
    for (
        row
    ) in weights:  # the stream of one call, without a float64 copy of VGG's 100 million weights
        row[...] = generator.normal(0.0, math.sqrt(2.0 / fan_in), size=shape[1:])
    return weights


def zeros(key, shape, dtype):
    """Return zeros; of no memory when the key is None."""
    return filled(key, shape, 0, dtype)


def filled(key, shape, value, dtype):
    """Return an array of one value; of no memory when the key is None."""
    return (
        np.broadcast_to(np.asarray(value, dtype), shape)
        if key is None
        else np.full(shape, value, dtype)
    )


def count_layers(params):
    """Count the dicts that hold arrays themselves: the layers that have parameters."""
    if isinstance(params, dict):
        parts, own = params.values(), any(isinstance(p, np.ndarray) for p in params.values())
    elif isinstance(params, (list, tuple)):
        parts, own = params, False
    else:
        return 0
    return own + sum(count_layers(part) for part in parts)
