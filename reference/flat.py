"""Layers that do not look at neighbourhoods, each with its backward pass."""

import math
import numbers

import numpy as np

from reference.checks import whole
from reference.initial import he_normal, rng, zeros
from reference.layer import Layer

__all__ = ["dense", "dropout", "flatten", "identity", "relu", "tanh"]


def dense(units, bias=True):
    """Map linearly, y = x w + b with w (D, units): dx = dy w', dw = x' dy, db = sum over the
    batch of dy.
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
        w = params["w"]

        def backward(dy):
            grads = {"w": x.T @ dy}
            if bias:
                grads["b"] = dy.sum(axis=0)
            return dy @ w.T, grads

        y = x @ w
        return (y + params["b"] if bias else y), state, backward

    return Layer("dense", dict(units=units, bias=bias), init, forward)


def _pointwise(name, f, options=None):
    """Make a layer of ``f(x, train, key) -> (y, backward)`` that keeps the shape and has no
    parameters.
    """

    def forward(params, state, x, train, key):
        y, back = f(x, train, key)
        return y, state, lambda dy: (back(dy), {})

    return Layer(
        name, options or {}, lambda key, shape, dtype="float64": (tuple(shape), {}, {}), forward
    )


def relu():
    """Clip below at zero; the gradient passes where x > 0, so that relu'(0) = 0."""

    def f(x, train, key):
        passes = x > 0
        return np.where(passes, x, x.dtype.type(0)), lambda dy: dy * passes

    return _pointwise("relu", f)


def tanh():
    """Squash by the hyperbolic tangent: dx = dy (1 - y^2)."""

    def f(x, train, key):
        y = np.tanh(x)
        return y, lambda dy: dy * (1 - y * y)

    return _pointwise("tanh", f)


def identity():
    """Return the input, and the gradient."""
    return _pointwise("identity", lambda x, train, key: (x, lambda dy: dy))


def dropout(p):
    """In training, keep each number with probability 1 - p and divide it by that; the gradient
    takes the same mask.
    """
    if not isinstance(p, numbers.Real) or not 0 <= p < 1:
        raise ValueError(f"dropout: p is the share that is dropped, 0 <= p < 1; got {p!r}")

    def f(x, train, key):
        if not train or p == 0:
            return x, lambda dy: dy
        if key is None:
            raise ValueError(
                "dropout needs a key in training; pass one: loss_and_grad(params, state, batch, key=0)"
            )
        mask = ((rng(key).random(x.shape) >= p) / (1.0 - p)).astype(x.dtype)
        return x * mask, lambda dy: dy * mask

    return _pointwise("dropout", f, dict(p=p))


def flatten():
    """Lay out each example in one row; the gradient goes back into the old shape."""

    def forward(params, state, x, train, key):
        return x.reshape(len(x), -1), state, lambda dy: (dy.reshape(x.shape), {})

    return Layer(
        "flatten", {}, lambda key, shape, dtype="float64": ((math.prod(shape),), {}, {}), forward
    )
