"""The words that only the LeNet-5 of 1998 needs: table_conv, subsample, scaled_tanh, rbf.

LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition,
section II.
"""

import math

import autograd.numpy as np
import numpy as onp

from autocnn import ops
from autocnn.autodiff import getval
from autocnn.layers.flat import pointwise
from autocnn.layers.initial import filled, he_normal, zeros
from autocnn.layers.layer import Layer
from autocnn.layers.spatial import image_shape
from autocnn.ops.arguments import pair, real, whole, window_shape

__all__ = ["rbf", "scaled_tanh", "subsample", "table_conv"]


def table_conv(table, kernel):
    """Convolve, each filter over its own choice of channels: (C, H, W) -> (len(table), Ho, Wo).

    ``table[f]`` lists the input channels that filter f sees (Table I of the paper). Parameters: w
    (P, kh, kw), one kernel for each of the P connections, table row by table row, ~ N(0, 2 /
    fan_in) with the fan-in of its filter; b (F,) = 0.
    """
    try:
        table = tuple(
            tuple(whole(c, "table_conv: a channel", least=0) for c in row) for row in table
        )
    except TypeError:  # not rows of anything
        table = ()
    if not table or any(not row or len(set(row)) < len(row) for row in table):
        raise ValueError(
            "table_conv: the table needs one row a filter, listing different channels, as in ((0, 1), (1, 2))"
        )
    kernel = pair(kernel, "table_conv: kernel")
    filters, connections = len(table), sum(map(len, table))

    def init(key, shape, dtype="float64"):
        c, h, w = image_shape("table_conv", shape)
        if max(map(max, table)) >= c:
            raise ValueError(
                f"table_conv: the table names channel {max(map(max, table))}, the input has 0 to {c - 1} only"
            )
        size = window_shape((h, w), kernel, op="table_conv")
        fan_in = onp.array([len(row) * math.prod(kernel) for row in table for _ in row])
        unit = he_normal(key, (connections, *kernel), 2, "float64")  # N(0, 1)
        weights = (unit * onp.sqrt(2 / fan_in)[:, None, None]).astype(dtype)
        return (filters, *size), {"w": weights, "b": zeros(key, (filters,), dtype)}, {}

    def forward(params, state, x, train, key):
        places = _places(table, x.shape[1]).astype(getval(x).dtype)
        weight = np.tensordot(
            places, params["w"], axes=([2], [0])
        )  # (F, C, P) . (P, kh, kw), 0 where nothing is connected
        return ops.conv2d(x, weight, params["b"]), state

    return Layer("table_conv", dict(table=table, kernel=kernel), init, forward)


def _places(table, channels):
    """Mark where the p-th connection sits among all pairs of filter and channel: (F, C, P) of 0
    and 1.
    """
    pairs = [(f, c) for f, row in enumerate(table) for c in row]
    places = onp.zeros((len(table), channels, len(pairs)))
    for p, (f, c) in enumerate(pairs):
        places[f, c, p] = 1
    return places


def subsample(size=2):
    """Add up each size x size block, times one coefficient plus one bias for each map: (C, H, W) ->
    (C, H // size, W // size).

    Parameters w (C,) = 1 / size^2, so that it starts as the average, and b (C,) = 0.
    """
    size = whole(size, "subsample: size")

    def init(key, shape, dtype="float64"):
        c, h, w = image_shape("subsample", shape)
        params = {"w": filled(key, (c,), 1 / size**2, dtype), "b": zeros(key, (c,), dtype)}
        return (c, *window_shape((h, w), size, size, op="subsample")), params, {}

    def forward(params, state, x, train, key):
        total = ops.avg_pool2d(x, size, divisor_override=1)  # (N, C, Ho, Wo)
        return total * np.reshape(params["w"], (-1, 1, 1)) + np.reshape(
            params["b"], (-1, 1, 1)
        ), state

    return Layer("subsample", dict(size=size), init, forward)


def scaled_tanh(amplitude=1.7159, slope=2 / 3):
    """Squash by amplitude * tanh(slope * x). With the defaults f(1) = 1 and f(-1) = -1, where
    |f''| is largest (appendix A).
    """
    amplitude, slope = real(amplitude, "scaled_tanh: amplitude"), real(slope, "scaled_tanh: slope")
    options = dict(amplitude=amplitude, slope=slope)
    return pointwise("scaled_tanh", lambda x: amplitude * ops.tanh(slope * x), options)


def rbf(codes):
    """Compare with fixed codes (K, D): (D,) -> (K,), minus the squared distance to each, y_k =
    -sum_d (x_d - codes_kd)^2.

    The codes are no parameters. The paper's output units (equation 7) are the distances themselves;
    with the sign turned they are logits, and the cross-entropy of their softmax is the paper's
    discriminative loss (equation 9) without its constant e^-j for images of no class: each class a
    Gaussian of variance 1/2 around its code.
    """
    try:
        codes = tuple(tuple(float(v) for v in row) for row in codes)
        table = onp.array(codes)
    except (TypeError, ValueError):
        table = onp.empty(0)
    if table.ndim != 2 or not table.size or not onp.isfinite(table).all():
        raise ValueError("rbf: codes must be K rows of D numbers, as in ((1, -1), (-1, 1))")

    def init(key, shape, dtype="float64"):
        if tuple(shape) != table.shape[1:]:
            raise ValueError(
                f"rbf: the codes have {table.shape[1]} numbers each, got inputs of shape {tuple(shape)}"
            )
        return (len(table),), {}, {}

    def forward(params, state, x, train, key):
        away = np.reshape(x, (-1, 1, table.shape[1])) - table.astype(
            getval(x).dtype
        )  # (N, 1, D) - (K, D)
        return -np.sum(away * away, axis=2), state

    return Layer("rbf", dict(codes=codes), init, forward)
