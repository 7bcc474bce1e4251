"""Convolution over channels-last images, forward and backward, by the algorithm that suits the
kernel.

    1 x 1                    a plain product: the images are the matrix already
    3 x 3, step 1            Winograd's F(2 x 2, 3 x 3), 2.25 times fewer multiplications, if there are enough to save
    everything else          windows copied into patches, then a product

All three work through blocks that fit into the cache: copy or transform a block, multiply it at
once, finish it (bias, ReLU) while it is warm. No array of patches is ever larger than a few
megabytes, whatever the batch.
"""

import numpy as np

from autocnn.fast.kernels import kernels_for
from autocnn.fast.kernels import numpy as kernels_numpy
from autocnn.ops.arguments import window_shape

__all__ = ["convolve", "convolve_back", "relu_back"]

NOTHING = {char: np.empty(0, char) for char in "fd"}
# A kernel's transform is 25 numbers read and written, which takes as long as so many
# multiplications in a product.
TRANSFORM = 750
NO_IMAGES = {char: np.empty((0, 0, 0, 0), char) for char in "fd"}


def convolve(
    x, w, b, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, relu=False, scale=None
):
    """Return (y, kept): y (N, Ho, Wo, F) for contiguous x (N, H, W, C), w (F, C / groups, kh, kw)
    and b (F,) or None.

    y is multiplied by ``scale`` (F,), if any, before b is added; with ``relu``, it is max(y, 0).
    ``kept`` is for ``convolve_back``.
    """
    if groups > 1:
        parts = _cut(groups, [x], [w, b, scale])
        ys = [convolve(x, w, b, stride, padding, dilation, 1, relu, s)[0] for x, w, b, s in parts]
        return np.concatenate(ys, axis=3), None
    ho, wo = window_shape(x.shape[1:3], w.shape[2:], stride, padding, dilation, op="conv")
    f = len(w)
    y = np.empty((len(x), ho, wo, f), x.dtype)
    b = np.zeros(f, x.dtype) if b is None else np.ascontiguousarray(b)
    scale = NOTHING[x.dtype.char] if scale is None else np.ascontiguousarray(scale)
    kernels = kernels_for(max(x.size, y.size))
    if _is_product(w, padding):
        kernels.times_transposed(_stepped(x, stride), _matrix(w), scale, b, y.reshape(-1, f), relu)
    elif _is_winograd(w, stride, padding, dilation, y.shape):
        from autocnn.fast import winograd

        winograd.forward(kernels, x, w, scale, b, y, padding, relu)
    else:
        return y, kernels.patches(
            _padded(x, padding), _channels_last(w), scale, b, y, stride, dilation, relu
        )
    return y, None


def convolve_back(
    dy, x, w, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, need_dx=True, kept=None
):
    """Return (dx or None, dw) for contiguous dy (N, Ho, Wo, F): the products of dy with the two
    Jacobians.
    """
    if groups > 1:
        pairs = [
            convolve_back(*part, stride, padding, dilation, 1, need_dx)
            for part in _cut(groups, [dy, x], [w])
        ]
        return np.concatenate([dx for dx, _ in pairs], axis=3) if need_dx else None, np.concatenate(
            [dw for _, dw in pairs]
        )
    kernels = (
        kernels_for(max(x.size, dy.size)) if kept is None else kernels_numpy
    )  # the only ones that keep anything
    if _is_product(w, padding):
        return _product_back(kernels, dy, x, w, stride, need_dx)
    if _is_winograd(w, stride, padding, dilation, dy.shape):
        from autocnn.fast import winograd

        return winograd.back(kernels, dy, x, w, padding, need_dx)
    (ph, pw), (n, h, width, c) = padding, x.shape
    dimage = (
        np.zeros((n, h + 2 * ph, width + 2 * pw, c), x.dtype)
        if need_dx
        else NO_IMAGES[x.dtype.char]
    )
    image = _padded(x, padding) if kept is None else x
    dw = kernels.patches_back(image, dy, _channels_last(w), dimage, stride, dilation, kept)
    dx = np.ascontiguousarray(dimage[:, ph : ph + h, pw : pw + width]) if need_dx else None
    return dx, np.ascontiguousarray(dw.transpose(0, 3, 1, 2))


def _cut(groups, images, others):
    """Cut images at their channels, the last axis, and kernels and biases at their filters, the
    first: one list a group.
    """
    parts = [np.split(a, groups, axis=3) for a in images]
    parts += [[None] * groups if a is None else np.split(a, groups) for a in others]
    return [
        [None if a is None else np.ascontiguousarray(a) for a in part]
        for part in zip(*parts, strict=True)
    ]


def _is_product(w, padding):
    return w.shape[2:] == (1, 1) and padding == (0, 0)


def _is_winograd(w, stride, padding, dilation, out):
    """Say whether a convolution with outputs ``out`` (N, Ho, Wo, F) is one for Winograd's
    algorithm, and saves time by it.
    """
    (f, c, kh, kw), (n, ho, wo, _) = w.shape, out
    if (kh, kw) != (3, 3) or not stride == dilation == (1, 1) or max(padding) > 2 or min(c, f) < 16:
        return False
    tiles = n * ((ho + 1) // 2) * ((wo + 1) // 2)
    return 9 * n * ho * wo > 16 * tiles + TRANSFORM  # multiplications for each channel and filter


def _product_back(kernels, dy, x, w, stride, need_dx):
    xs, kernel, f = _stepped(x, stride), _matrix(w), dy.shape[3]
    g, dw = dy.reshape(-1, f), np.empty(kernel.shape, x.dtype)
    kernels.transposed_times(g, xs, dw)  # (F, M) . (M, C)
    if not need_dx:
        return None, dw.reshape(w.shape)
    dxs, c = np.empty(xs.shape, x.dtype), xs.shape[1]
    kernels.times(
        g, kernel, NOTHING[x.dtype.char], np.zeros(c, x.dtype), dxs, False
    )  # (M, F) . (F, C)
    if stride == (1, 1):
        return dxs.reshape(x.shape), dw.reshape(w.shape)
    dx = np.zeros(x.shape, x.dtype)
    met = dx[:, :: stride[0], :: stride[1]]
    met[...] = dxs.reshape(met.shape)
    return dx, dw.reshape(w.shape)


def _stepped(x, stride):
    """Images as one matrix (N Ho Wo, C), those cells that a 1 x 1 kernel meets."""
    sh, sw = stride
    return np.ascontiguousarray(x[:, ::sh, ::sw] if stride != (1, 1) else x).reshape(-1, x.shape[3])


def _matrix(w):
    """Kernels (F, C, 1, 1) as a contiguous matrix (F, C)."""
    return np.ascontiguousarray(w.reshape(w.shape[:2]))


def _channels_last(w):
    """Kernels (F, C, kh, kw) as a contiguous (F, kh, kw, C), the patches' order."""
    return np.ascontiguousarray(w.transpose(0, 2, 3, 1))


def _padded(x, padding):
    ph, pw = padding
    if ph == pw == 0:
        return x
    n, h, w, c = x.shape
    image = np.zeros((n, h + 2 * ph, w + 2 * pw, c), x.dtype)
    image[:, ph : ph + h, pw : pw + w] = x
    return image


def relu_back(dy, y):
    """Return (g, its sums over all but the last axis), the gradients before a ReLU and of a bias: g
    is dy where y > 0.

    Without a ReLU, y is None and g is dy.
    """
    f = dy.shape[-1]
    rows, kernels = dy.reshape(-1, f), kernels_for(dy.size)
    if y is None:
        return dy, kernels.column_sums(rows).astype(dy.dtype)
    g = np.empty(dy.shape, dy.dtype)
    return g, kernels.relu_back(rows, y.reshape(-1, f), g.reshape(-1, f)).astype(dy.dtype)
