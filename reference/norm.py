"""Normalisation by hand: closed forms for dx, and response norm by the transposed window.

With z = (x - mean) / sqrt(var + eps), mean and var over n numbers, and y = w z + b (Ioffe and
Szegedy 2015, section 3, their six equations combined into one):

    dx = 1 / sqrt(var + eps) (g - mean(g) - z mean(g z)),  g = w dy
    dw = sum dy z
    db = sum dy
"""

import numpy as np

from reference import vocabulary as declare
from reference.layer import by_hand

__all__ = ["batch_norm", "group_norm", "layer_norm", "local_response_norm"]


@by_hand(declare.batch_norm)
def batch_norm(o, params, state, x, train, key):
    """In training dx is the closed form; in evaluation, where the statistics are constants,
    dx = w dy / sqrt(var + eps).
    """
    axes, n = (0, *range(2, x.ndim)), x.size // x.shape[1]

    def column(a):
        return a.reshape(-1, *(1,) * (x.ndim - 2))  # (C,) -> (C, 1, 1)

    if train:
        if n == 1:
            raise ValueError(
                "batch_norm: in training a channel needs more than one value to have a variance, "
                f"got x {x.shape}; use a larger batch or larger images"
            )
        mean = x.sum(axis=axes) / n
        z = x - column(mean)
        var = (z * z).sum(axis=axes) / n
        state = {
            "mean": (1 - o.momentum) * state["mean"] + o.momentum * mean,
            "var": (1 - o.momentum) * state["var"] + o.momentum * n / (n - 1) * var,
        }
    else:
        z, var = x - column(state["mean"]), state["var"]
    root = np.sqrt(var + o.eps)
    z /= column(root)
    w, b = params["w"], params["b"]

    def backward(dy):
        db, dw = dy.sum(axis=axes), (dy * z).sum(axis=axes)
        dx = z * column(-dw / n) - column(db / n) + dy if train else dy
        return dx * column(w / root), {"w": dw, "b": db}

    return z * column(w) + column(b), state, backward


@by_hand(declare.layer_norm)
def layer_norm(o, params, state, x, train, key):
    """dx is the closed form for each example."""
    w, n = params["w"], x[0].size
    z, root = _standardised(x.reshape(len(x), n), o.eps)
    z = z.reshape(x.shape)

    def backward(dy):
        dx = _standardised_back((dy * w).reshape(len(x), n), z.reshape(len(x), n), root)
        return dx.reshape(x.shape), {"w": (dy * z).sum(axis=0), "b": dy.sum(axis=0)}

    return z * w + params["b"], state, backward


@by_hand(declare.group_norm)
def group_norm(o, params, state, x, train, key):
    """dx is the closed form for each example and group."""
    rows = (len(x) * o.groups, -1)
    axes, column = (0, *range(2, x.ndim)), (-1, *(1,) * (x.ndim - 2))
    w = params["w"].reshape(column)
    z, root = _standardised(x.reshape(rows), o.eps)
    z = z.reshape(x.shape)

    def backward(dy):
        dx = _standardised_back((dy * w).reshape(rows), z.reshape(rows), root)
        return dx.reshape(x.shape), {"w": (dy * z).sum(axis=axes), "b": dy.sum(axis=axes)}

    return z * w + params["b"].reshape(column), state, backward


def _standardised(rows, eps):
    """Return z and sqrt(var + eps) for rows (M, n), each with its own mean and variance."""
    n = rows.shape[1]
    z = rows - rows.sum(axis=1, keepdims=True) / n
    root = np.sqrt((z * z).sum(axis=1, keepdims=True) / n + eps)
    return z / root, root


def _standardised_back(g, z, root):
    """Return dx for g = dz, all (M, n): the closed form."""
    n = g.shape[1]
    mean, slope = g.sum(axis=1, keepdims=True) / n, (g * z).sum(axis=1, keepdims=True) / n
    return (g - mean - z * slope) / root


@by_hand(declare.local_response_norm)
def local_response_norm(o, params, state, x, train, key):
    """Each x_c is in its own numerator and in the strength of the channels that see it:
    dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c sum_{c' that see c} dy_c' y_c' / s_c'.
    """
    before, after, share = o.size // 2, (o.size - 1) // 2, o.alpha / o.size
    s = o.k + share * _sum_around(x * x, before, after)
    shrink = s**-o.beta
    y = x * shrink

    def backward(dy):
        seen = _sum_around(dy * y / s, after, before)
        return dy * shrink - 2 * share * o.beta * x * seen, {}

    return y, state, backward


def _sum_around(a, before, after):
    """Add up channels c - before to c + after of a (N, C, ...), cut at the edges."""
    total, c = a.copy(), a.shape[1]
    for away in range(1, c):
        if away <= before:
            total[:, away:] += a[:, : c - away]
        if away <= after:
            total[:, : c - away] += a[:, away:]
    return total
