"""Elementwise ops, softmax and linear maps, in the names and arguments of torch.nn.functional.

relu'(0) = 0. float32 stays float32: sum / n and x * (x > 0) keep it where autograd's mean,
maximum and where do not. No op overflows at large |x|, forward or backward.
"""

import math

import autograd.numpy as np
import numpy as onp

from autocnn.autodiff import getval
from autocnn.keys import rng

__all__ = [
    "dropout",
    "dropout_mask",
    "flatten",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "tanh",
]


def relu(x):
    """Return max(x, 0) for finite x, with derivative 0 at 0. (At minus infinity it is NaN.)"""
    return x * (getval(x) > 0)


def leaky_relu(x, negative_slope=0.01):
    """Return x where x > 0, else negative_slope x; the derivative at 0 is negative_slope."""
    value = getval(x)
    return x * onp.where(value > 0, 1, negative_slope).astype(value.real.dtype)


def relu6(x):
    """Return min(max(x, 0), 6), with derivative 0 at 0 and at 6."""
    value = getval(x)
    return x * ((value > 0) & (value < 6)) + 6 * (value >= 6).astype(value.real.dtype)


def _sign(x):
    """1 where x >= 0, else -1: a constant array of x's precision."""
    value = getval(x).real
    return onp.where(value < 0, -1, 1).astype(value.dtype)


def tanh(x):
    """Return the hyperbolic tangent.

    It is composed as s -m / (2 + m), m = exp(-2 s x) - 1 with s the sign of x: the derivative that
    autograd has for its own tanh divides by cosh(x)^2, which overflows beyond |x| = 355.
    """
    s = _sign(x)
    m = np.expm1(-2 * s * x)
    return -s * m / (2 + m)


def sigmoid(x):
    """Return 1 / (1 + exp(-x)), by exp(-|x|), which does not overflow."""
    s = _sign(x)
    e = np.exp(-s * x)
    positive = (s > 0).astype(s.dtype)
    return (positive + (1 - positive) * e) / (1 + e)


def silu(x):
    """Return x sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x, approximate="none"):
    """Return x Phi(x), Phi being the normal distribution's cumulative function.

    ``approximate="tanh"`` returns x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) instead.
    Hendrycks and Gimpel 2016, Gaussian error linear units.
    """
    if approximate == "tanh":
        return x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh"; got {approximate!r}')
    from autograd.scipy.special import erf  # imports scipy.stats, which takes long

    return x * (1 + erf(x / math.sqrt(2))) / 2


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
