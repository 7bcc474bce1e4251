"""Words that act on each number alone. They have no parameters and keep the shape."""

from typing import Any

from reference.arguments import real
from reference.layer import Declaration

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


def keeps_shape(key, shape, dtype="float64"):
    """``init`` of a word without parameters that keeps the shape."""
    return tuple(shape), {}, {}


def _elementwise(name: str, **options: Any) -> Declaration:
    """A word without parameters that keeps the shape."""
    return Declaration(name, options, keeps_shape)


def relu():
    """max(x, 0), with derivative 0 at 0."""
    return _elementwise("relu")


def leaky_relu(negative_slope: float = 0.01):
    """x where x > 0, else negative_slope x; the derivative at 0 is negative_slope."""
    return _elementwise("leaky_relu", negative_slope=real(negative_slope, "leaky_relu: slope"))


def relu6():
    """min(max(x, 0), 6), with derivative 0 at 0 and at 6 (Howard et al. 2017, MobileNets)."""
    return _elementwise("relu6")


def sigmoid():
    """1 / (1 + exp(-x))."""
    return _elementwise("sigmoid")


def silu():
    """x sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""
    return _elementwise("silu")


def gelu(approximate: str = "none"):
    """x Phi(x), Phi being the normal distribution's cumulative function.

    ``approximate="tanh"`` computes x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) instead.
    Hendrycks and Gimpel 2016, Gaussian error linear units.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh"; got {approximate!r}')
    return _elementwise("gelu", approximate=approximate)


def tanh():
    """The hyperbolic tangent."""
    return _elementwise("tanh")


def scaled_tanh(amplitude: float = 1.7159, slope: float = 2 / 3):
    """amplitude tanh(slope x); with the defaults f(1) = 1 and f(-1) = -1.

    LeCun et al. 1998, Gradient-based learning applied to document recognition, appendix A.
    """
    amplitude = real(amplitude, "scaled_tanh: amplitude")
    return _elementwise("scaled_tanh", amplitude=amplitude, slope=real(slope, "scaled_tanh: slope"))


def identity():
    """x itself."""
    return _elementwise("identity")
