"""Planted bugs: products, rearrangements, embeddings, recurrence, held back while the rules were
written.
"""

import numpy as np

from . import bug, normal
from .twins import (
    attention_arrays,
    embedding_arrays,
    rnn_arrays,
    stable_softmax,
    vector_arrays,
)


@bug("twice", vector_arrays, "missing-path", "overwritten")
def used_twice_assigns(x):
    """`grads["x"] = ...` for `+=`: the second use of x overwrites the gradient of the first."""
    a, b = np.tanh(x), x * x

    def backward(dy):
        grads = {}
        grads["x"] = dy * (1 - a * a)
        grads["x"] = dy * 2 * x
        return grads

    return a + b, backward


@bug("twice", vector_arrays, "accumulates")
def leaf_gradient_accumulates(x):
    """Like micrograd: `x.grad += ...` on a buffer that lives as long as the value."""
    grad = np.zeros_like(x)

    def backward(dy):
        np.add(grad, dy * np.cos(x), out=grad)
        return {"x": grad.copy()}

    return np.sin(x), backward


@bug("product", normal(x=(5, 4), b=(4,)), "shape")
def broadcast_gradient_not_reduced(x, b):
    """b was broadcast over the rows; its gradient is returned with all the rows."""
    return x + b, lambda dy: {"x": dy.copy(), "b": dy.copy()}


@bug(
    "product",
    normal(x=(5, 4), b=(4,)),
    "mutates-input",
    "accumulates",
    "nondeterministic",
    "aliased",
)
def cached_slope_multiplied_in_place(x, b):
    """`slope *= dy; return slope`: the gradient is the cache, and the next call starts from it."""
    slope = np.exp(
        x + b
    )  # a cache is changed, it is handed out, the next call builds on it: all four words fit

    def backward(dy):
        nonlocal slope
        slope *= dy
        return {"x": slope, "b": slope.sum(axis=0)}

    return slope.copy(), backward


@bug("embedding", embedding_arrays, "scale", "axis-scale", "partial")
def embedding_averaged_over_repetitions(table, tokens):
    """Each row is divided by how often its token occurs."""
    counts = np.maximum(np.bincount(tokens, minlength=len(table)), 1)  # one factor per row

    def backward(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable, tokens, dy)
        return {"table": dtable / counts[:, None]}

    return table[tokens], backward


@bug("embedding", embedding_arrays, "shifted", "permuted", "wrong-operand")
def embedding_tokens_off_by_one(table, tokens):
    """The gradient is added to the row after the one that was read."""

    def backward(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable, tokens + 1, dy)
        return {"table": dtable}

    return table[tokens], backward


@bug("rearranging", vector_arrays, "wrong-operand", "flipped", "transposed")
def cumulative_sum_not_reversed(x):
    """The adjoint of a running sum runs from the end; here it runs from the start again."""
    return np.cumsum(x, axis=1), lambda dy: {"x": np.cumsum(dy, axis=1)}


@bug("rearranging", vector_arrays, "missing-path", "partial", "wrong-operand", "overwritten")
def cumulative_sum_as_identity(x):
    """dx = dy: that x_i reaches all later sums is forgotten."""
    # "partial", "overwritten": of all the outputs that x_i reaches, one contribution is left
    return np.cumsum(x, axis=1), lambda dy: {"x": dy.copy()}


@bug("rearranging", normal(x=(3, 2, 4, 5)), "permuted", "wrong-operand")
def flatten_in_another_order(x):
    """Flattened with the channels last, reshaped back as if they had been first."""
    # dx has its entries moved; or: dy is read in another order
    y = x.transpose(0, 2, 3, 1).reshape(len(x), -1)
    return y, lambda dy: {"x": dy.reshape(x.shape).copy()}


@bug("attention", attention_arrays, "scale")
def attention_scale_missing(q, k, v):
    """1 / sqrt(d) is missing in dq and dk."""
    p = stable_softmax(q @ k.T / np.sqrt(q.shape[1]))

    def backward(dy):
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(axis=1, keepdims=True))
        return {"q": ds @ k, "k": ds.T @ q, "v": p.T @ dy}

    return p @ v, backward


@bug("rnn", rnn_arrays, "missing-path", "partial", "overwritten")
def rnn_recurrence_forgotten(x, wx, wh):
    """dh is not carried from step to step: each state is treated as if it had no successor."""
    # "partial", "overwritten": of all the outputs that x_t reaches, one contribution is left
    hs = [np.zeros((x.shape[1], wh.shape[0]), x.dtype)]
    for x_t in x:
        hs.append(np.tanh(x_t @ wx + hs[-1] @ wh))

    def backward(dy):
        dx, dwx, dwh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh)
        for t in reversed(range(len(x))):
            da = dy[t] * (1 - hs[t + 1] ** 2)
            dx[t] = da @ wx.T
            dwx += x[t].T @ da
            dwh += hs[t].T @ da
        return {"x": dx, "wx": dwx, "wh": dwh}

    return np.stack(hs[1:]), backward
