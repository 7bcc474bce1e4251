"""Initial weights, and the count of layers that decides which seed each layer draws from."""

import math
from typing import Any

import numpy as np

from reference.keys import rng

__all__ = ["count_layers", "filled", "he_normal", "initial_bias", "zeros"]


def he_normal(key: Any, shape: tuple, fan_in: float, dtype: Any) -> np.ndarray:
    """Draw weights from N(0, 2 / fan_in) in float64, in order, and cast them to ``dtype``.

    With the key None nothing is drawn: the result is read-only zeros that take no memory.
    Source: He et al. 2015, Delving deep into rectifiers, equation 10.
    """
    if key is None:
        return zeros(key, shape, dtype)
    weights, generator = np.empty(shape, dtype), rng(key)
    for row in weights:  # row by row: the same stream, without VGG's 100 million float64 at once
        row[...] = generator.normal(0.0, math.sqrt(2.0 / fan_in), size=shape[1:])
    return weights


def zeros(key: Any, shape: tuple, dtype: Any) -> np.ndarray:
    """Return zeros; read-only and without memory of their own when the key is None."""
    return filled(key, shape, 0, dtype)


def initial_bias(key: Any, n: int, bias: bool, dtype: Any) -> dict[str, np.ndarray]:
    """Return {"b": n zeros}, or {} without a bias."""
    return {"b": zeros(key, (n,), dtype)} if bias else {}


def filled(key: Any, shape: tuple, value: float, dtype: Any) -> np.ndarray:
    """Return an array of one value; read-only and without memory when the key is None."""
    if key is None:
        return np.broadcast_to(np.asarray(value, dtype), shape)
    return np.full(shape, value, dtype)


def count_layers(params: Any) -> int:
    """Count the layers that have parameters: the dicts of a tree that hold arrays themselves."""
    if not isinstance(params, (dict, list, tuple)):
        return 0
    branches = list(params.values()) if isinstance(params, dict) else params
    own = isinstance(params, dict) and any(
        not isinstance(branch, (dict, list, tuple)) for branch in branches
    )
    return own + sum(count_layers(branch) for branch in branches)
