"""Convolution by patches: windows are copied into the rows of a small matrix, and multiplied while they are in the cache."""

import numpy as np
from numba import prange

from autocnn.fast.kernels_numba import crew
from autocnn.fast.kernels_numba.crew import compiled, shared
from autocnn.fast.kernels_numba.product import BLOCK, ROWS, add, finish

__all__ = ["patches", "patches_back"]

PHASE = 2**20  # numbers in the patches that all threads work on: 4 MB of float32
MANY = 2**16  # so many weights are not for each thread to have a sum of its own of


def patches(image, w, scale, b, y, stride, dilation, relu):
    """Write the convolution of padded images (N, H, W, C) with w (F, kh, kw, C) into y (N, Ho, Wo, F).

    y is finished by scale, b and ``relu`` as a product is. Everything is contiguous. Returns what ``patches_back``
    can use once more: nothing here.
    """
    n, ho, wo, f = y.shape
    k = w.size // f
    rows = max(1, min(max(BLOCK // k, ROWS) // wo, -(-n * ho // crew.hands())))
    _patches(image, w.reshape(f, k), scale, b, y.reshape(-1, f), (ho, wo, *w.shape[1:3], *stride, *dilation), relu, rows)


def patches_back(image, g, w, dimage, stride, dilation, kept):
    """Return dw (F, kh, kw, C), and add into the zeros of ``dimage`` (N, H, W, C) unless it has no numbers.

    g is the gradient (N, Ho, Wo, F). Several windows may add to one cell, so that whole images are dealt out.
    """
    n, ho, wo, f = g.shape
    k = w.size // f
    geometry = (ho, wo, *w.shape[1:3], *stride, *dilation)
    g, rows_of_w = g.reshape(-1, f), w.reshape(f, k)
    if w.size >= MANY:
        dw = np.zeros((f, k), g.dtype)
        images = min(n, max(crew.hands(), PHASE // (ho * wo * k)))
        _patches_back_in_phases(image, g, rows_of_w, dw, dimage, geometry, n, images)
        return dw.reshape(w.shape)
    parts = np.zeros((crew.hands(), f, k), g.dtype)
    images = max(1, min(-(-n // crew.hands()), ROWS // (ho * wo)))
    rows = max(1, min(max(BLOCK // k, ROWS) // wo, images * ho))
    _patches_back(image, g, rows_of_w, parts, dimage, geometry, n, images, rows)
    return parts.sum(axis=0).reshape(w.shape)


@shared
def _patches(image, w, scale, b, y, geometry, relu, rows, hands):
    wo, (f, k) = geometry[1], w.shape
    n = len(y) // wo
    for hand in prange(hands):
        p, z = np.empty(rows * wo * k, y.dtype), np.empty(rows * wo * f, y.dtype)
        for r0 in range(hand * rows, n, hands * rows):
            r1 = min(n, r0 + rows)
            m = (r1 - r0) * wo
            part = z[: m * f].reshape(m, f)
            if image.shape[3] == 1:
                copied = p[: m * k].reshape(k, m)
                _copy_grey(image, copied, r0, r1, geometry)
                np.dot(copied.T, w.T, part)  # (M, kh kw) . (kh kw, F)
            else:
                copied = p[: m * k].reshape(m, k)
                _copy(image, copied, r0, r1, geometry)
                np.dot(copied, w.T, part)  # (M, kh kw C) . (kh kw C, F)
            finish(part, scale, b, y, r0 * wo, 0, relu)


@shared
def _patches_back(image, g, w, dw, dimage, geometry, n, images, rows, hands):
    ho, wo, (f, k) = geometry[0], geometry[1], w.shape
    for hand in prange(hands):
        p, more = np.empty(rows * wo * k, g.dtype), np.empty((f, k), g.dtype)
        for i in range(hand * images, n, hands * images):
            last = min(n, i + images) * ho
            for r0 in range(i * ho, last, rows):
                r1 = min(last, r0 + rows)
                m = (r1 - r0) * wo
                gradient = g[r0 * wo : r1 * wo]
                if image.shape[3] == 1:
                    grey = p[: m * k].reshape(k, m)
                    _copy_grey(image, grey, r0, r1, geometry)
                    np.dot(gradient.T, grey.T, more)  # (F, M) . (M, kh kw)
                else:
                    copied = p[: m * k].reshape(m, k)
                    _copy(image, copied, r0, r1, geometry)
                    np.dot(gradient.T, copied, more)  # (F, M) . (M, kh kw C)
                add(more, dw[hand])
                if dimage.size:
                    copied = p[: m * k].reshape(m, k)
                    np.dot(gradient, w, copied)  # (M, F) . (F, kh kw C)
                    _add_back(copied, dimage, r0, r1, geometry)


@shared
def _patches_back_in_phases(image, g, w, dw, dimage, geometry, n, images, hands):
    ho, wo, (f, k) = geometry[0], geometry[1], w.shape
    p, more = np.empty((images * ho * wo, k), g.dtype), np.empty((f, k), g.dtype)
    for i0 in range(0, n, images):
        i1 = min(n, i0 + images)
        first, m = i0 * ho, (i1 - i0) * ho * wo
        for hand in prange(hands):
            r0, r1 = first + (m // wo) * hand // hands, first + (m // wo) * (hand + 1) // hands
            _copy(image, p[(r0 - first) * wo : (r1 - first) * wo], r0, r1, geometry)
        for hand in prange(hands):
            f0, f1 = f * hand // hands, f * (hand + 1) // hands
            gradient = np.empty((m, f1 - f0), g.dtype)
            gradient[...] = g[first * wo : first * wo + m, f0:f1]
            np.dot(gradient.T, p[:m], more[f0:f1])  # (F, M) . (M, kh kw C)
            add(more[f0:f1], dw[f0:f1])
        if dimage.size:
            for hand in prange(hands):
                r0, r1 = (i1 - i0) * hand // hands * ho * wo, (i1 - i0) * (hand + 1) // hands * ho * wo
                if r1 > r0:
                    np.dot(g[first * wo + r0 : first * wo + r1], w, p[r0:r1])  # (M, F) . (F, kh kw C)
                    _add_back(p[r0:r1], dimage, first + r0 // wo, first + r1 // wo, geometry)


@compiled
def _copy(x, p, r0, r1, geometry):
    """Copy the windows of output rows r0..r1 of padded images x (N, H, W, C) into p ((r1 - r0) Wo, kh kw C)."""
    ho, wo, kh, kw, sh, sw, dh, dw = geometry
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
    """Do as ``_copy`` for images of one channel, into p (kh kw, (r1 - r0) Wo): runs as long as a row of outputs."""
    ho, wo, kh, kw, sh, sw, dh, dw = geometry
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
    ho, wo, kh, kw, sh, sw, dh, dw = geometry
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
