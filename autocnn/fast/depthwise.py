"""Depthwise convolution over channels-last images: every filter sees one channel.

    y[n, i, j, c] = sum_{u, v} w[u, v, c] x[n, i s + u d, j s + v d, c]

There is no matrix in it: the sum over the kernel's offsets is taken cell by cell, forward and
backward, over slices of the padded image.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy import ndarray

from autocnn.fast.arrays import pad, unpad
from reference.arguments import window_shape

__all__ = ["convolve_depthwise"]

Pair = tuple[int, int]


def convolve_depthwise(
    x: ndarray,
    w: ndarray,
    b: ndarray | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    relu: bool = False,
    scale: ndarray | None = None,
) -> tuple[ndarray, Callable[[ndarray, bool], tuple[ndarray | None, ndarray]]]:
    """Return (y, backward) as ``convolution.convolve`` does, for w (F, 1, kh, kw), F = C each."""
    n, h, width, c = x.shape
    f, _, kh, kw = w.shape
    each, out = f // c, window_shape("conv", (h, width), (kh, kw), stride, padding, dilation)
    geometry = (kh, kw), stride, dilation, out
    kernels = np.ascontiguousarray(w.reshape(c, each, kh, kw).transpose(2, 3, 1, 0))
    image = pad(x, padding)
    y = np.empty((n, *out, c, each), x.dtype)
    for e in range(each):
        total = np.zeros((n, *out, c), x.dtype)
        for u, v, cells in _offsets(image, *geometry):
            total += cells * kernels[u, v, e]
        y[..., e] = total
    y = y.reshape(n, *out, f)
    if scale is not None:
        y *= scale
    if b is not None:
        y += b
    if relu:
        np.maximum(y, 0, out=y)

    def backward(dy: ndarray, need_dx: bool = True) -> tuple[ndarray | None, ndarray]:
        dw = np.empty(kernels.shape, x.dtype)
        dimage = np.zeros(image.shape if need_dx else (0, 0, 0, 0), x.dtype)
        for e in range(each):
            dy_e = np.ascontiguousarray(dy.reshape(n, *out, c, each)[..., e])
            for u, v, cells in _offsets(image, *geometry):
                dw[u, v, e] = np.einsum("nijc,nijc->c", cells, dy_e)
            for u, v, cells in _offsets(dimage, *geometry) if need_dx else ():
                cells += dy_e * kernels[u, v, e]
        dw = np.ascontiguousarray(dw.transpose(3, 2, 0, 1)).reshape(w.shape)
        return unpad(dimage, padding) if need_dx else None, dw

    return y, backward


def _offsets(
    image: ndarray, kernel: Pair, stride: Pair, dilation: Pair, out: Pair
) -> Iterator[tuple[int, int, ndarray]]:
    """Yield (u, v, the slice of the image that the kernel's offset (u, v) meets)."""
    (sh, sw), (dh, dw), (ho, wo) = stride, dilation, out
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            rows = slice(u * dh, u * dh + (ho - 1) * sh + 1, sh)
            yield u, v, image[:, rows, v * dw : v * dw + (wo - 1) * sw + 1 : sw]
