"""Planted bugs: dense layers."""

import numpy as np

from . import bug
from .twins import (
    dense_arrays,
    mlp_arrays,
    square_arrays,
)


@bug("dense", square_arrays, "transposed")
def dense_dw_transposed_square(x, w, b):
    """dw = dy' x on a square layer: the shape does not tell."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": dy.T @ x, "b": dy.sum(axis=0)}


@bug("dense", square_arrays, "wrong-operand")
def dense_dx_with_w_for_its_transpose(x, w, b):
    """dx = dy w for dy w' on a square layer."""
    return x @ w + b, lambda dy: {"x": dy @ w, "w": x.T @ dy, "b": dy.sum(axis=0)}


@bug("dense", dense_arrays, "scale")
def dense_divided_by_batch(x, w, b):
    """dw and db are divided by N, as in courses where dy has not been divided yet; here it has."""
    m = x.shape[0]
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy / m, "b": dy.sum(axis=0) / m}


@bug("dense", dense_arrays, "broadcast")
def dense_db_sum_filled(x, w, b):
    """db is filled with the sum over all outputs."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": np.full_like(b, dy.sum())}


@bug("dense", dense_arrays, "additive")
def dense_regulariser_leaked_in(x, w, b, decay=1e-3):
    """dw carries the gradient of a weight penalty that this function does not have."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy + decay * w, "b": dy.sum(axis=0)}


@bug("dense", dense_arrays, "wrong-operand", "permuted", "shifted")
def dense_rows_misaligned(x, w, b):
    """dw pairs the rows of x with the rows of dy in another order (one of them was shuffled)."""
    order = np.random.default_rng(3).permutation(len(x))
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x[order].T @ dy, "b": dy.sum(axis=0)}


@bug("dense", dense_arrays, "wrong-operand", "shifted")
def dense_rows_off_by_one(x, w, b):
    """dw uses the input of the row before: np.roll(x, 1) left over from an experiment."""
    return x @ w + b, lambda dy: {
        "x": dy @ w.T,
        "w": np.roll(x, 1, axis=0).T @ dy,
        "b": dy.sum(axis=0),
    }


@bug("dense", dense_arrays, "shape")
def dense_db_keeps_the_batch(x, w, b):
    """db = dy: never summed over the examples."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": dy.copy()}


@bug("dense", dense_arrays, "shape")
def dense_db_keepdims(x, w, b):
    """db of shape (1, M): keepdims was on."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": dy.sum(axis=0, keepdims=True)}


@bug("dense", dense_arrays, "partial")
def dense_one_example_outer_product(x, w, b):
    """dw = outer(x[0], dy[0]): written for stochastic descent, one example at a time."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": np.outer(x[0], dy[0]), "b": dy.sum(axis=0)}


@bug("dense", dense_arrays, "sign")
def dense_gradient_of_descent(x, w, b):
    """dw and db come back as the step to take, minus the gradient."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": -(x.T @ dy), "b": -dy.sum(axis=0)}


@bug("dense", dense_arrays, "scale")
def dense_learning_rate_inside(x, w, b, rate=0.01):
    """dw is already multiplied by the learning rate."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": rate * (x.T @ dy), "b": dy.sum(axis=0)}


@bug("dense", mlp_arrays, "wrong-operand", "mask")
def mlp_dw_from_the_preactivation(x, w1, b1, w2, b2):
    """The second layer's dw uses h where its input was relu(h)."""
    h = x @ w1 + b1  # "mask" is right as well: the mask on the operand is missing

    def backward(dy):
        dh = dy @ w2.T * (h > 0)
        return {
            "x": dh @ w1.T,
            "w1": x.T @ dh,
            "b1": dh.sum(axis=0),
            "w2": h.T @ dy,
            "b2": dy.sum(axis=0),
        }

    return np.maximum(h, 0) @ w2 + b2, backward


@bug("dense", mlp_arrays, "mask")
def mlp_hidden_mask_missing(x, w1, b1, w2, b2):
    """The ReLU between the layers is skipped on the way back."""
    a = np.maximum(x @ w1 + b1, 0)

    def backward(dy):
        dh = dy @ w2.T
        return {
            "x": dh @ w1.T,
            "w1": x.T @ dh,
            "b1": dh.sum(axis=0),
            "w2": a.T @ dy,
            "b2": dy.sum(axis=0),
        }

    return a @ w2 + b2, backward


@bug("dense", mlp_arrays, "mutates-input", "wrong-operand")
def mlp_weights_updated_too_early(x, w1, b1, w2, b2, rate=0.1):
    """w2 is updated in place before it carries the gradient to the first layer."""
    h = (
        x @ w1 + b1
    )  # the hygiene rule sees w2 change; the values are those of the gradient at the updated w2
    a = np.maximum(h, 0)

    def backward(dy):
        dw2 = a.T @ dy
        w2[...] -= rate * dw2
        dh = dy @ w2.T * (h > 0)
        return {
            "x": dh @ w1.T,
            "w1": x.T @ dh,
            "b1": dh.sum(axis=0),
            "w2": dw2,
            "b2": dy.sum(axis=0),
        }

    return a @ w2 + b2, backward
