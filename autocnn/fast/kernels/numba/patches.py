"""Convolution by patches: windows are copied into the rows of a small matrix, and multiplied
while they are in the cache.
"""

import numpy as np

from autocnn.fast.arrays import pad, to_nhwc, unpad
from autocnn.fast.kernels import tuning
from autocnn.fast.kernels.numba import parallel
from autocnn.fast.kernels.numba.matmul import add, copy_columns, finish, matmul_nt
from autocnn.fast.kernels.numba.parallel import jit, parallel_kernel

__all__ = ["conv_patches"]

_NO_IMAGES = {char: np.empty((0, 0, 0, 0), char) for char in "fd"}


def conv_patches(x, w, scale, b, y, stride, padding, dilation, relu):
    """Write the convolution of x with w into y. Return backward(dy, need_dx) -> (dx, dw)."""
    n, ho, wo, f = y.shape
    weights = to_nhwc(w).reshape(f, -1)
    k = weights.shape[1]
    geometry = np.array((ho, wo, *w.shape[2:], *stride, *dilation))
    image = pad(x, padding)
    if _divides_weights(weights) and n * ho * wo <= 2 * tuning.NUMBA_MIN_ROWS:
        p = np.empty((n * ho * wo, k), y.dtype)
        _copy_all(image, p, 0, n * ho, geometry)
        matmul_nt(p, weights, scale, b, y.reshape(-1, f), relu)
        del p
    else:
        rows = _block_rows(k, wo, -(-n * ho // parallel.num_threads()))
        _conv_patches(image, weights, scale, b, y.reshape(-1, f), relu, rows, geometry)
    del image

    def backward(dy, need_dx):
        ph, pw = padding
        h, width, c = x.shape[1:]
        dimage = (
            np.zeros((n, h + 2 * ph, width + 2 * pw, c), x.dtype)
            if need_dx
            else _NO_IMAGES[x.dtype.char]
        )
        gradients = _in_phases if _divides_weights(weights) else _by_thread
        dw = gradients(pad(x, padding), dy.reshape(-1, f), weights, dimage, geometry, n)
        dw = dw.reshape(f, *w.shape[2:], c).transpose(0, 3, 1, 2)
        return unpad(dimage, padding) if need_dx else None, np.ascontiguousarray(dw)

    return backward


def _divides_weights(weights):
    return weights.size >= tuning.NUMBA_PATCH_DIVIDE_WEIGHTS


def _block_rows(k, wo, most):
    """Rows of outputs in a block of patches of k numbers each, ``most`` at most."""
    return max(1, min(max(tuning.NUMBA_BLOCK // k, tuning.NUMBA_MIN_ROWS) // wo, most))


def _by_thread(image, g, w, dimage, geometry, n):
    """Add dx to ``dimage``; return dw (F, kh kw C). Each thread adds up a dw of its own.

    Several windows may add to one cell, so threads take whole images.
    """
    ho, wo = int(geometry[0]), int(geometry[1])
    parts = np.zeros((parallel.num_threads(), *w.shape), g.dtype)
    images = max(1, min(-(-n // len(parts)), tuning.NUMBA_MIN_ROWS // (ho * wo)))
    rows = _block_rows(w.shape[1], wo, images * ho)
    _gradients(image, g, w, parts, dimage, n, images, rows, geometry, num_threads=len(parts))
    return parts.sum(axis=0)


def _in_phases(image, g, w, dimage, geometry, n):
    """Do as ``_by_thread`` for some images at a time, in three phases that all threads share:
    patches, dw, dx.
    """
    ho, wo, (f, k) = int(geometry[0]), int(geometry[1]), w.shape
    images = min(n, max(parallel.num_threads(), tuning.NUMBA_PATCH_PHASE // (ho * wo * k)))
    p = np.empty((images * ho * wo, k), g.dtype)
    dw, more = np.zeros((f, k), g.dtype), np.empty((f, k), g.dtype)
    for i0 in range(0, n, images):
        i1 = min(n, i0 + images)
        part = g[i0 * ho * wo : i1 * ho * wo]
        _copy_all(image, p, i0 * ho, i1 * ho, geometry)
        _add_products(part, p[: len(part)], more, dw)
        if dimage.size:
            _add_all_back(part, w, p, dimage, i0, i1, geometry)
    return dw


@parallel_kernel
def _conv_patches(thread, num_threads, image, w, scale, b, y, relu, rows, geometry):
    wo, (f, k) = geometry[1], w.shape
    n = len(y) // wo
    p, z = np.empty(rows * wo * k, y.dtype), np.empty(rows * wo * f, y.dtype)
    for r0 in range(thread * rows, n, num_threads * rows):
        r1 = min(n, r0 + rows)
        m = (r1 - r0) * wo
        part = z[: m * f].reshape(m, f)
        if image.shape[3] == 1:
            columns = p[: m * k].reshape(k, m)
            _copy_single_channel(image, columns, r0, r1, geometry)
            np.dot(columns.T, w.T, part)  # (M, kh kw) . (kh kw, F)
        else:
            copied = p[: m * k].reshape(m, k)
            _copy(image, copied, r0, r1, geometry)
            np.dot(copied, w.T, part)  # (M, kh kw C) . (kh kw C, F)
        finish(part, scale, b, y, r0 * wo, 0, relu)


@parallel_kernel
def _gradients(thread, num_threads, image, g, w, dw, dimage, n, images, rows, geometry):
    ho, wo, (f, k) = geometry[0], geometry[1], w.shape
    p, more = np.empty(rows * wo * k, g.dtype), np.empty((f, k), g.dtype)
    for i in range(thread * images, n, num_threads * images):
        last = min(n, i + images) * ho
        for r0 in range(i * ho, last, rows):
            r1 = min(last, r0 + rows)
            m = (r1 - r0) * wo
            gradient = g[r0 * wo : r1 * wo]
            copied = p[: m * k].reshape(m, k)
            if image.shape[3] == 1:
                columns = p[: m * k].reshape(k, m)
                _copy_single_channel(image, columns, r0, r1, geometry)
                np.dot(gradient.T, columns.T, more)  # (F, M) . (M, kh kw)
            else:
                _copy(image, copied, r0, r1, geometry)
                np.dot(gradient.T, copied, more)  # (F, M) . (M, kh kw C)
            add(more, dw[thread])
            if dimage.size:
                np.dot(gradient, w, copied)  # (M, F) . (F, kh kw C)
                _add_back(copied, dimage, r0, r1, geometry)


@parallel_kernel
def _copy_all(thread, num_threads, image, p, r0, r1, geometry):
    wo, n = geometry[1], r1 - r0
    a, b = n * thread // num_threads, n * (thread + 1) // num_threads
    _copy(image, p[a * wo : b * wo], r0 + a, r0 + b, geometry)


@parallel_kernel
def _add_products(thread, num_threads, g, p, more, dw):
    (m, f) = g.shape
    f0, f1 = f * thread // num_threads, f * (thread + 1) // num_threads
    gradient = np.empty((m, f1 - f0), g.dtype)
    copy_columns(g, f0, gradient)
    np.dot(gradient.T, p, more[f0:f1])  # (F, M) . (M, kh kw C)
    add(more[f0:f1], dw[f0:f1])


@parallel_kernel
def _add_all_back(thread, num_threads, g, w, p, dimage, i0, i1, geometry):
    ho, wo, n = geometry[0], geometry[1], i1 - i0
    a, b = n * thread // num_threads * ho, n * (thread + 1) // num_threads * ho  # whole images
    if b > a:
        np.dot(g[a * wo : b * wo], w, p[a * wo : b * wo])  # (M, F) . (F, kh kw C)
        _add_back(p[a * wo : b * wo], dimage, i0 * ho + a, i0 * ho + b, geometry)


@jit
def _unpacked(g):
    """Return ho, wo, kh, kw, sh, sw, dh, dw."""
    return g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]


@jit
def _copy(x, p, r0, r1, geometry):
    """Copy the windows of output rows r0 <= r < r1 of padded images x (N, H, W, C) into
    p ((r1 - r0) Wo, kh kw C).
    """
    ho, wo, kh, kw, sh, sw, dh, dw = _unpacked(geometry)
    c = x.shape[3]
    x = x.reshape(x.shape[0], x.shape[1], -1)
    run = kw * c if dw == 1 else c
    for r in range(r0, r1):
        n, i = r // ho, r % ho
        for u in range(kh):
            row = x[n, i * sh + u * dh]
            for j in range(wo):
                windows = p[(r - r0) * wo + j, u * kw * c : (u + 1) * kw * c]
                for v in range(0, kw * c, run):
                    at = j * sw * c + v * dw
                    into, cells = windows[v : v + run], row[at : at + run]
                    for t in range(run):
                        into[t] = cells[t]


@jit
def _copy_single_channel(x, p, r0, r1, geometry):
    """Do as ``_copy`` for images of one channel, into p (kh kw, (r1 - r0) Wo): what is copied at
    once is as long as a row of outputs, not of a window.
    """
    ho, wo, kh, kw, sh, sw, dh, dw = _unpacked(geometry)
    x = x.reshape(x.shape[0], x.shape[1], -1)
    for r in range(r0, r1):
        n, i = r // ho, r % ho
        to = (r - r0) * wo
        for u in range(kh):
            row = x[n, i * sh + u * dh]
            for v in range(kw):
                into, cells = p[u * kw + v, to : to + wo], row[v * dw :]
                if sw == 1:
                    for j in range(wo):
                        into[j] = cells[j]
                else:
                    for j in range(wo):
                        into[j] = cells[j * sw]


@jit
def _add_back(p, x, r0, r1, geometry):
    """Add windows p ((r1 - r0) Wo, kh kw C) to the cells of padded images x that they were copied
    from: the transpose of ``_copy``.
    """
    ho, wo, kh, kw, sh, sw, dh, dw = _unpacked(geometry)
    c = x.shape[3]
    x = x.reshape(x.shape[0], x.shape[1], -1)
    run = kw * c if dw == 1 else c
    for r in range(r0, r1):
        n, i = r // ho, r % ho
        for u in range(kh):
            row = x[n, i * sh + u * dh]
            for j in range(wo):
                windows = p[(r - r0) * wo + j, u * kw * c : (u + 1) * kw * c]
                for v in range(0, kw * c, run):
                    at = j * sw * c + v * dw
                    cells, more = row[at : at + run], windows[v : v + run]
                    for t in range(run):
                        cells[t] += more[t]
