"""Planted bugs: dense layers, held back while the rules were written."""

import numpy as np

from . import bug
from .twins import (
    dense_arrays,
    mlp_arrays,
)


@bug("dense", dense_arrays, "shape")
def dense_dw_transposed(x, w, b):
    """dw = dy' x: (M, D) for (D, M)."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": dy.T @ x, "b": dy.sum(axis=0)}


@bug("dense", dense_arrays, "scale")
def dense_mean_layer_without_the_mean(x, w, b):
    """The forward pass averages over the batch; backward spreads dy and forgets 1 / N."""

    def backward(dy):
        each = np.ones((len(x), 1)) * dy
        return {"x": each @ w.T, "w": x.T @ each, "b": each.sum(axis=0)}

    return (x @ w + b).mean(axis=0), backward


@bug("dense", dense_arrays, "broadcast", "shape")
def dense_db_a_scalar(x, w, b):
    """db = np.sum(dy): the axis is missing, and the sum over all outputs comes back as one
    number.
    """
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": np.sum(dy)}


@bug("dense", dense_arrays, "additive", "missing-path")
def dense_regulariser_forgotten(x, w, b, decay=0.1):
    """The loss has a weight penalty, 0.5 decay |w|^2; its gradient, decay w, is not in dw."""
    y = np.sum((x @ w + b) ** 2) + 0.5 * decay * np.sum(
        w * w
    )  # -decay w is added, or the penalty's route is absent

    def backward(dy):
        d = dy * 2 * (x @ w + b)
        return {"x": d @ w.T, "w": x.T @ d, "b": d.sum(axis=0)}

    return y, backward


@bug("dense", dense_arrays, "additive")
def dense_regulariser_doubled(x, w, b, decay=0.1):
    """The penalty is 0.5 decay |w|^2 in the loss and 2 decay w in the gradient."""
    y = np.sum(np.tanh(x @ w + b)) + 0.5 * decay * np.sum(w * w)

    def backward(dy):
        d = dy * (1 - np.tanh(x @ w + b) ** 2)
        return {"x": d @ w.T, "w": x.T @ d + dy * 2 * decay * w, "b": d.sum(axis=0)}

    return y, backward


@bug("dense", dense_arrays, "scale")
def dense_db_mean(x, w, b):
    """db = dy.mean(axis=0)."""
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": dy.mean(axis=0)}


@bug("dense", mlp_arrays, "zero")
def mlp_first_layer_forgotten(x, w1, b1, w2, b2):
    """The gradient of the first layer's weights is initialised and never computed."""
    h = x @ w1 + b1
    a = np.maximum(h, 0)

    def backward(dy):
        dh = dy @ w2.T * (h > 0)
        return {
            "x": dh @ w1.T,
            "w1": np.zeros_like(w1),
            "b1": dh.sum(axis=0),
            "w2": a.T @ dy,
            "b2": dy.sum(axis=0),
        }

    return a @ w2 + b2, backward
