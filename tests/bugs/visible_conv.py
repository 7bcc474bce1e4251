"""Planted bugs: convolution."""

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
    pad,
    strided_arrays,
)


@bug("conv", conv_arrays, "partial")
def conv_last_example_only(x, w, b):
    """dw is assigned inside the loop over examples, so only the last one is left."""

    def backward(dy):
        for n in range(len(x)):
            dw = conv_dw(x[n : n + 1], dy[n : n + 1], w)
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", naive_arrays, "partial", "overwritten")
def conv_dw_last_window_only(x, w, b, stride=3):
    """`=` for `+=`: each window (and each example) overwrites dw, so the last window of the last
    example is left.
    """
    y = conv_forward(x, w, b, stride)

    def backward(dy):
        dw, kh, kw = np.zeros_like(w), w.shape[2], w.shape[3]
        for n in range(len(x)):
            for o in range(len(w)):
                for i in range(y.shape[2]):
                    for j in range(y.shape[3]):
                        patch = x[n, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
                        dw[o] = dy[n, o, i, j] * patch
        return {"x": conv_dx(x, dy, w, stride), "w": dw, "b": conv_db(dy)}

    return y, backward


@bug("conv", strided_arrays, "scale")
def conv_dw_averaged_over_batch(x, w, b):
    """dw / N although the loss has averaged already."""

    def backward(dy):
        N = x.shape[0]
        dw = conv_dw(x, dy, w, stride=2, padding=1) / N
        return {"x": conv_dx(x, dy, w, stride=2, padding=1), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b, stride=2, padding=1), backward


@bug("conv", normal(x=(2, 3, 6, 6), w=(4, 3, 3, 3), b=(4,)), "transposed", "permuted")
def conv_kh_kw_swapped(x, w, b):
    """dw[:, :, j, i] for dw[:, :, i, j]; on a square kernel the shape does not tell."""
    y = conv_forward(x, w, b)

    def backward(dy):
        dw = np.zeros_like(w)
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                patch = x[:, :, i : i + y.shape[2], j : j + y.shape[3]]
                dw[:, :, j, i] = np.tensordot(dy, patch, axes=([0, 2, 3], [0, 2, 3]))
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return y, backward


@bug("conv", conv_arrays, "wrong-operand", "flipped")
def conv_dx_kernel_flipped(x, w, b):
    """dx is scattered with the rotated kernel: the rotation belongs to the full-correlation form
    only.
    """

    def backward(dy):
        rotated = w[:, :, ::-1, ::-1]
        return {"x": conv_dx(x, dy, rotated), "w": conv_dw(x, dy, w), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "wrong-operand", "flipped")
def conv_dx_full_without_rotation(x, w, b):
    """dx as a full correlation with the kernel, whose rotation by 180 degrees was forgotten."""

    def backward(dy):
        kh, kw = w.shape[2:]
        padded = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        dx = conv_forward(padded, w.transpose(1, 0, 2, 3), np.zeros(x.shape[1], x.dtype))
        return {"x": dx, "w": conv_dw(x, dy, w), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "overwritten")
def conv_col2im_assigns(x, w, b):
    """`=` for `+=` in col2im: where windows overlap only the last one counts."""
    y = conv_forward(x, w, b)

    def backward(dy):
        dx = np.zeros_like(x)
        kh, kw = w.shape[2:]
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                dx[:, :, i : i + kh, j : j + kw] = np.tensordot(dy[:, :, i, j], w, axes=1)
        return {"x": dx, "w": conv_dw(x, dy, w), "b": conv_db(dy)}

    return y, backward


@bug("conv", strided_arrays, "shape")
def conv_padding_not_cropped(x, w, b):
    """dx has the shape of the padded input."""

    def backward(dy):
        xp = pad(x, 1)
        return {
            "x": conv_dx(xp, dy, w, stride=2),
            "w": conv_dw(xp, dy, w, stride=2),
            "b": conv_db(dy),
        }

    return conv_forward(x, w, b, stride=2, padding=1), backward


@bug("conv", strided_arrays, "shifted")
def conv_padding_cropped_at_one_side(x, w, b):
    """dx is cropped as dxp[:, :, :H, :W]: all of the padding is cut off at the bottom and the
    right.
    """

    def backward(dy):
        xp, (H, W) = pad(x, 1), x.shape[2:]
        dx = conv_dx(xp, dy, w, stride=2)[:, :, :H, :W]
        return {"x": dx, "w": conv_dw(xp, dy, w, stride=2), "b": conv_db(dy)}

    return conv_forward(x, w, b, stride=2, padding=1), backward


@bug("conv", naive_arrays, "shape")
def conv_remainder_rows_lost(x, w, b, stride=3):
    """dx is built from the windows, (Ho - 1) s + kh rows; the input had two rows more, which no
    window reads.
    """
    y = conv_forward(x, w, b, stride)

    def backward(dy):
        (N, C), (_, _, kh, kw), (Ho, Wo) = x.shape[:2], w.shape, y.shape[2:]
        dx = np.zeros((N, C, (Ho - 1) * stride + kh, (Wo - 1) * stride + kw), x.dtype)
        return {"x": conv_dx(dx, dy, w, stride), "w": conv_dw(x, dy, w, stride), "b": conv_db(dy)}

    return y, backward


@bug("conv", naive_arrays, "wrong-operand", "shifted", "permuted")
def conv_stride_ignored_in_dx(x, w, b):
    """dx is scattered at i, j instead of i s, j s."""

    def backward(dy):
        return {
            "x": conv_dx(x, dy, w, stride=1),
            "w": conv_dw(x, dy, w, stride=3),
            "b": conv_db(dy),
        }

    return conv_forward(x, w, b, stride=3), backward


@bug("conv", grouped_arrays, "group", "partial")
def conv_groups_only_last_filled(x, w, b, groups=2):
    """dw is allocated anew for each group, so only the last group's part is filled."""

    def backward(dy):
        O, C = len(w) // groups, x.shape[1] // groups
        for g in range(groups):
            dw, outputs = np.zeros_like(w), slice(g * O, (g + 1) * O)
            dw[outputs] = conv_dw(x[:, g * C : (g + 1) * C], dy[:, outputs], w[outputs])
        return {"x": conv_dx(x, dy, w, groups=groups), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b, groups=groups), backward


@bug("conv", conv_arrays, "broadcast")
def conv_db_summed_over_channels(x, w, b):
    """db gets the sum over everything, the channels too, in each entry."""

    def backward(dy):
        db = np.zeros_like(b)
        db += dy.sum()
        return {"x": conv_dx(x, dy, w), "w": conv_dw(x, dy, w), "b": db}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "partial")
def conv_db_one_position_only(x, w, b):
    """db sums over the examples at one position: dy[:, :, 0, 0]."""

    def backward(dy):
        return {"x": conv_dx(x, dy, w), "w": conv_dw(x, dy, w), "b": dy[:, :, 0, 0].sum(axis=0)}

    return conv_forward(x, w, b), backward


@bug("conv", strided_arrays, "zero")
def conv_db_never_set(x, w, b):
    """db is allocated and never filled."""

    def backward(dy):
        db = np.zeros_like(b)
        return {"x": conv_dx(x, dy, w, 2, 1), "w": conv_dw(x, dy, w, 2, 1), "b": db}

    return conv_forward(x, w, b, 2, 1), backward


@bug("conv", conv_arrays, "shape")
def conv_db_positions_not_summed(x, w, b):
    """db is summed over the examples only: (O, Ho, Wo)."""
    return conv_forward(x, w, b), lambda dy: {
        "x": conv_dx(x, dy, w),
        "w": conv_dw(x, dy, w),
        "b": dy.sum(axis=0),
    }


@bug("conv", strided_arrays, "wrong-operand", "shifted")
def conv_dw_from_unpadded_input(x, w, b):
    """dw reads windows of x at i s, as if x had not been padded: shifted by the padding, with
    zeros past the end.
    """

    def backward(dy):
        late = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)))
        return {"x": conv_dx(x, dy, w, 2, 1), "w": conv_dw(late, dy, w, 2), "b": conv_db(dy)}

    return conv_forward(x, w, b, 2, 1), backward


@bug("conv", conv_arrays, "dtype")
def conv_buffer_in_float32(x, w, b):
    """dw is accumulated in a float32 buffer: half of the digits are gone."""

    def backward(dy):
        dw = np.zeros(w.shape, np.float32)
        dw += conv_dw(x, dy, w)
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "partial")
def conv_dx_border_left_out(x, w, b):
    """A `valid` loop for dx: only pixels that a whole kernel surrounds are filled, the border
    stays zero.
    """

    def backward(dy):
        kh, kw = w.shape[2:]
        full, dx = conv_dx(x, dy, w), np.zeros_like(x)
        for i in range(kh - 1, x.shape[2] - kh + 1):
            for j in range(kw - 1, x.shape[3] - kw + 1):
                dx[:, :, i, j] = full[:, :, i, j]
        return {"x": dx, "w": conv_dw(x, dy, w), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "partial")
def conv_loop_stops_a_row_early(x, w, b):
    """range(Ho - 1): the last row of windows never contributes to dw."""
    y = conv_forward(x, w, b)

    def backward(dy):
        dw, (kh, kw) = np.zeros_like(w), w.shape[2:]
        for i in range(y.shape[2] - 1):
            for j in range(y.shape[3]):
                dw += np.tensordot(dy[:, :, i, j], x[:, :, i : i + kh, j : j + kw], axes=([0], [0]))
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return y, backward


@bug("conv", conv_arrays, "broadcast", "wrong-operand")
def conv_dw_from_one_input_channel(x, w, b):
    """dw reads x[:, 0] for each input channel (right for the grey images it was written for)."""

    def backward(dy):
        grey = np.broadcast_to(
            x[:, :1], x.shape
        )  # each channel of dw is the gradient of channel 0: constant along C
        return {"x": conv_dx(x, dy, w), "w": conv_dw(grey, dy, w), "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "accumulates")
def conv_gradient_buffer_never_cleared(x, w, b):
    """dw lives outside backward and is added to, as in `self.dw += ...` without a zero_grad."""
    dw = np.zeros_like(w)

    def backward(dy):
        nonlocal dw
        dw = dw + conv_dw(x, dy, w)
        return {"x": conv_dx(x, dy, w), "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b), backward


@bug("conv", conv_arrays, "mutates-input")
def conv_updates_weights_in_backward(x, w, b):
    """The gradient step is taken inside backward, in place: w has changed for whoever reads it
    next.
    """

    def backward(dy):
        dx, dw = conv_dx(x, dy, w), conv_dw(x, dy, w)
        w[...] -= 0.01 * dw
        return {"x": dx, "w": dw, "b": conv_db(dy)}

    return conv_forward(x, w, b), backward
