"""Pointwise ops, softmax and linear maps, in the names and arguments of torch.nn.functional.

relu'(0) = 0. float32 stays float32: sum / n and x * (x > 0) keep it where autograd's mean, maximum
and where do not.
"""

import math

import autograd.numpy as np
import numpy as onp

from autocnn.autodiff import getval
from autocnn.keys import rng

__all__ = ["dropout", "dropout_mask", "flatten", "linear", "log_softmax", "relu", "softmax", "tanh"]


def relu(x):
    """Return max(x, 0) for finite x, with derivative 0 at 0. (At minus infinity the product is
    NaN.)
    """
    return x * (getval(x) > 0)


def tanh(x):
    """Return the hyperbolic tangent; its derivative is 1 - tanh(x)^2."""
    return np.tanh(x)


def linear(x, weight, bias=None):
    """Return x W^T + b for x (..., in), weight (out, in), bias (out,), as torch does."""
    y = np.dot(x, np.transpose(weight))
    return y if bias is None else y + bias


def flatten(x, start_dim=0, end_dim=-1):
    """Lay the axes from ``start_dim`` to ``end_dim`` in one, the last fastest. ``start_dim=1``
    keeps the batch apart.
    """
    first, last = start_dim % len(x.shape), end_dim % len(x.shape)
    return np.reshape(
        x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    )


def log_softmax(x, dim=-1):
    """Return x - log sum exp x along axis ``dim``, shifted by the maximum so that nothing
    overflows.

    The shift is a constant: its derivative cancels identically.
    """
    z = x - onp.max(getval(x), axis=dim, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=dim, keepdims=True))


def softmax(x, dim=-1):
    """Return exp x / sum exp x along axis ``dim``."""
    z = np.exp(x - onp.max(getval(x), axis=dim, keepdims=True))
    return z / np.sum(z, axis=dim, keepdims=True)


def dropout(x, p=0.5, training=True, key=None):
    """In training, set each number to 0 with probability p and divide the rest by 1 - p; else
    return x.

    The mask is a function of ``key`` (an int seed or a tuple of ints), which training needs.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is the share that is dropped, 0 <= p <= 1; got {p!r}")
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    if key is None:
        raise ValueError(
            "dropout needs a key in training, an int seed such as dropout(x, 0.5, key=0)"
        )
    return x * dropout_mask(rng(key), x.shape, p).astype(getval(x).dtype)


def dropout_mask(generator, shape, p):
    """Draw a mask of 0 (with probability p) and 1 / (1 - p): inverted dropout, off in evaluation.

    Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting, JMLR
    15.
    """
    return (generator.random(shape) >= p) / (1.0 - p)
