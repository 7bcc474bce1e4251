"""Planted bugs: dropout, residual connections and elementwise functions."""

import numpy as np

from . import bug
from .twins import (
    dropout_mask,
    residual_arrays,
    stable_sigmoid,
    vector_arrays,
)


@bug("dropout", vector_arrays, "nondeterministic")
def dropout_mask_redrawn(x, keep=0.7):
    """backward draws a new mask instead of using the one of the forward pass."""
    mask = dropout_mask(x.shape, keep)
    return x * mask / keep, lambda dy: {"x": dy * (np.random.random(x.shape) < keep) / keep}  # noqa: NPY002


@bug("dropout", vector_arrays, "scale")
def dropout_scale_doubled(x, keep=0.7):
    """The cached mask is already divided by keep; backward divides again."""
    mask = dropout_mask(x.shape, keep) / keep
    return x * mask, lambda dy: {"x": dy * mask / keep}


@bug("dropout", vector_arrays, "scale")
def dropout_p_for_one_minus_p(x, p=0.3):
    """Divided by p, where the forward pass divides by 1 - p."""
    mask = dropout_mask(x.shape, 1 - p)
    return x * mask / (1 - p), lambda dy: {"x": dy * mask / p}


@bug("dropout", vector_arrays, "mask")
def dropout_mask_missing(x, keep=0.7):
    """backward divides by keep and forgets the mask."""
    mask = dropout_mask(x.shape, keep)
    return x * mask / keep, lambda dy: {"x": dy / keep}


@bug("dropout", vector_arrays, "mask")
def dropout_forgotten_altogether(x, keep=0.7):
    """backward is that of evaluation mode: neither the mask nor its scale."""
    mask = dropout_mask(x.shape, keep)
    return x * mask / keep, lambda dy: {"x": dy.copy()}


@bug("dropout", vector_arrays, "mask")
def dropout_mask_of_the_first_row(x, keep=0.7):
    """backward uses one row of the mask for the whole batch."""
    mask = dropout_mask(x.shape, keep) / keep
    return x * mask, lambda dy: {"x": dy * mask[0]}


@bug("residual", residual_arrays, "missing-path")
def residual_skip_missing(x, w):
    """The gradient of the skip connection is not added."""
    h = x @ w

    def backward(dy):
        dh = dy * (h > 0)
        return {"x": dh @ w.T, "w": x.T @ dh}

    return x + np.maximum(h, 0), backward


@bug("residual", residual_arrays, "missing-path")
def residual_branch_missing(x, w):
    """dx is dy alone; the branch's gradient is lost."""
    h = x @ w
    return x + np.maximum(h, 0), lambda dy: {"x": dy.copy(), "w": x.T @ (dy * (h > 0))}


@bug("residual", residual_arrays, "mask", "missing-path")
def residual_skip_around_the_mask(x, w):
    """y = relu(x + x w), but the skip's gradient is dy and not what the ReLU let through."""
    h = x + x @ w

    def backward(dy):
        dh = dy * (h > 0)
        return {"x": dh @ w.T + dy, "w": x.T @ dh}

    return np.maximum(h, 0), backward


@bug("residual", residual_arrays, "mask")
def residual_mask_from_x(x, w):
    """The ReLU's mask is taken from the block's input, not from the ReLU's."""
    h = x @ w

    def backward(dy):
        dh = dy * (x > 0)
        return {"x": dy + dh @ w.T, "w": x.T @ dh}

    return x + np.maximum(h, 0), backward


@bug("residual", residual_arrays, "mask")
def residual_no_mask(x, w):
    """The ReLU inside the block is taken for the identity."""
    return x + np.maximum(x @ w, 0), lambda dy: {"x": dy + dy @ w.T, "w": x.T @ dy}


@bug("relu", vector_arrays, "mask", "not-linear")
def relu_mask_from_gradient_sign(x):
    """dy where dy > 0 instead of x > 0, as in a deconvnet; such a mask is not linear in dy
    either.
    """
    return np.maximum(x, 0), lambda dy: {"x": dy * (dy > 0)}


@bug("relu", vector_arrays, "mask")
def relu_mask_in_the_wrong_place(x):
    """dx[x <= 0] = 0 is written as dx[x <= 1] = 0: the threshold is wrong."""

    def backward(dy):
        dx = dy.copy()
        dx[x <= 1] = 0
        return {"x": dx}

    return np.maximum(x, 0), backward


@bug("relu", vector_arrays, "mutates-input", "aliased")
def relu_writes_into_dy(x):
    """dy[x <= 0] = 0, and dy is returned: the caller's array is changed and shared."""

    def backward(dy):
        dy[x <= 0] = 0
        return {"x": dy}

    return np.maximum(x, 0), backward


@bug("relu", vector_arrays, "mask", "wrong-operand")
def leaky_relu_slope_on_the_wrong_side(x, slope=0.1):
    """The slope multiplies the positive side."""
    return np.where(x > 0, x, slope * x), lambda dy: {"x": np.where(x > 0, slope * dy, dy)}


@bug("relu", vector_arrays, "mask")
def leaky_relu_as_relu(x, slope=0.1):
    """backward is the plain ReLU's: the slope is missing on the negative side."""
    return np.where(x > 0, x, slope * x), lambda dy: {"x": dy * (x > 0)}


@bug("relu", vector_arrays, "mask")
def clip_lower_bound_only(x):
    """relu6-like clip to [-1, 1]; the mask knows the lower bound only."""
    return np.clip(x, -1, 1), lambda dy: {"x": dy * (x > -1)}


@bug("relu", vector_arrays, "mask", "sign")
def absolute_value_as_identity(x):
    """d|x|/dx = 1: the sign is missing where x is negative."""
    return np.abs(x), lambda dy: {"x": dy.copy()}


@bug("tanh", vector_arrays, "wrong-operand")
def tanh_slope_of_tanh(x):
    """1 - tanh(y)^2: the function is applied again to what is already y."""
    y = np.tanh(x)
    return y, lambda dy: {"x": dy * (1 - np.tanh(y) ** 2)}


@bug("tanh", vector_arrays, "wrong-operand", "additive", "missing-path")
def tanh_square_forgotten(x):
    """1 - y for 1 - y^2."""
    y = np.tanh(x)
    return y, lambda dy: {"x": dy * (1 - y)}


@bug("tanh", vector_arrays, "mutates-input", "wrong-operand")
def tanh_cached_output_overwritten(x):
    """The square is taken in place, `y *= y`, so the cached output is another array at the
    second call.
    """
    y = np.tanh(x)  # y, which was handed out, is changed

    def backward(dy):
        slope = y
        slope *= slope
        return {"x": dy * (1 - slope)}

    return y, backward


@bug("sigmoid", vector_arrays, "wrong-operand")
def sigmoid_slope_from_x(x):
    """x (1 - x) for y (1 - y): the input where the output belongs."""
    return stable_sigmoid(x), lambda dy: {"x": dy * x * (1 - x)}


@bug("sigmoid", vector_arrays, "wrong-operand")
def sigmoid_applied_twice(x):
    """s(y) (1 - s(y)): the sigmoid is applied to the output."""
    y = stable_sigmoid(x)
    return y, lambda dy: {"x": dy * stable_sigmoid(y) * (1 - stable_sigmoid(y))}


@bug("sigmoid", vector_arrays, "missing-path")
def swish_second_term_missing(x):
    """x s(x): the product rule's second term, x s'(x), is missing."""
    s = stable_sigmoid(x)
    return x * s, lambda dy: {"x": dy * s}


@bug("sigmoid", vector_arrays, "missing-path")
def gelu_as_gate(x):
    """0.5 x (1 + t): only the gate is passed on, not the gate's own slope."""
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + t), lambda dy: {"x": dy * 0.5 * (1 + t)}
