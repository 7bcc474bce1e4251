"""Planted bugs: a second list, of other layers, held back while the rules were written."""

import numpy as np

from . import bug, normal
from .twins import (
    conv1d_dx,
    conv1d_forward,
    depthwise,
    depthwise_arrays,
    depthwise_dw,
    matrix_arrays,
    signal_arrays,
    stable_sigmoid,
    stable_softmax,
    with_integers,
)


@bug("signal", signal_arrays, "shifted", "wrong-operand")
def conv1d_taps_off_by_one(x, w):
    """dw's tap i reads x from i + 1 on (an index that counts from 1)."""
    T = x.shape[2] - w.shape[2] + 1

    def backward(dy):
        dw, late = np.zeros_like(w), np.pad(x, ((0, 0), (0, 0), (0, 1)))
        for i in range(w.shape[2]):
            dw[:, :, i] = np.einsum("not,nct->oc", dy, late[:, :, i + 1 : i + 1 + T])
        return {"x": conv1d_dx(x, dy, w), "w": dw}

    return conv1d_forward(x, w), backward


@bug("depthwise", depthwise_arrays, "wrong-operand", "flipped")
def depthwise_dx_correlates(x, w):
    """dx is dy, padded and correlated with the kernel that should have been turned."""

    def backward(dy):
        kh, kw = w.shape[1:]
        padded = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        return {"x": depthwise(padded, w), "w": depthwise_dw(x, dy, w)}

    return depthwise(x, w), backward


@bug("upsample", normal(x=(2, 12, 3, 3)), "permuted", "wrong-operand")
def pixel_shuffle_axes_mixed_up(x, r=2):
    """The channel axis is split as (r, C, r) on the way back and as (C, r, r) on the way there."""
    # dx has its entries moved; or: dy is read in another order
    N, C, H, W = x.shape
    c = C // r**2
    y = x.reshape(N, c, r, r, H, W).transpose(0, 1, 4, 2, 5, 3).reshape(N, c, H * r, W * r)

    def backward(dy):
        blocks = dy.reshape(N, c, H, r, W, r).transpose(0, 3, 1, 5, 2, 4)  # (N, r, c, r, H, W)
        return {"x": blocks.reshape(x.shape).copy()}

    return y, backward


@bug("borders", normal(x=(2, 3, 7, 7)), "shifted", "permuted")
def centre_crop_put_back_at_the_corner(x):
    """The crop of the centre is written back into the top left corner."""

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, :, :3, :3] = dy
        return {"x": dx}

    return x[:, :, 2:5, 2:5].copy(), backward


@bug("activation", normal(x=(6, 5), a=(5,)), "scale")
def prelu_slope_gradient_averaged(x, a):
    """The gradient of the learned slopes is a mean over the examples."""
    low = x <= 0

    def backward(dy):
        return {"x": dy * np.where(low, a, 1), "a": (dy * x * low).mean(axis=0)}

    return np.where(low, a * x, x), backward


@bug("activation", normal(x=(6, 5), a=(5,)), "mask")
def prelu_slope_gradient_without_mask(x, a):
    """The gradient of the learned slopes sums over all entries, also those that did not use a
    slope.
    """
    low = x <= 0

    def backward(dy):
        return {"x": dy * np.where(low, a, 1), "a": (dy * x).sum(axis=0)}

    return np.where(low, a * x, x), backward


@bug("elementary", matrix_arrays, "scale")
def cube_without_its_three(x):
    """d x^3 = x^2 dy: the 3 is missing."""
    return x**3, lambda dy: {"x": dy * x**2}


@bug("elementary", normal(a=(6, 5), b=(6, 5)), "sign")
def difference_as_sum(a, b):
    """a - b with b's gradient + dy."""
    return a - b, lambda dy: {"a": dy.copy(), "b": dy * 1.0}


@bug("matrices", normal(x=(3, 5, 4), w=(4, 6)), "partial")
def time_steps_first_sequence_only(x, w):
    """A dense layer over sequences (N, T, D): dw from the first sequence."""
    return x @ w, lambda dy: {"x": dy @ w.T, "w": x[0].T @ dy[0]}


@bug("losses", normal(x=(7, 3), t=(7, 3)), "wrong-operand", "mask")
def absolute_error_as_squared(x, t):
    """mean |x - t| with the gradient (x - t) / n: the sign was forgotten."""

    def backward(dy):
        d = dy * (x - t) / x.size
        return {"x": d, "t": -d}

    return np.abs(x - t).mean(), backward


@bug("losses", normal(z=(6, 4)), "wrong-operand")
def logsumexp_softmax_over_columns(z):
    """log sum exp of each row, whose gradient is the softmax, taken along the columns."""
    top = z.max(axis=1)
    y = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return y, lambda dy: {"z": dy[:, None] * stable_softmax(z.T).T}


@bug("norms", normal(v=(5, 4), g=(4,)), "missing-path")
def weight_norm_projection_forgotten(v, g):
    """g v / |v| by columns: the gradient of v lacks the part along v."""
    length = np.sqrt((v * v).sum(axis=0))
    return g * v / length, lambda dy: {"v": dy * g / length, "g": (dy * v).sum(axis=0) / length}


columns = with_integers(matrix_arrays, chosen=[4, 1, 4, 0])


@bug("masks", columns, "overwritten")
def chosen_columns_assigned(x, chosen):
    """Columns are gathered, one of them twice; `=` keeps the gradient of the last copy."""

    def backward(dy):
        dx = np.zeros_like(x)
        for place, column in enumerate(chosen):
            dx[:, column] = dy[:, place]
        return {"x": dx}

    return x[:, chosen], backward


@bug("blocks", normal(x=(4, 6), w=(6, 6)), "missing-path")
def squeeze_gate_taken_for_constant(x, w):
    """x s(x w): the gate's dependence on x is left out, though dw is right."""
    s = stable_sigmoid(x @ w)
    return x * s, lambda dy: {"x": dy * s, "w": x.T @ (dy * x * s * (1 - s))}


@bug("blocks", normal(x=(5, 4), w1=(4, 4), w2=(4, 4)), "wrong-operand")
def second_weight_reads_the_first_input(x, w1, w2):
    """tanh(x w1) w2: dw2 is computed with x where tanh(x w1) was the input."""
    h = np.tanh(x @ w1)

    def backward(dy):
        da = dy @ w2.T * (1 - h * h)
        return {"x": da @ w1.T, "w1": x.T @ da, "w2": x.T @ dy}

    return h @ w2, backward
