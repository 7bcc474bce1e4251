"""Elementwise ops, softmax and linear maps, in the names and arguments of torch.nn.functional.

relu'(0) = 0. Float32 stays float32: the ops compute sum / n and x * (x > 0), because autograd's
mean, maximum and where return float64. No op overflows at large |x|, forward or backward.
"""

import math
from typing import Any

import autograd.numpy as np
import numpy as onp

from autocnn.autodiff import getval
from autocnn.keys import rng
from autocnn.typing import Array, Key, Shape

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

FLAT = 40  # beyond it the slope of gelu is 0 or 1, in any precision


def relu(x: Array) -> Array:
    """Return max(x, 0), with derivative 0 at 0. NaN stays."""
    return np.clip(x, 0, onp.inf)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """Return x where x > 0, else negative_slope * x. The derivative at 0 is negative_slope."""
    value = getval(x)
    return x * onp.where(value > 0, 1, negative_slope).astype(value.real.dtype)


def relu6(x: Array) -> Array:
    """Return min(max(x, 0), 6), with derivative 0 at 0 and at 6. NaN stays."""
    return np.clip(x, 0, 6)


def _sign(x):
    """Return 1 where x >= 0, else -1, as a constant array of x's dtype."""
    value = getval(x).real
    return onp.where(value < 0, -1, 1).astype(value.dtype)


def tanh(x: Array) -> Array:
    """Return the hyperbolic tangent.

    It is computed as -s m / (2 + m) with m = exp(-2 s x) - 1 and s the sign of x. The derivative
    of autograd's own tanh divides by cosh(x)^2, which overflows beyond |x| = 355.
    """
    s = _sign(x)
    with onp.errstate(over="ignore"):  # of exp, which is 0 there
        m = np.expm1(-2 * s * x)
    return -s * m / (2 + m)


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), computed from exp(-|x|), which does not overflow."""
    s = _sign(x)
    e = np.exp(-s * x)
    positive = (s > 0).astype(s.dtype)
    return (positive + (1 - positive) * e) / (1 + e)


def silu(x: Array) -> Array:
    """Return x sigmoid(x)."""
    return x * sigmoid(x)


def gelu(x: Array, approximate: str = "none") -> Array:
    """Return x Phi(x), where Phi is the cumulative distribution function of the normal.

    ``approximate="tanh"`` returns x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) instead; any
    other word is a ValueError. Hendrycks and Gimpel 2016, Gaussian error linear units.
    """
    if approximate == "tanh":
        near = np.clip(x, -FLAT, FLAT)  # whose cube does not overflow
        cube = near * near * near
        return x * ((1 + tanh(math.sqrt(2 / math.pi) * (near + 0.044715 * cube))) / 2)
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh"; got {approximate!r}')
    from autograd.scipy.special import erf  # imports scipy.stats, which takes long

    near = np.clip(x, -FLAT, FLAT)  # whose square does not overflow in the derivative
    return x * ((1 + erf(near / math.sqrt(2))) / 2)


def linear(x: Array, weight: Array, bias: Any = None) -> Array:
    """Return x W^T + b, (..., out), for x (..., in), weight (out, in) and bias (out,)."""
    y = np.dot(x, np.transpose(weight))
    return y if bias is None else y + bias


def flatten(x: Array, start_dim: int = 0, end_dim: int = -1) -> Array:
    """Merge the axes from ``start_dim`` to ``end_dim`` into one, in row-major order.

    ``start_dim=1`` keeps the batch axis.
    """
    first, last = start_dim % len(x.shape), end_dim % len(x.shape)
    return np.reshape(
        x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])
    )


def log_softmax(x: Array, dim: int = -1) -> Array:
    """Return x - log sum exp x along axis ``dim``.

    The maximum is subtracted first, so that nothing overflows. It is treated as a constant, since
    its derivative cancels.
    """
    z = x - onp.max(getval(x), axis=dim, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=dim, keepdims=True))


def softmax(x: Array, dim: int = -1) -> Array:
    """Return exp x / sum exp x along axis ``dim``, shifted as in ``log_softmax``."""
    with onp.errstate(over="ignore"):  # of a difference, whose exp is 0
        z = np.exp(x - onp.max(getval(x), axis=dim, keepdims=True))
    return z / np.sum(z, axis=dim, keepdims=True)


def dropout(x: Array, p: float = 0.5, training: bool = True, key: Key | None = None) -> Array:
    """In training, set each number to 0 with probability p and divide the others by 1 - p.

    In evaluation, return x. key: an int seed or a tuple of ints, from which the mask is drawn;
    equal keys give equal masks. Raises ValueError for p outside [0, 1], and in training without a
    key.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, 0 <= p <= 1; got {p!r}")
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0
    if key is None:
        raise ValueError(
            "dropout needs a key in training, an int seed such as dropout(x, 0.5, key=0)"
        )
    return x * dropout_mask(rng(key), x.shape, p).astype(getval(x).dtype)


def dropout_mask(generator: onp.random.Generator, shape: Shape, p: float) -> Array:
    """Draw a float64 mask that is 0 with probability p < 1, else 1 / (1 - p): inverted dropout.

    Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting,
    JMLR 15.
    """
    return (generator.random(shape) >= p) / (1.0 - p)
