"""Convolution by patches: windows are copied into the rows of a small matrix, and multiplied
while they are in the cache.
"""

import numpy as np

from autocnn.fast.kernels.numpy.product import finish

__all__ = ["patches", "patches_back"]

BLOCK = 2**17  # numbers in a block: half a megabyte of float32
ROWS = 192
SMALL = 2**15  # so few numbers are one block: not worth cutting up, and kept for the way back


def patches(image, w, scale, b, y, stride, dilation, relu):
    """Write the convolution of padded images (N, H, W, C) with w (F, kh, kw, C) into y (N, Ho, Wo,
    F).

    y is finished by scale, b and ``relu`` as a product is. Everything is contiguous. Returns what
    ``patches_back`` can use once more, or None.
    """
    n, ho, wo, f = y.shape
    wt, flat = w.reshape(f, -1).T, y.reshape(-1, f)
    k, geometry = len(wt), (ho, wo, *w.shape[1:3], *stride, *dilation)
    if y.size // f * k <= SMALL:
        p = _copied(image, 0, n * ho, k, geometry)
        np.matmul(p, wt, out=flat)  # (M, kh kw C) . (kh kw C, F)
        finish(flat, scale, b, relu)
        return p
    size = max(1, max(BLOCK // k, ROWS) // wo)
    for r in range(0, n * ho, size):
        p = _copied(image, r, min(r + size, n * ho), k, geometry)
        part = flat[r * wo : r * wo + len(p)]
        np.matmul(p, wt, out=part)
        finish(part, scale, b, relu)
    return None


def patches_back(image, g, w, dimage, stride, dilation, kept):
    """Return dw (F, kh, kw, C), and add into the zeros of ``dimage`` (N, H, W, C) unless it has no
    numbers.

    g is the gradient (N, Ho, Wo, F).
    """
    n, ho, wo, f = g.shape
    rows_of_w, flat = w.reshape(f, -1), g.reshape(-1, f)
    k, geometry = rows_of_w.shape[1], (ho, wo, *w.shape[1:3], *stride, *dilation)
    size = n * ho if kept is not None else max(1, max(BLOCK // k, ROWS) // wo)
    dw = None
    for r in range(0, n * ho, size):
        end = min(r + size, n * ho)
        p = _copied(image, r, end, k, geometry) if kept is None else kept
        part = flat[r * wo : end * wo]
        more = part.T @ p  # (F, M) . (M, kh kw C)
        dw = more if dw is None else np.add(dw, more, out=dw)
        if dimage.size:
            _add_back(part @ rows_of_w, dimage, r, end, geometry)  # (M, F) . (F, kh kw C)
    return dw.reshape(w.shape)


def _copied(image, r0, r1, k, geometry):
    """The patches of output rows r0..r1: a matrix ((r1 - r0) Wo, kh kw C)."""
    m = (r1 - r0) * geometry[1]
    if image.shape[3] == 1:
        p = np.empty((k, m), image.dtype)
        _copy_grey(image, p, r0, r1, *geometry)
        return p.T
    p = np.empty((m, k), image.dtype)
    _copy(image, p, r0, r1, *geometry)
    return p


def _copy(x, p, r0, r1, ho, wo, kh, kw, sh, sw, dh, dw):
    """Copy the windows of output rows r0..r1 of padded images x (N, H, W, C) into p ((r1 - r0)
    Wo, kh kw C).
    """
    a, b, row, cell = x.strides
    strides, at = (a, b * sh, row * sw, b * dh, row * dw, cell), 0
    for n, images, i, rows in _images(r0, r1, ho):
        shape = (images, rows, wo, kh, kw, x.shape[3])
        view = np.ndarray(shape, x.dtype, x, n * a + i * sh * b, strides)  # x is contiguous
        p[at : at + images * rows * wo].reshape(shape)[...] = view
        at += images * rows * wo


def _copy_grey(x, p, r0, r1, ho, wo, kh, kw, sh, sw, dh, dw):
    """Do as ``_copy`` for images of one channel, into p (kh kw, (r1 - r0) Wo): runs as long as a
    row of outputs.
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
    """Add windows p back into padded images x: the transpose of ``_copy``."""
    ho, wo, kh, kw, sh, sw, dh, dw = geometry
    a, b, row, _ = x.strides
    c, at = x.shape[3], 0
    # A row of a window is one run in memory. Those of windows that do not overlap are added at a
    # time.
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
    """Cut rows r0..r1, ``ho`` of them an image, into (image, images, row, rows): whole images
    together, parts alone.
    """
    while r0 < r1:
        n, i = divmod(r0, ho)
        whole = (r1 - r0) // ho if i == 0 else 0
        rows = ho if whole else min(ho - i, r1 - r0)
        yield n, max(whole, 1), i, rows
        r0 += max(whole, 1) * rows
