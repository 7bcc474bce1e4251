"""Planted bugs: dropout, residual connections and elementwise functions, held back while the
rules were written.
"""

import numpy as np

from . import bug
from .twins import (
    dropout_mask,
    residual_arrays,
    stable_sigmoid,
    vector_arrays,
)


@bug("dropout", vector_arrays, "mask")
def dropout_mask_of_another_seed(x, keep=0.7):
    """backward draws the mask again with its own seed: another mask, the same each time."""
    mask = dropout_mask(x.shape, keep)
    other = np.random.default_rng(6).random(x.shape) < keep
    return x * mask / keep, lambda dy: {"x": dy * other / keep}


@bug("dropout", vector_arrays, "scale")
def dropout_scale_missing(x, keep=0.7):
    """The forward pass divides by keep, backward does not."""
    mask = dropout_mask(x.shape, keep)
    return x * mask / keep, lambda dy: {"x": dy * mask}


@bug("dropout", vector_arrays, "mask")
def dropout_mask_inverted(x, keep=0.7):
    """The gradient passes exactly where the forward pass dropped."""
    mask = dropout_mask(x.shape, keep)
    return x * mask / keep, lambda dy: {"x": dy * ~mask / keep}


@bug("residual", residual_arrays, "additive", "missing-path")
def residual_skip_doubled(x, w):
    """The skip's gradient is added twice, once in the block and once by the caller."""
    h = x @ w  # what is too much is the cotangent; or: one route counts twice

    def backward(dy):
        dh = dy * (h > 0)
        return {"x": dy + dh @ w.T + dy, "w": x.T @ dh}

    return x + np.maximum(h, 0), backward


@bug("residual", residual_arrays, "aliased", "mutates-input", "additive")
def residual_adds_into_dy(x, w):
    """`dx = dy; dx += ...`: the caller's gradient is overwritten, and dw is computed from the
    result.
    """
    h = x @ w  # dx is dy's own memory, and it is written to: two words for one thing

    def backward(dy):
        dx = dy
        dx += (dy * (h > 0)) @ w.T
        return {"x": dx, "w": x.T @ (dy * (h > 0))}

    return x + np.maximum(h, 0), backward


@bug("relu", vector_arrays, "mask")
def relu_no_mask(x):
    """The gradient passes unchanged."""
    return np.maximum(x, 0), lambda dy: {"x": dy.copy()}


@bug("relu", vector_arrays, "mask")
def relu_mask_inverted(x):
    """dx[x > 0] = 0 for dx[x <= 0] = 0."""

    def backward(dy):
        dx = dy.copy()
        dx[x > 0] = 0
        return {"x": dx}

    return np.maximum(x, 0), backward


@bug("relu", vector_arrays, "mutates-input")
def relu_forward_in_place(x):
    """np.maximum(x, 0, out=x): the input is overwritten by the output."""
    y = np.maximum(x, 0, out=x)
    return y, lambda dy: {"x": dy * (y > 0)}


@bug("relu", vector_arrays, "not-linear")
def relu_gradient_is_the_step(x):
    """dx = (x > 0): dy is not multiplied in."""
    return np.maximum(x, 0), lambda dy: {"x": (x > 0).astype(x.dtype)}


@bug("tanh", vector_arrays, "wrong-operand")
def tanh_slope_from_x(x):
    """1 - x^2 for 1 - y^2."""
    return np.tanh(x), lambda dy: {"x": dy * (1 - x * x)}


@bug("sigmoid", vector_arrays, "missing-path", "additive", "wrong-operand")
def sigmoid_one_minus_y_only(x):
    """dy (1 - y): the factor y is missing."""
    y = stable_sigmoid(x)
    return y, lambda dy: {"x": dy * (1 - y)}


@bug("sigmoid", vector_arrays, "zero")
def sigmoid_integer_division(x):
    """The slope is rounded to integers on the way: (y * (1 - y)).astype(int) is zero everywhere."""
    y = stable_sigmoid(x)
    return y, lambda dy: {"x": dy * (y * (1 - y)).astype(int)}
