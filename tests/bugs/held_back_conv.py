"""Planted bugs: convolution, held back while the rules were written."""

import numpy as np

from . import bug, normal
from .twins import (
    conv_arrays,
    conv_db,
    conv_dw,
    conv_dx,
    conv_forward,
    grouped_arrays,
    naive_arrays,
    strided_arrays,
)


@bug("conv", conv_arrays, "partial")
def conv_first_example_only(x, w, b):
    """Written for one image and never extended: dw from x[0] and dy[0]."""

    def backward(dy):
        return {"x": conv_dx(x, dy, w), "w": conv_dw(x[:1], dy[:1], w), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "scale")
def conv_dw_averaged_over_windows(x, w, b):
    """Averaged over N Ho Wo where it should sum: np.mean over the patches."""
    y = conv_forward(x, w, b)

    def backward(dy):
        dw = np.zeros_like(w)
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                patch = x[:, :, i : i + y.shape[2], j : j + y.shape[3]]
                dw[:, :, i, j] = np.mean(dy[:, :, None] * patch[:, None], axis=(0, 3, 4))
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return y, backward


@bug("conv", conv_arrays, "flipped")
def conv_dw_flipped(x, w, b):
    """The kernel's gradient is rotated by 180 degrees, as for a true convolution."""

    def backward(dy):
        dw = conv_dw(x, dy, w)[:, :, ::-1, ::-1]
        return {"x": conv_dx(x, dy, w), "w": dw.copy(), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", naive_arrays, "wrong-operand", "shifted")
def conv_stride_ignored_in_dw(x, w, b):
    """The forward pass moves by 3, dw reads the windows as if it had moved by 1."""

    def backward(dy):
        return {
            "x": conv_dx(x, dy, w, stride=3),
            "w": conv_dw(x, dy, w, stride=1),
            "b": conv_db(dy),
        }

    return conv_forward(x, w, b, stride=3), backward


@bug("conv", grouped_arrays, "group")
def conv_groups_all_read_the_first(x, w, b, groups=2):
    """dw of every group is taken from the input channels of group 0."""

    def backward(dy):
        C = x.shape[1] // groups
        first = np.concatenate([x[:, :C]] * groups, axis=1)
        dw = conv_dw(first, dy, w, groups=groups)
        return {"x": conv_dx(x, dy, w, groups=groups), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b, groups=groups), backward


@bug("conv", grouped_arrays, "group")
def conv_groups_dx_first_kernels(x, w, b, groups=2):
    """dx of every group is computed with the kernels of group 0: the offset into w was
    forgotten.
    """

    def backward(dy):
        O, C = len(w) // groups, x.shape[1] // groups
        dx = np.zeros_like(x)
        for g in range(groups):
            channels, outputs = slice(g * C, (g + 1) * C), slice(g * O, (g + 1) * O)
            dx[:, channels] = conv_dx(x[:, channels], dy[:, outputs], w[:O])
        return {"x": dx, "w": conv_dw(x, dy, w, groups=groups), "b": conv_db(dy)}

    return conv_forward(x, w, b, groups=groups), backward


@bug("conv", conv_arrays, "scale")
def conv_db_averaged(x, w, b):
    """db is the mean over examples and positions."""

    def backward(dy):
        return {"x": conv_dx(x, dy, w), "w": conv_dw(x, dy, w), "b": dy.mean(axis=(0, 2, 3))}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "missing")
def conv_db_not_returned(x, w, b):
    """The bias was added to the layer later; backward still returns dx and dw only."""
    return conv_forward(x, w, b), lambda dy: {"x": conv_dx(x, dy, w), "w": conv_dw(x, dy, w)}


@bug("conv", conv_arrays, "permuted")
def conv_im2col_column_order(x, w, b):
    """im2col with columns (kh, kw, C), and dw reshaped as if they were (C, kh, kw)."""
    O, C, kh, kw = w.shape
    patches = np.lib.stride_tricks.sliding_window_view(
        x, (kh, kw), axis=(2, 3)
    )  # (N, C, Ho, Wo, kh, kw)
    cols = patches.transpose(0, 2, 3, 4, 5, 1).reshape(-1, kh * kw * C)

    def backward(dy):
        dy_flat = dy.transpose(1, 0, 2, 3).reshape(O, -1)
        return {
            "x": conv_dx(x, dy, w),
            "w": (dy_flat @ cols).reshape(O, C, kh, kw),
            "b": conv_db(dy),
        }

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "wrong-operand", "permuted")
def conv_dy_reshaped_not_transposed(x, w, b):
    """dy (N, O, Ho, Wo) is reshaped to (O, N Ho Wo) without moving the channels to the front."""
    O, C, kh, kw = w.shape
    patches = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(2, 3))
    cols = patches.transpose(1, 4, 5, 0, 2, 3).reshape(C * kh * kw, -1)

    def backward(dy):
        dw = (dy.reshape(O, -1) @ cols.T).reshape(w.shape)
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", strided_arrays, "partial")
def conv_loop_skips_an_example(x, w, b):
    """range(1, N): the first example is left out of dx."""

    def backward(dy):
        dx = np.zeros_like(x)
        for n in range(1, len(x)):
            dx[n] = conv_dx(x[n : n + 1], dy[n : n + 1], w, 2, 1)[0]
        return {"x": dx, "w": conv_dw(x, dy, w, 2, 1), "b": conv_db(dy)}

    return conv_forward(x, w, b, 2, 1), backward


@bug("conv", normal(x=(2, 3, 6, 6), w=(3, 3, 2, 2), b=(3,)), "wrong-operand", "transposed")
def conv_dx_channels_not_swapped(x, w, b):
    """dx with w[c, o] for w[o, c]; as many channels in as out, so the shape does not tell."""

    def backward(dy):
        return {
            "x": conv_dx(x, dy, w.transpose(1, 0, 2, 3)),
            "w": conv_dw(x, dy, w),
            "b": conv_db(dy),
        }

    return conv_forward(x, w, b), backward
