"""The words of the LeNet-5 of 1998, by hand: table_conv, subsample, rbf."""

import numpy as np

from reference import vocabulary as declare
from reference.layer import by_hand
from reference.spatial import conv

__all__ = ["rbf", "subsample", "table_conv"]


@by_hand(declare.table_conv)
def table_conv(o, params, state, x, train, key):
    """A convolution whose other kernels are 0 and stay 0: they get no gradient."""
    filters, channels = np.array([(f, c) for f, row in enumerate(o.table) for c in row]).T
    w = np.zeros((len(o.table), x.shape[1], *o.kernel), params["w"].dtype)
    w[filters, channels] = params["w"]
    full = conv(len(o.table), o.kernel)
    y, _, back = full.pullback({"w": w, "b": params["b"]}, {}, x, train, key)

    def backward(dy):
        dx, grads = back(dy)
        return dx, {"w": grads["w"][filters, channels], "b": grads["b"]}

    return y, state, backward


@by_hand(declare.subsample)
def subsample(o, params, state, x, train, key):
    """With s the sum of a block: dw = sum dy s, db = sum dy, and w dy goes to each cell."""
    n, c, h, w = x.shape
    size, ho, wo = o.size, h // o.size, w // o.size
    blocks = x[:, :, : ho * size, : wo * size].reshape(n, c, ho, size, wo, size)
    s, coefficient = blocks.sum(axis=(3, 5)), params["w"][:, None, None]

    def backward(dy):
        dx = np.zeros(x.shape, dy.dtype)
        spread = (dy * coefficient).repeat(size, axis=2).repeat(size, axis=3)
        dx[:, :, : ho * size, : wo * size] = spread
        return dx, {"w": (dy * s).sum(axis=(0, 2, 3)), "b": dy.sum(axis=(0, 2, 3))}

    return s * coefficient + params["b"][:, None, None], state, backward


@by_hand(declare.rbf)
def rbf(o, params, state, x, train, key):
    """y_k = 2 x c_k - |x|^2 - |c_k|^2, hence dx = 2 sum_k dy_k (c_k - x)."""
    c = np.array(o.codes, x.dtype)
    y = 2 * x @ c.T - (x * x).sum(axis=1, keepdims=True) - (c * c).sum(axis=1)

    def backward(dy):
        return 2 * (dy @ c - dy.sum(axis=1, keepdims=True) * x), {}

    return y, state, backward
