"""Convolution by patches: windows are copied into the rows of a small matrix, and multiplied
while they are in the cache.
"""

import numpy as np

from autocnn.fast.kernels.numba import crew
from autocnn.fast.kernels.numba.crew import compiled, shared
from autocnn.fast.kernels.numba.product import (
    BLOCK,
    ROWS,
    add,
    copy_columns,
    finish,
    times_transposed,
)

__all__ = ["patches", "patches_back"]

PHASE = 2**20  # numbers in the patches that all threads work on: 4 MB of float32
MANY = 2**16  # so many weights are not for each thread to have a sum of its own of


def patches(image, w, scale, b, y, stride, dilation, relu):
    """Write the convolution of padded images (N, H, W, C) with w (F, kh, kw, C) into y (N, Ho, Wo,
    F).

    y is finished by scale, b and ``relu`` as a product is. Everything is contiguous. Returns what
    ``patches_back`` can use once more: nothing here.
    """
    n, ho, wo, f = y.shape
    k = w.size // f
    geometry = np.array((ho, wo, *w.shape[1:3], *stride, *dilation))
    if w.size >= MANY and n * ho * wo <= 2 * ROWS:  # a product that is better shared by filters
        p = np.empty((n * ho * wo, k), y.dtype)
        _copy_all(image, p, 0, n * ho, geometry)
        times_transposed(p, w.reshape(f, k), scale, b, y.reshape(-1, f), relu)
        return
    rows = max(1, min(max(BLOCK // k, ROWS) // wo, -(-n * ho // crew.hands())))
    _patches(image, w.reshape(f, k), scale, b, y.reshape(-1, f), relu, rows, geometry)


def patches_back(image, g, w, dimage, stride, dilation, kept):
    """Return dw (F, kh, kw, C), and add into the zeros of ``dimage`` (N, H, W, C) unless it has no
    numbers.

    g is the gradient (N, Ho, Wo, F). Several windows may add to one cell, so that whole images are
    dealt out.
    """
    n, ho, wo, f = g.shape
    k = w.size // f
    geometry = np.array((ho, wo, *w.shape[1:3], *stride, *dilation))
    g, rows_of_w = g.reshape(-1, f), w.reshape(f, k)
    if w.size >= MANY:
        return _back_in_phases(image, g, rows_of_w, dimage, geometry, n).reshape(w.shape)
    parts = np.zeros((crew.hands(), f, k), g.dtype)
    images = max(1, min(-(-n // crew.hands()), ROWS // (ho * wo)))
    rows = max(1, min(max(BLOCK // k, ROWS) // wo, images * ho))
    _patches_back(image, g, rows_of_w, parts, dimage, n, images, rows, geometry, hands=len(parts))
    return parts.sum(axis=0).reshape(w.shape)


def _back_in_phases(image, g, w, dimage, geometry, n):
    """Do the work of some images in three phases, each shared by all: patches, derivatives of w,
    derivatives of images.
    """
    ho, wo, (f, k) = int(geometry[0]), int(geometry[1]), w.shape
    images = min(n, max(crew.hands(), PHASE // (ho * wo * k)))
    p, dw, more = (
        np.empty((images * ho * wo, k), g.dtype),
        np.zeros((f, k), g.dtype),
        np.empty((f, k), g.dtype),
    )
    for i0 in range(0, n, images):
        i1 = min(n, i0 + images)
        part = g[i0 * ho * wo : i1 * ho * wo]
        _copy_all(image, p, i0 * ho, i1 * ho, geometry)
        _add_products(part, p[: len(part)], more, dw)
        if dimage.size:
            _add_all_back(part, w, p, dimage, i0, i1, geometry)
    return dw


@shared
def _patches(hand, hands, image, w, scale, b, y, relu, rows, geometry):
    wo, (f, k) = geometry[1], w.shape
    n = len(y) // wo
    p, z = np.empty(rows * wo * k, y.dtype), np.empty(rows * wo * f, y.dtype)
    for r0 in range(hand * rows, n, hands * rows):
        r1 = min(n, r0 + rows)
        m = (r1 - r0) * wo
        part = z[: m * f].reshape(m, f)
        if image.shape[3] == 1:
            grey = p[: m * k].reshape(k, m)
            _copy_grey(image, grey, r0, r1, geometry)
            np.dot(grey.T, w.T, part)  # (M, kh kw) . (kh kw, F)
        else:
            copied = p[: m * k].reshape(m, k)
            _copy(image, copied, r0, r1, geometry)
            np.dot(copied, w.T, part)  # (M, kh kw C) . (kh kw C, F)
        finish(part, scale, b, y, r0 * wo, 0, relu)


@shared
def _patches_back(hand, hands, image, g, w, dw, dimage, n, images, rows, geometry):
    ho, wo, (f, k) = geometry[0], geometry[1], w.shape
    p, more = np.empty(rows * wo * k, g.dtype), np.empty((f, k), g.dtype)
    for i in range(hand * images, n, hands * images):
        last = min(n, i + images) * ho
        for r0 in range(i * ho, last, rows):
            r1 = min(last, r0 + rows)
            m = (r1 - r0) * wo
            gradient = g[r0 * wo : r1 * wo]
            copied = p[: m * k].reshape(m, k)
            if image.shape[3] == 1:
                grey = p[: m * k].reshape(k, m)
                _copy_grey(image, grey, r0, r1, geometry)
                np.dot(gradient.T, grey.T, more)  # (F, M) . (M, kh kw)
            else:
                _copy(image, copied, r0, r1, geometry)
                np.dot(gradient.T, copied, more)  # (F, M) . (M, kh kw C)
            add(more, dw[hand])
            if dimage.size:
                np.dot(gradient, w, copied)  # (M, F) . (F, kh kw C)
                _add_back(copied, dimage, r0, r1, geometry)


@shared
def _copy_all(hand, hands, image, p, r0, r1, geometry):
    wo, n = geometry[1], r1 - r0
    a, b = n * hand // hands, n * (hand + 1) // hands
    _copy(image, p[a * wo : b * wo], r0 + a, r0 + b, geometry)


@shared
def _add_products(hand, hands, g, p, more, dw):
    (m, f) = g.shape
    f0, f1 = f * hand // hands, f * (hand + 1) // hands
    gradient = np.empty((m, f1 - f0), g.dtype)
    copy_columns(g, f0, gradient)
    np.dot(gradient.T, p, more[f0:f1])  # (F, M) . (M, kh kw C)
    add(more[f0:f1], dw[f0:f1])


@shared
def _add_all_back(hand, hands, g, w, p, dimage, i0, i1, geometry):
    ho, wo, n = geometry[0], geometry[1], i1 - i0
    a, b = n * hand // hands * ho, n * (hand + 1) // hands * ho  # whole images
    if b > a:
        np.dot(g[a * wo : b * wo], w, p[a * wo : b * wo])  # (M, F) . (F, kh kw C)
        _add_back(p[a * wo : b * wo], dimage, i0 * ho + a, i0 * ho + b, geometry)


@compiled
def _unpacked(g):
    """Heights and widths of the output, the kernel, the stride and the dilation."""
    return g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]


@compiled
def _copy(x, p, r0, r1, geometry):
    """Copy the windows of output rows r0..r1 of padded images x (N, H, W, C) into p ((r1 - r0)
    Wo, kh kw C).
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


@compiled
def _copy_grey(x, p, r0, r1, geometry):
    """Do as ``_copy`` for images of one channel, into p (kh kw, (r1 - r0) Wo): runs as long as a
    row of outputs.
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


@compiled
def _add_back(p, x, r0, r1, geometry):
    """Add windows p back into padded images x: the transpose of ``_copy``."""
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
