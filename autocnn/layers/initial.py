"""Initial weights, N(0, 2 / fan_in), and the count of layers that decides which seed each layer
draws from.

He et al. 2015, Delving deep into rectifiers, equation 10.
"""

import math

import numpy as np

from autocnn.keys import rng

__all__ = ["count_layers", "filled", "he_normal", "zeros"]


def he_normal(key, shape, fan_in, dtype):
    """Draw weights N(0, 2 / fan_in) in float64, in order, and cast them; key None gives shapes
    only.
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
    """Return zeros, of no memory and read-only when the key is None."""
    return filled(key, shape, 0, dtype)


def filled(key, shape, value, dtype):
    """Return an array of one value, of no memory and read-only when the key is None."""
    return (
        np.broadcast_to(np.asarray(value, dtype), shape)
        if key is None
        else np.full(shape, value, dtype)
    )


def count_layers(params):
    """Count the layers that have parameters: the dicts of a parameter tree that hold arrays
    themselves.
    """
    if not isinstance(params, (dict, list, tuple)):
        return 0
    branches = list(params.values()) if isinstance(params, dict) else params
    own = isinstance(params, dict) and any(not isinstance(b, (dict, list, tuple)) for b in branches)
    return own + sum(count_layers(b) for b in branches)
