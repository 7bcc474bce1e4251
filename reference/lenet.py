"""The words of the LeNet-5 of 1998, with their backward passes: table_conv, subsample,
scaled_tanh, rbf.
"""

import numpy as np

from reference.checks import pair, real, whole, window_shape
from reference.initial import filled, he_normal, zeros
from reference.layer import Layer
from reference.spatial import conv

__all__ = ["rbf", "scaled_tanh", "subsample", "table_conv"]


def table_conv(table, kernel):
    """Convolve, filter f over the channels table[f] only: params w (P, kh, kw), one kernel a
    connection, and b (F,).

    It is a convolution whose other kernels are 0 and stay so: they get no gradient.
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
    full = conv(len(table), kernel)
    filters, channels = (
        np.array(a) for a in zip(*[(f, c) for f, row in enumerate(table) for c in row], strict=True)
    )

    def init(key, shape, dtype="float64"):
        size = window_shape("table_conv", shape, kernel, (1, 1), (0, 0))
        if channels.max() >= shape[0]:
            raise ValueError(
                f"table_conv: the table names channel {channels.max()}, the input has 0 to {shape[0] - 1} only"
            )
        fan_in = np.bincount(filters)[filters] * (kernel[0] * kernel[1])
        unit = he_normal(key, (len(filters), *kernel), 2, "float64")  # N(0, 1)
        weights = (unit * np.sqrt(2 / fan_in)[:, None, None]).astype(dtype)
        return (len(table), *size), {"w": weights, "b": zeros(key, (len(table),), dtype)}, {}

    def forward(params, state, x, train, key):
        w = np.zeros((len(table), x.shape[1], *kernel), params["w"].dtype)
        w[filters, channels] = params["w"]
        y, _, back = full.forward({"w": w, "b": params["b"]}, {}, x, train, key)

        def backward(dy):
            dx, grads = back(dy)
            return dx, {"w": grads["w"][filters, channels], "b": grads["b"]}

        return y, state, backward

    return Layer("table_conv", dict(table=table, kernel=kernel), init, forward)


def subsample(size=2):
    """Add up each block to s, then y = w s + b with one w and b for each map: dw = sum dy s, and
    w dy goes to each cell.
    """
    size = whole(size, "subsample: size")

    def init(key, shape, dtype="float64"):
        out = window_shape("subsample", shape, (size, size), (size, size), (0, 0))
        params = {
            "w": filled(key, (shape[0],), 1 / size**2, dtype),
            "b": zeros(key, (shape[0],), dtype),
        }
        return (shape[0], *out), params, {}

    def forward(params, state, x, train, key):
        n, c, h, w = x.shape
        ho, wo = h // size, w // size
        blocks = x[:, :, : ho * size, : wo * size].reshape(n, c, ho, size, wo, size)
        s, coefficient = blocks.sum(axis=(3, 5)), params["w"][:, None, None]

        def backward(dy):
            dx = np.zeros(x.shape, dy.dtype)
            dx[:, :, : ho * size, : wo * size] = (
                (dy * coefficient).repeat(size, axis=2).repeat(size, axis=3)
            )
            return dx, {"w": (dy * s).sum(axis=(0, 2, 3)), "b": dy.sum(axis=(0, 2, 3))}

        return s * coefficient + params["b"][:, None, None], state, backward

    return Layer("subsample", dict(size=size), init, forward)


def scaled_tanh(amplitude=1.7159, slope=2 / 3):
    """Squash by A tanh(S x): dx = dy S (A - y^2 / A)."""
    amplitude, slope = real(amplitude, "scaled_tanh: amplitude"), real(slope, "scaled_tanh: slope")

    def forward(params, state, x, train, key):
        y = amplitude * np.tanh(slope * x)
        return y, state, lambda dy: (dy * (slope * (amplitude - y * y / amplitude)), {})

    def init(key, shape, dtype="float64"):
        return tuple(shape), {}, {}

    return Layer("scaled_tanh", dict(amplitude=amplitude, slope=slope), init, forward)


def rbf(codes):
    """Compare with fixed codes (K, D): y_k = -|x - c_k|^2 = 2 x c_k - |x|^2 - |c_k|^2; dx = 2
    sum_k dy_k (c_k - x).
    """
    try:
        codes = tuple(tuple(float(v) for v in row) for row in codes)
        table = np.array(codes)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError("rbf: codes must be K rows of D numbers, as in ((1, -1), (-1, 1))")

    def init(key, shape, dtype="float64"):
        if tuple(shape) != table.shape[1:]:
            raise ValueError(
                f"rbf: the codes have {table.shape[1]} numbers each, got inputs of shape {tuple(shape)}"
            )
        return (len(table),), {}, {}

    def forward(params, state, x, train, key):
        c = table.astype(x.dtype)
        y = 2 * x @ c.T - (x * x).sum(axis=1, keepdims=True) - (c * c).sum(axis=1)

        def backward(dy):
            return 2 * (dy @ c - dy.sum(axis=1, keepdims=True) * x), {}

        return y, state, backward

    return Layer("rbf", dict(codes=codes), init, forward)
