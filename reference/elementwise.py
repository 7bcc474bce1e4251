"""Elementwise words by hand: each is one function ``f(o, x) -> (y, slope)``, and dx = dy slope.

The slope dy/dx is an array like x, or a number; o has the word's options.
"""

import math
from functools import wraps

import numpy as np

from reference import vocabulary as declare
from reference.layer import by_hand

__all__ = [
    "gelu",
    "identity",
    "leaky_relu",
    "relu",
    "relu6",
    "scaled_tanh",
    "sigmoid",
    "silu",
    "tanh",
]


def _elementwise(declaration):
    """Make the word of ``f(o, x) -> (y, slope)``."""

    def decorate(f):
        @by_hand(declaration)
        @wraps(f)
        def layer(o, params, state, x, train, key):
            y, slope = f(o, x)
            return y, state, lambda dy: (dy * slope, {})

        return layer

    return decorate


@_elementwise(declare.relu)
def relu(o, x):
    """dx = dy where x > 0, else 0. NaN stays in y."""
    return np.where(x <= 0, x.dtype.type(0), x), x > 0


@_elementwise(declare.leaky_relu)
def leaky_relu(o, x):
    """dx = dy where x > 0, else negative_slope dy."""
    slope = np.where(x > 0, x.dtype.type(1), x.dtype.type(o.negative_slope))
    return x * slope, slope


@_elementwise(declare.relu6)
def relu6(o, x):
    """dx = dy where 0 < x < 6, else 0. NaN stays in y."""
    y = np.where(x <= 0, x.dtype.type(0), np.where(x >= 6, x.dtype.type(6), x))
    return y, (x > 0) & (x < 6)


@_elementwise(declare.sigmoid)
def sigmoid(o, x):
    """dx = dy y (1 - y)."""
    y = _sigmoid(x)
    return y, y * (1 - y)


def _sigmoid(x):
    """1 / (1 + exp(-x)) by tanh, which does not overflow where exp does."""
    return (np.tanh(x / 2) + 1) / 2


@_elementwise(declare.silu)
def silu(o, x):
    """dx = dy (s + x s (1 - s)) with s = sigmoid(x)."""
    s = _sigmoid(x)
    return x * s, s + x * s * (1 - s)


@_elementwise(declare.gelu)
def gelu(o, x):
    """dx = dy (Phi(x) + x phi(x)), phi being the normal density; or its tanh form's derivative."""
    near = np.clip(x, -40, 40)  # beyond that the slope is 0 or 1, and squares may overflow
    if o.approximate == "tanh":
        root = math.sqrt(2 / math.pi)
        t = np.tanh(root * (near + 0.044715 * near**3))
        slope = (1 + t) / 2 + near * (1 - t * t) * (root / 2) * (1 + 3 * 0.044715 * near * near)
        return x * ((1 + t) / 2), slope
    from scipy.special import erf  # NumPy has none

    phi = np.exp(-near * near / 2) / math.sqrt(2 * math.pi)
    cumulative = (1 + erf(near / math.sqrt(2))) / 2
    return x * cumulative, cumulative + near * phi


@_elementwise(declare.tanh)
def tanh(o, x):
    """dx = dy (1 - y^2)."""
    y = np.tanh(x)
    return y, 1 - y * y


@_elementwise(declare.scaled_tanh)
def scaled_tanh(o, x):
    """dx = dy slope (amplitude - y^2 / amplitude)."""
    y = o.amplitude * np.tanh(o.slope * x)
    return y, o.slope * (o.amplitude - y * y / o.amplitude)


@_elementwise(declare.identity)
def identity(o, x):
    """dx = dy."""
    return x, 1
