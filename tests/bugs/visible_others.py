"""Planted bugs: a second list, of other layers."""

import numpy as np

from . import bug, normal
from .twins import (
    conv1d_dx,
    conv1d_forward,
    conv_dx,
    conv_forward,
    depthwise,
    depthwise_arrays,
    depthwise_dw,
    dropout_mask,
    matrix_arrays,
    normalise,
    picture_arrays,
    signal_arrays,
    stable_sigmoid,
    stable_softmax,
)


@bug("signal", signal_arrays, "flipped")
def conv1d_by_np_convolve(x, w):
    """dw from np.convolve, which flips: the taps come out in reverse."""
    T = x.shape[2] - w.shape[2] + 1

    def backward(dy):
        dw = np.zeros_like(w)
        for i in range(w.shape[2]):
            dw[:, :, w.shape[2] - 1 - i] = np.einsum("not,nct->oc", dy, x[:, :, i : i + T])
        return {"x": conv1d_dx(x, dy, w), "w": dw}

    return conv1d_forward(x, w), backward


@bug("depthwise", depthwise_arrays, "scale")
def depthwise_dw_positions_averaged(x, w):
    """dw is a mean over the positions and a sum over the examples."""

    def backward(dy):
        kh, kw = w.shape[1:]
        padded = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        dw = depthwise_dw(x, dy, w) / (dy.shape[2] * dy.shape[3])
        return {"x": depthwise(padded, w[:, ::-1, ::-1]), "w": dw}

    return depthwise(x, w), backward


@bug("upsample", picture_arrays, "partial", "overwritten")
def upsample_takes_one_of_four(x):
    """Each pixel was copied into 2 x 2 and gets back one of the four gradients, not their sum."""
    return x.repeat(2, axis=2).repeat(2, axis=3), lambda dy: {"x": dy[:, :, ::2, ::2].copy()}


@bug("upsample", picture_arrays, "scale")
def upsample_averages(x):
    """The four gradients are averaged, as an average pool forward would do."""

    def backward(dy):
        N, C, H, W = x.shape
        return {"x": dy.reshape(N, C, H, 2, W, 2).mean(axis=(3, 5))}

    return x.repeat(2, axis=2).repeat(2, axis=3), backward


@bug("borders", picture_arrays, "shifted")
def pad_cropped_at_the_start(x, p=1):
    """Zero padding; backward takes dy[..., :H, :W] instead of dy[..., p:-p, p:-p]."""
    H, W = x.shape[2:]
    y = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    return y, lambda dy: {"x": dy[:, :, :H, :W].copy()}


@bug("borders", matrix_arrays, "partial", "missing-path", "overwritten")
def wrap_padding_cropped_only(x):
    """Circular padding copies the edges; their copies' gradients are cropped away instead of
    being added.
    """
    return np.pad(x, ((0, 0), (2, 1)), mode="wrap"), lambda dy: {"x": dy[:, 2:-1].copy()}


@bug("activation", matrix_arrays, "wrong-operand")
def softplus_slope_at_minus_x(x):
    """log(1 + e^x) has slope s(x); here it is s(-x)."""
    return np.logaddexp(0, x), lambda dy: {"x": dy * stable_sigmoid(-x)}


@bug("activation", matrix_arrays, "mask")
def elu_exponential_forgotten(x):
    """ELU; on the negative side the slope is taken for 1."""
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1), lambda dy: {"x": dy * np.ones_like(x)}


@bug("activation", normal(x=(5, 4, 3)), "mask")
def maxout_feeds_every_piece(x):
    """Maxout over the last axis; every piece gets the gradient."""
    return x.max(axis=2), lambda dy: {"x": np.repeat(dy[:, :, None], x.shape[2], axis=2)}


@bug("activation", normal(a=(6, 5), b=(6, 5)), "wrong-operand", "missing-path")
def glu_gate_slope_forgotten(a, b):
    """a s(b): db is dy a s(b), without 1 - s(b)."""
    s = stable_sigmoid(b)
    return a * s, lambda dy: {"a": dy * s, "b": dy * a * s}


@bug("elementary", matrix_arrays, "wrong-operand")
def exponential_slope_from_x(x):
    """d exp = x dy for y dy."""
    return np.exp(x), lambda dy: {"x": dy * x}


@bug("elementary", matrix_arrays, "partial")
def row_sum_reaches_the_first_entry_only(x):
    """The sum of each row passes dy to the row's first entry."""

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, 0] = dy
        return {"x": dx}

    return x.sum(axis=1), backward


@bug("elementary", matrix_arrays, "missing-path")
def product_with_detached_factor(x):
    """x cos(x) with cos(x) taken for a constant."""
    return x * np.cos(x), lambda dy: {"x": dy * np.cos(x)}


@bug("matrices", normal(x=(6, 4), A=(4, 4), z=(6, 4)), "transposed")
def bilinear_form_transposed(x, A, z):
    """x' A z for each row: dA is z' x instead of x' z."""

    def backward(dy):
        d = dy[:, None]
        return {"x": d * (z @ A.T), "A": (d * z).T @ x, "z": d * (x @ A)}

    return np.einsum("ni,ij,nj->n", x, A, z), backward


@bug("matrices", normal(a=(3, 4, 5), b=(3, 5, 4)), "wrong-operand", "transposed")
def batched_product_without_transpose(a, b):
    """da = dy b for dy b'; the matrices happen to fit after a reshape."""
    return a @ b, lambda dy: {"a": dy @ b.reshape(3, 4, 5), "b": a.transpose(0, 2, 1) @ dy}


@bug("matrices", normal(x=(3, 5, 4), p=(5, 4)), "shape")
def position_embedding_not_summed(x, p):
    """The same positions are added to each sequence; their gradient keeps the batch axis."""
    return x + p, lambda dy: {"x": dy.copy(), "p": dy * 1.0}


@bug("losses", normal(x=(7, 3)), "mask")
def huber_never_linear(x, delta=0.5):
    """The quadratic branch's slope everywhere; beyond delta it should be constant."""
    a = np.abs(x)
    return np.where(a < delta, 0.5 * x * x, delta * (a - 0.5 * delta)).sum(), lambda dy: {
        "x": dy * x
    }


@bug("losses", normal(a=(6, 4), p=(6, 4), n=(6, 4)), "mask")
def triplet_satisfied_rows_counted(a, p, n, margin=1.0):
    """Rows whose margin is satisfied pass a gradient all the same."""
    loss = ((a - p) ** 2).sum(axis=1) - ((a - n) ** 2).sum(axis=1) + margin

    def backward(dy):
        d = dy / len(a)
        return {"a": 2 * d * (n - p), "p": -2 * d * (a - p), "n": 2 * d * (a - n)}

    return np.maximum(loss, 0).mean(), backward


@bug("losses", normal(z=(6, 4)), "not-linear", "missing-path", "additive")
def log_softmax_without_the_sum(z):
    """dy - p for dy - p sum(dy): right only when each row of dy sums to 1, and not linear in dy."""
    p = stable_softmax(z)
    return np.log(p), lambda dy: {"z": dy - p}


@bug("losses", normal(z=(8,)), "missing-path", "wrong-operand")
def focal_weight_as_constant(z):
    """(1 - s)^2 log s: the focal weight is taken for a constant."""
    s = stable_sigmoid(z)
    return (-((1 - s) ** 2) * np.log(s)).sum(), lambda dy: {"z": dy * -((1 - s) ** 2) * (1 - s)}


@bug("losses", normal(a=(6, 4), b=(6, 4)), "missing-path")
def cosine_similarity_lengths_as_constants(a, b):
    """The lengths in a . b / (|a| |b|) are taken for constants."""
    la, lb = np.sqrt((a * a).sum(axis=1)), np.sqrt((b * b).sum(axis=1))

    def backward(dy):
        d = (dy / (la * lb))[:, None]
        return {"a": d * b, "b": d * a}

    return (a * b).sum(axis=1) / (la * lb), backward


@bug("norms", normal(x=(3, 4, 2, 5)), "missing-path")
def instance_norm_variance_as_constant(x):
    """Normalised over the positions of each channel; the variance's route is missing."""
    x_hat, std = normalise(x, axis=(2, 3))
    return x_hat, lambda dy: {"x": (dy - dy.mean(axis=(2, 3), keepdims=True)) / std}


@bug("norms", normal(x=(3, 6, 5)), "missing-path", "wrong-operand")
def group_norm_means_over_channels_only(x, groups=2):
    """Groups of 3 channels and all positions are normalised; the means in backward leave out the
    positions.
    """
    N, C, L = x.shape
    x_hat, std = normalise(x.reshape(N, groups, C // groups, L), axis=(2, 3))

    def backward(dy):
        d = dy.reshape(x_hat.shape)
        dx = (
            d - d.mean(axis=2, keepdims=True) - x_hat * (d * x_hat).mean(axis=2, keepdims=True)
        ) / std
        return {"x": dx.reshape(x.shape)}

    return x_hat.reshape(x.shape), backward


@bug("masks", normal(x=(3, 4, 5, 2)), "mask")
def spatial_dropout_mask_forgotten(x, keep=0.6):
    """Whole channels are dropped; backward scales and forgets which."""
    mask = dropout_mask((3, 4, 1, 1), keep)
    return x * mask / keep, lambda dy: {"x": dy / keep}


@bug("masks", normal(q=(5, 3), k=(5, 3)), "mask")
def causal_mask_forgotten_in_scores(q, k):
    """Scores of the future are set to 0 by the mask; the gradient flows into them."""
    past = np.tril(np.ones((len(q), len(k)), dtype=bool))
    return (q @ k.T) * past, lambda dy: {"q": dy @ k, "k": dy.T @ q}


@bug("blocks", normal(x=(5, 4), w=(4, 3)), "accumulates", "mutates-input")
def momentum_inside_the_layer(x, w):
    """dw comes back with 0.9 of the one before: the velocity belongs to the optimizer."""
    # the second call adds to the first; or: what backward holds has changed
    velocity = [np.zeros_like(w)]

    def backward(dy):
        velocity[0] = 0.9 * velocity[0] + x.T @ dy
        return {"x": dy @ w.T, "w": velocity[0].copy()}

    return x @ w, backward


@bug("blocks", normal(x=(5, 4), w=(4, 3)), "not-linear")
def gradient_clipped_inside_the_layer(x, w):
    """dw is clipped to [-1, 1] in the layer."""
    return x @ w, lambda dy: {"x": dy @ w.T, "w": np.clip(x.T @ dy, -1, 1)}


@bug("blocks", normal(x=(2, 5, 4, 4), w=(5, 5, 3, 3), b=(5,)), "missing-path")
def convolution_block_skip_forgotten(x, w, b):
    """x + conv(x), padded: the skip is not in dx."""
    y = x + conv_forward(x, w, b, padding=1)

    def backward(dy):
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        dw = np.zeros_like(w)
        for i, j in np.ndindex(3, 3):
            dw[:, :, i, j] = np.einsum("nohw,nchw->oc", dy, xp[:, :, i : i + 4, j : j + 4])
        return {"x": conv_dx(x, dy, w, padding=1), "w": dw, "b": dy.sum(axis=(0, 2, 3))}

    return y, backward


@bug("blocks", normal(x=(5, 4), h=(5, 3), wx=(4, 3), wh=(3, 3)), "missing-path")
def gru_like_carry_forgotten(x, h, wx, wh):
    """z h + (1 - z) c with gates from x and h: h's gradient lacks the way through the carry z h."""
    z = stable_sigmoid(x @ wx)
    c = np.tanh(h @ wh)

    def backward(dy):
        dz, dc = dy * (h - c) * z * (1 - z), dy * (1 - z) * (1 - c * c)
        return {"x": dz @ wx.T, "h": dc @ wh.T, "wx": x.T @ dz, "wh": h.T @ dc}

    return z * h + (1 - z) * c, backward


@bug("blocks", normal(x=(5, 4), c=(5, 3), w=(4, 3)), "wrong-operand")
def lstm_gate_slope_of_the_wrong_function(x, c, w):
    """s(x w) tanh(c): the gate's slope is tanh's, 1 - s^2, instead of s (1 - s)."""
    s, t = stable_sigmoid(x @ w), np.tanh(c)

    def backward(dy):
        ds = dy * t * (1 - s * s)
        return {"x": ds @ w.T, "c": dy * s * (1 - t * t), "w": x.T @ ds}

    return s * t, backward
