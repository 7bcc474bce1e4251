"""Layers that do not look at neighbourhoods: dense, flatten, relu, tanh, dropout, identity."""

import numbers

import autograd.numpy as np

from autocnn import ops
from autocnn.keys import rng
from autocnn.layers.initial import he_normal, zeros
from autocnn.layers.layer import Layer
from autocnn.ops.arguments import whole

__all__ = ["dense", "dropout", "flatten", "identity", "pointwise", "relu", "tanh"]


def dense(units, bias=True):
    """Map linearly: y = x w + b, (D,) -> (units,). Parameters w (D, units) ~ N(0, 2 / D) and b
    (units,) = 0.
    """
    units = whole(units, "dense: units")

    def init(key, shape, dtype="float64"):
        if len(shape) != 1:
            raise ValueError(
                f"dense needs vectors (D,), got shape {tuple(shape)} without the batch; put flatten() before it"
            )
        params = {"w": he_normal(key, (shape[0], units), shape[0], dtype)}
        if bias:
            params["b"] = zeros(key, (units,), dtype)
        return (units,), params, {}

    def forward(params, state, x, train, key):
        y = np.dot(x, params["w"])  # (N, D) . (D, units)
        return (y + params["b"] if bias else y), state

    return Layer("dense", dict(units=units, bias=bias), init, forward)


def pointwise(name, f, options=None):
    """Make a layer without parameters from a function that keeps the shape."""
    return Layer(
        name, options or {}, _same_shape, lambda params, state, x, train, key: (f(x), state)
    )


def _same_shape(key, shape, dtype="float64"):
    return tuple(shape), {}, {}


def relu():
    """Clip below at zero: max(x, 0), with derivative 0 at 0."""
    return pointwise("relu", ops.relu)


def tanh():
    """Squash by the hyperbolic tangent."""
    return pointwise("tanh", ops.tanh)


def identity():
    """Return the input."""
    return pointwise("identity", lambda x: x)


def flatten():
    """Lay out each example's numbers in one row, (C, H, W) -> (C H W,), the last axis fastest."""

    def init(key, shape, dtype="float64"):
        size = 1
        for n in shape:
            size *= n
        return (size,), {}, {}

    return Layer(
        "flatten",
        {},
        init,
        lambda params, state, x, train, key: (np.reshape(x, (x.shape[0], -1)), state),
    )


def dropout(p):
    """In training, set each number to 0 with probability p and divide the rest by 1 - p; in
    evaluation do nothing.

    The mask comes from the key alone, so that equal keys give equal masks in every interpretation.
    """
    if not isinstance(p, numbers.Real) or not 0 <= p < 1:
        raise ValueError(f"dropout: p is the share that is dropped, 0 <= p < 1; got {p!r}")

    def forward(params, state, x, train, key):
        if not train or p == 0:
            return x, state
        if key is None:
            raise ValueError(
                "dropout needs a key in training; pass one: loss_and_grad(params, state, batch, key=0)"
            )
        return x * ops.dropout_mask(rng(key), x.shape, p).astype(x.dtype), state

    return Layer("dropout", dict(p=p), _same_shape, forward)
