"""Convolution over channels-last images, forward and backward.

The kernel decides the algorithm:

    1 x 1                    one matrix product: the images are the matrix already
    3 x 3, stride 1          Winograd's F(2 x 2, 3 x 3), 2.25 times fewer multiplications, where
                             the outputs are many enough to repay the transforms
    a group for each channel a sum over the kernel's offsets, cell by cell
    everything else          windows copied into patches, then a matrix product

The first, second and last work in blocks that fit into the cache: copy or transform a block,
multiply it, apply bias and ReLU while it is there. No array of patches is larger than a few
megabytes, whatever the batch.
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np
from numpy import ndarray

from autocnn.fast import winograd
from autocnn.fast.depthwise import convolve_depthwise
from autocnn.fast.kernels import kernels_for, tuning
from autocnn.ops.arguments import window_shape

__all__ = ["convolve", "relu_bias_backward"]

Pair = tuple[int, int]
# backward(dy, need_dx) -> (dx or None, dw)
Backward = Callable[[ndarray, bool], tuple[ndarray | None, ndarray]]

_NO_SCALE = {char: np.empty(0, char) for char in "fd"}


def convolve(
    x: ndarray,
    w: ndarray,
    b: ndarray | None,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
    groups: int = 1,
    relu: bool = False,
    scale: ndarray | None = None,
) -> tuple[ndarray, Backward]:
    """Cross-correlate images x (N, H, W, C) with w (F, C / groups, kh, kw), then finish the output.

    Returns (y, backward). y (N, Ho, Wo, F) is multiplied by ``scale`` (F,) unless that is None, b
    (F,) is added unless it is None, and with ``relu`` negative outputs become 0. x is contiguous.
    ``backward(dy, need_dx)`` takes the gradient dy (N, Ho, Wo, F), contiguous, of the plain
    convolution, without scale, b and ReLU, and returns (dx, dw), with dx None unless ``need_dx``.
    It runs on the backend that computed y.
    """
    if groups > 1 and groups == x.shape[3]:
        return convolve_depthwise(x, w, b, stride, padding, dilation, relu, scale)
    if groups > 1:
        return _grouped(groups, x, w, b, stride, padding, dilation, relu, scale)
    f, (kh, kw) = len(w), w.shape[2:]
    y = np.empty(
        (len(x), *window_shape(x.shape[1:3], (kh, kw), stride, padding, dilation, op="conv"), f),
        x.dtype,
    )
    b = np.zeros(f, x.dtype) if b is None else np.ascontiguousarray(b)
    scale = _NO_SCALE[x.dtype.char] if scale is None else np.ascontiguousarray(scale)
    kernels = kernels_for(max(x.size, y.size))
    if (kh, kw) == (1, 1) and padding == (0, 0):
        return y, _pointwise(kernels, x, w, scale, b, y, stride, relu)
    if _is_winograd(w, stride, padding, dilation, y.shape):
        winograd.forward(kernels, x, w, scale, b, y, padding, relu)
        return y, lambda dy, need_dx: winograd.backward(kernels, dy, x, w, padding, need_dx)
    return y, kernels.conv_patches(x, w, scale, b, y, stride, padding, dilation, relu)


def _grouped(groups, x, w, b, stride, padding, dilation, relu, scale):
    """Convolve each group of channels, the last axis of x, with its filters, the first of w."""
    parts = [_split(a, groups, axis) for a, axis in ((x, 3), (w, 0), (b, 0), (scale, 0))]
    ys, backwards = zip(
        *(
            convolve(x, w, b, stride, padding, dilation, 1, relu, s)
            for x, w, b, s in zip(*parts, strict=True)
        ),
        strict=True,
    )

    def backward(dy, need_dx):
        dys = _split(dy, groups, 3)
        dxs, dws = zip(
            *(back(dy, need_dx) for back, dy in zip(backwards, dys, strict=True)), strict=True
        )
        return np.concatenate(dxs, axis=3) if need_dx else None, np.concatenate(dws)

    return np.concatenate(ys, axis=3), backward


def _split(a, groups, axis):
    if a is None:
        return [None] * groups
    return [np.ascontiguousarray(part) for part in np.split(a, groups, axis=axis)]


def _is_winograd(w, stride, padding, dilation, out):
    """Return whether Winograd's algorithm applies, and saves time, for outputs of shape ``out``
    (N, Ho, Wo, F).
    """
    (f, c, kh, kw), (n, ho, wo, _) = w.shape, out
    applies = (kh, kw) == (3, 3) and stride == dilation == (1, 1) and max(padding) <= 2
    if not applies or min(c, f) < tuning.WINOGRAD_MIN_CHANNELS:
        return False
    tiles = n * ((ho + 1) // 2) * ((wo + 1) // 2)
    # multiplications for each pair of a channel and a filter
    return 9 * n * ho * wo > 16 * tiles + tuning.WINOGRAD_TRANSFORM_COST


def _pointwise(kernels: ModuleType, x, w, scale, b, y, stride, relu) -> Backward:
    """Write a convolution with 1 x 1 kernels into y; return its backward function."""
    (sh, sw), (f, c) = stride, w.shape[:2]

    def rows():
        """The pixels that the kernel meets, (N Ho Wo, C)."""
        return np.ascontiguousarray(x[:, ::sh, ::sw]).reshape(-1, c)

    kernel = np.ascontiguousarray(w.reshape(f, c))
    kernels.matmul_nt(rows(), kernel, scale, b, y.reshape(-1, f), relu)  # (M, C) . (C, F)

    def backward(dy, need_dx):
        g, xs, dw = dy.reshape(-1, f), rows(), np.empty((f, c), x.dtype)
        kernels.matmul_tn(g, xs, dw)  # (F, M) . (M, C)
        dw = dw.reshape(w.shape)
        if not need_dx:
            return None, dw
        dxs, zeros = np.empty(xs.shape, x.dtype), np.zeros(c, x.dtype)
        kernels.matmul(g, kernel, _NO_SCALE[x.dtype.char], zeros, dxs, False)  # (M, F) . (F, C)
        if stride == (1, 1):
            return dxs.reshape(x.shape), dw
        dx = np.zeros(x.shape, x.dtype)
        met = dx[:, ::sh, ::sw]
        met[...] = dxs.reshape(met.shape)
        return dx, dw

    return backward


def relu_bias_backward(dy: ndarray, y: ndarray | None) -> tuple[ndarray, ndarray]:
    """Return (g, db): the gradients in front of a ReLU and of a bias, for dy (..., F).

    g is dy where the ReLU's output y > 0, else 0; without a ReLU, y is None and g is dy. db (F,) is
    the sum of g over all axes but the last.
    """
    f = dy.shape[-1]
    rows, kernels = dy.reshape(-1, f), kernels_for(dy.size)
    if y is None:
        return dy, kernels.column_sums(rows).astype(dy.dtype)
    g = np.empty(dy.shape, dy.dtype)
    db = kernels.relu_bias_backward(rows, y.reshape(-1, f), g.reshape(-1, f))
    return g, db.astype(dy.dtype)
