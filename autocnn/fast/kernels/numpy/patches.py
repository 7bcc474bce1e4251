"""Convolution by patches: windows are copied into the rows of a small matrix, and multiplied
while they are in the cache.
"""

import numpy as np

from autocnn.fast.arrays import pad, to_nhwc, unpad
from autocnn.fast.kernels import tuning
from autocnn.fast.kernels.numpy.matmul import finish

__all__ = ["conv_patches"]


def conv_patches(x, w, scale, b, y, stride, padding, dilation, relu):
    """Write the convolution of x with w into y. Return backward(dy, need_dx) -> (dx, dw)."""
    n, ho, wo, f = y.shape
    weights, flat = to_nhwc(w).reshape(f, -1), y.reshape(-1, f)
    k, geometry = weights.shape[1], (ho, wo, *w.shape[2:], *stride, *dilation)
    is_one_block = n * ho * wo * k <= tuning.NUMPY_PATCH_REUSE
    rows = max(tuning.NUMPY_PATCH_BLOCK // k, tuning.NUMPY_PATCH_MIN_ROWS) // wo
    rows = max(1, n * ho if is_one_block else rows)  # of outputs in a block
    blocks = [(r, min(r + rows, n * ho)) for r in range(0, max(1, n * ho), rows)]
    image = pad(x, padding)
    for r0, r1 in blocks:
        p = _copied(image, r0, r1, k, geometry)
        part = flat[r0 * wo : r1 * wo]
        np.matmul(p, weights.T, out=part)  # (M, kh kw C) . (kh kw C, F)
        finish(part, scale, b, relu)
    reused = p if is_one_block else None
    del image, p  # not to be kept by backward

    def backward(dy, need_dx):
        image = pad(x, padding) if reused is None else None
        ph, pw = padding
        h, width, c = x.shape[1:]
        dimage = np.zeros((n, h + 2 * ph, width + 2 * pw, c), x.dtype) if need_dx else None
        flat, dw = dy.reshape(-1, f), None
        for r0, r1 in blocks:
            p = _copied(image, r0, r1, k, geometry) if reused is None else reused
            part = flat[r0 * wo : r1 * wo]
            more = part.T @ p  # (F, M) . (M, kh kw C)
            dw = more if dw is None else np.add(dw, more, out=dw)
            if need_dx:
                _add_back(part @ weights, dimage, r0, r1, geometry)  # (M, F) . (F, kh kw C)
        dw = dw.reshape(f, *w.shape[2:], c).transpose(0, 3, 1, 2)
        return unpad(dimage, padding) if need_dx else None, np.ascontiguousarray(dw)

    return backward


def _copied(image, r0, r1, k, geometry):
    """Return the patches of output rows r0 <= r < r1: a matrix ((r1 - r0) Wo, kh kw C)."""
    m = (r1 - r0) * geometry[1]
    if image.shape[3] == 1:
        p = np.empty((k, m), image.dtype)
        _copy_single_channel(image, p, r0, r1, *geometry)
        return p.T
    p = np.empty((m, k), image.dtype)
    _copy(image, p, r0, r1, *geometry)
    return p


def _copy(x, p, r0, r1, ho, wo, kh, kw, sh, sw, dh, dw):
    """Copy the windows of output rows r0 <= r < r1 of padded images x (N, H, W, C) into
    p ((r1 - r0) Wo, kh kw C).
    """
    a, b, row, cell = x.strides
    strides, at = (a, b * sh, row * sw, b * dh, row * dw, cell), 0
    for n, images, i, rows in _images(r0, r1, ho):
        shape = (images, rows, wo, kh, kw, x.shape[3])
        view = np.ndarray(shape, x.dtype, x, n * a + i * sh * b, strides)  # x is contiguous
        p[at : at + images * rows * wo].reshape(shape)[...] = view
        at += images * rows * wo


def _copy_single_channel(x, p, r0, r1, ho, wo, kh, kw, sh, sw, dh, dw):
    """Do as ``_copy`` for images of one channel, into p (kh kw, (r1 - r0) Wo): what is copied at
    once is as long as a row of outputs, not of a window.
    """
    a, b, row, _ = x.strides
    strides, at = (b * dh, row * dw, a, b * sh, row * sw), 0
    p = p.reshape(kh, kw, -1)
    for n, images, i, rows in _images(r0, r1, ho):
        shape = (kh, kw, images, rows, wo)
        view = np.ndarray(shape, x.dtype, x, n * a + i * sh * b, strides)
        p[:, :, at : at + images * rows * wo].reshape(shape)[...] = view
        at += images * rows * wo


def _add_back(p, x, r0, r1, geometry):
    """Add windows p ((r1 - r0) Wo, kh kw C) to the cells of padded images x that they were copied
    from: the transpose of ``_copy``.
    """
    ho, wo, kh, kw, sh, sw, dh, dw = geometry
    a, b, row, _ = x.strides
    c, at = x.shape[3], 0
    # A row of a window is one run of memory. Windows that do not overlap are added together.
    run, apart = (kw, -(-kw // sw)) if dw == 1 else (1, 1)
    for n, images, i, rows in _images(r0, r1, ho):
        cells = p[at : at + images * rows * wo].reshape(images, rows, wo, kh, kw // run, run * c)
        at += images * rows * wo
        for u in range(kh):
            for v in range(kw // run):
                for j in range(min(apart, wo)):
                    part = cells[:, :, j::apart, u, v]
                    at_first = n * a + (i * sh + u * dh) * b + (j * sw + v * dw) * row
                    into = np.ndarray(
                        part.shape, x.dtype, x, at_first, (a, sh * b, apart * sw * row, x.itemsize)
                    )
                    into += part


def _images(r0, r1, ho):
    """Cut output rows r0 <= r < r1, ``ho`` an image, into (first image, images, first row, rows):
    whole images together, parts of images alone.
    """
    while r0 < r1:
        n, i = divmod(r0, ho)
        whole = (r1 - r0) // ho if i == 0 else 0
        rows = ho if whole else min(ho - i, r1 - r0)
        yield n, max(whole, 1), i, rows
        r0 += max(whole, 1) * rows
