"""Planted bugs: products, rearrangements, embeddings, attention, recurrence."""

import numpy as np

from . import bug, normal
from .twins import (
    attention_arrays,
    embedding_arrays,
    rnn_arrays,
    stable_softmax,
    vector_arrays,
)


@bug("twice", vector_arrays, "scale", "missing-path")
def square_as_product_with_a_constant(x):
    """x * x as a product of two arrays, of which one is taken for a constant: x for 2 x."""
    return x * x, lambda dy: {"x": dy * x}


@bug("twice", normal(x=(4, 4)), "missing-path")
def gram_matrix_one_side(x):
    """x x' depends on x twice; only the left factor's gradient is there."""
    return x @ x.T, lambda dy: {"x": dy @ x}


@bug("twice", normal(x=(5, 4), w=(4, 4)), "missing-path")
def shared_weight_second_use_only(x, w):
    """The same w in two layers (tied weights): only the last use counts."""
    h = np.tanh(x @ w)

    def backward(dy):
        dh = dy @ w.T * (1 - h * h)
        return {"x": dh @ w.T, "w": h.T @ dy}

    return h @ w, backward


@bug("product", normal(a=(5, 4), b=(5, 4)), "wrong-operand")
def product_factors_swapped(a, b):
    """da = dy a and db = dy b: each factor got its own value instead of the other's."""
    return a * b, lambda dy: {"a": dy * a, "b": dy * b}


@bug("product", normal(a=(5, 4), b=(5, 4)), "sign")
def quotient_sign_forgotten(a, b):
    """d(a / b)/db = -a / b^2: the minus is missing."""
    return a / b, lambda dy: {"a": dy / b, "b": dy * a / b**2}


@bug("product", normal(x=(5, 4), s=(5, 1)), "broadcast")
def broadcast_reduced_over_everything(x, s):
    """s scales each row; its gradient is summed over the rows as well and spread again."""

    def backward(dy):
        return {"x": dy * s, "s": np.full(s.shape, (dy * x).sum())}

    return x * s, backward


@bug("product", normal(a=(5, 4), b=(5, 4)), "aliased")
def sum_hands_out_dy_twice(a, b):
    """Both gradients are the caller's dy itself: who adds into one in place changes the other
    and dy.
    """
    return a + b, lambda dy: {"a": dy, "b": dy}


@bug("embedding", embedding_arrays, "overwritten")
def embedding_repeated_tokens_lost(table, tokens):
    """`dtable[tokens] += dy` counts a repeated token once: numpy buffers the addition."""

    def backward(dy):
        dtable = np.zeros_like(table)
        dtable[tokens] += dy
        return {"table": dtable}

    return table[tokens], backward


@bug("embedding", embedding_arrays, "partial", "mask")
def embedding_padding_row_zeroed(table, tokens):
    """Row 0 is taken for padding and gets no gradient, although the forward pass reads it."""

    def backward(dy):
        dtable = np.zeros_like(table)
        np.add.at(dtable, tokens, dy)
        dtable[0] = 0
        return {"table": dtable}

    return table[tokens], backward


@bug("rearranging", normal(a=(5, 3), b=(5, 3)), "wrong-operand", "permuted")
def concat_parts_swapped(a, b):
    """The parts of dy are handed out in the wrong order."""
    n = a.shape[1]
    return np.concatenate([a, b], axis=1), lambda dy: {"a": dy[:, n:].copy(), "b": dy[:, :n].copy()}


@bug("rearranging", normal(a=(5, 4), b=(5, 3)), "shape")
def concat_split_in_halves(a, b):
    """np.array_split in two equal parts; the parts were not equal."""

    def backward(dy):
        first, second = np.array_split(dy, [dy.shape[1] // 2], axis=1)
        return {"a": first.copy(), "b": second.copy()}

    return np.concatenate([a, b], axis=1), backward


@bug("rearranging", normal(a=(5, 4), b=(5, 3)), "zero")
def concat_second_part_zero(a, b):
    """Only the first part gets its gradient."""

    def backward(dy):
        return {"a": dy[:, : a.shape[1]].copy(), "b": np.zeros_like(b)}

    return np.concatenate([a, b], axis=1), backward


@bug("rearranging", normal(x=(4, 4, 4)), "permuted", "transposed")
def transpose_not_inverted(x):
    """The permutation (2, 0, 1) is applied again instead of its inverse (1, 2, 0)."""
    return x.transpose(2, 0, 1), lambda dy: {"x": dy.transpose(2, 0, 1).copy()}


@bug("rearranging", vector_arrays, "scale")
def row_mean_not_divided(x):
    """The mean of each row; backward spreads dy and does not divide."""
    return x.mean(axis=1), lambda dy: {"x": np.ones_like(x) * dy[:, None]}


@bug("rearranging", vector_arrays, "mask", "wrong-operand", "broadcast")
def row_maximum_spread_evenly(x):
    """The maximum of each row passes dy / n to every entry, like a mean."""
    # "mask": none where one belongs; "broadcast": the gradient is constant along the axis, the mean
    # of the right one
    n = x.shape[1]
    return x.max(axis=1), lambda dy: {"x": np.ones_like(x) * dy[:, None] / n}


@bug("rearranging", vector_arrays, "permuted", "wrong-operand")
def sort_not_undone(x):
    """y = sort(x); dy is handed back in sorted order."""
    return np.sort(x, axis=1), lambda dy: {"x": dy.copy()}


@bug("attention", normal(q=(5, 3), k=(5, 3), v=(5, 4)), "wrong-operand", "transposed")
def attention_dk_not_transposed(q, k, v):
    """dk = ds q for ds' q; with as many keys as queries the shape does not tell."""
    p = stable_softmax(q @ k.T / np.sqrt(q.shape[1]))

    def backward(dy):
        dp = dy @ v.T
        ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
        return {"q": ds @ k, "k": ds @ q, "v": p.T @ dy}

    return p @ v, backward


@bug("attention", attention_arrays, "missing-path")
def attention_softmax_diagonal(q, k, v):
    """The softmax's Jacobian is taken as its diagonal."""
    p = stable_softmax(q @ k.T / np.sqrt(q.shape[1]))

    def backward(dy):
        ds = (dy @ v.T) * p * (1 - p) / np.sqrt(q.shape[1])
        return {"q": ds @ k, "k": ds.T @ q, "v": p.T @ dy}

    return p @ v, backward


@bug("rnn", rnn_arrays, "wrong-operand", "shifted")
def rnn_state_off_by_one(x, wx, wh):
    """dwh uses the new state h_t where the old one, h_{t-1}, belongs."""
    hs = [np.zeros((x.shape[1], wh.shape[0]), x.dtype)]
    for x_t in x:
        hs.append(np.tanh(x_t @ wx + hs[-1] @ wh))

    def backward(dy):
        dx, dwx, dwh, dh = (
            np.zeros_like(x),
            np.zeros_like(wx),
            np.zeros_like(wh),
            np.zeros_like(hs[0]),
        )
        for t in reversed(range(len(x))):
            da = (dy[t] + dh) * (1 - hs[t + 1] ** 2)
            dx[t], dh = da @ wx.T, da @ wh.T
            dwx += x[t].T @ da
            dwh += hs[t + 1].T @ da
        return {"x": dx, "wx": dwx, "wh": dwh}

    return np.stack(hs[1:]), backward


@bug("rnn", rnn_arrays, "partial", "overwritten")
def rnn_weights_from_first_step_only(x, wx, wh):
    """dwx is assigned in the loop over time: the step that is visited last, t = 0, is left."""
    hs = [np.zeros((x.shape[1], wh.shape[0]), x.dtype)]
    for x_t in x:
        hs.append(np.tanh(x_t @ wx + hs[-1] @ wh))

    def backward(dy):
        dx, dwh, dh = np.zeros_like(x), np.zeros_like(wh), np.zeros_like(hs[0])
        for t in reversed(range(len(x))):
            da = (dy[t] + dh) * (1 - hs[t + 1] ** 2)
            dx[t], dh = da @ wx.T, da @ wh.T
            dwx = x[t].T @ da
            dwh += hs[t].T @ da
        return {"x": dx, "wx": dwx, "wh": dwh}

    return np.stack(hs[1:]), backward
