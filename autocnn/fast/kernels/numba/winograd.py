"""Winograd's F(2 x 2, 3 x 3) on several threads: ``autocnn.fast.winograd`` has the formulas.

For many tiles, each thread takes blocks of rows of tiles from the image to the output, within its
cache. For few, all threads share each of three phases: tiles, 16 products, outputs. The gradient of
kernels goes in phases too, so that each of the 16 products has one place to add to.
"""

import numpy as np

from autocnn.fast.kernels import tuning
from autocnn.fast.kernels.numba import parallel
from autocnn.fast.kernels.numba.matmul import add
from autocnn.fast.kernels.numba.parallel import jit, parallel_kernel

__all__ = [
    "conv_winograd",
    "conv_winograd_backward",
    "winograd_transform",
    "winograd_transform_backward",
]


def conv_winograd(x, u, y, scale, b, padding, relu):
    """Write the convolution of x (N, H, W, C) with transformed kernels u (16, F, C), finished, into
    y (N, Ho, Wo, F).
    """
    n, ho, wo, f = y.shape
    padding = np.array(padding)
    th, tw = (ho + 1) // 2, (wo + 1) // 2
    wide = max(f, x.shape[3])
    rows = max(1, max(tuning.NUMBA_WINOGRAD_BLOCK // wide, tuning.WINOGRAD_MIN_TILES) // tw)
    if n * th >= tuning.NUMBA_WINOGRAD_BLOCKS_PER_THREAD * rows * parallel.num_threads():
        _winograd(x, u, y, scale, b, relu, th, tw, rows, padding)
    else:
        rows = min(
            n * th,
            max(1, max(tuning.NUMBA_WINOGRAD_PHASE // wide, tuning.WINOGRAD_MIN_TILES) // tw),
        )
        v, m = np.empty((16, rows * tw, x.shape[3]), x.dtype), np.empty((16, rows * tw, f), x.dtype)
        for r0 in range(0, n * th, rows):
            r1 = min(n * th, r0 + rows)
            _images(x, v, r0, r1, th, tw, padding)
            _products(v, u, m, (r1 - r0) * tw)
            _outputs(m, y, r0, r1, th, tw, scale, b, relu)


def conv_winograd_backward(dy, x, padding):
    """Return the gradient (16, F, C) of the transformed kernels, for dy (N, Ho, Wo, F) and
    x (N, H, W, C).
    """
    n, ho, wo, f = dy.shape
    padding = np.array(padding)
    th, tw = (ho + 1) // 2, (wo + 1) // 2
    rows = min(
        n * th,
        max(
            1,
            max(tuning.NUMBA_WINOGRAD_PHASE // (f + x.shape[3]), 2 * tuning.WINOGRAD_MIN_TILES)
            // tw,
        ),
    )
    v, z = np.empty((16, rows * tw, x.shape[3]), x.dtype), np.empty((16, rows * tw, f), x.dtype)
    du = np.zeros((16, f, x.shape[3]), x.dtype)
    for r0 in range(0, n * th, rows):
        r1 = min(n * th, r0 + rows)
        _images(x, v, r0, r1, th, tw, padding)
        _gradients(dy, z, r0, r1, th, tw)
        _add_products(z, v, du, (r1 - r0) * tw)
    return du


@parallel_kernel
def winograd_transform(thread, num_threads, w, g, swapped, u):
    """Write g w^T into u (16, F, C): g (16, 9), w (F, C, 9); with ``swapped``, u is (16, C, F)."""
    _, rows, n = u.shape
    scratch, z = np.empty((n, 9), w.dtype), np.empty((16, n), w.dtype)
    for i in range(rows * thread // num_threads, rows * (thread + 1) // num_threads):
        if swapped:
            for j in range(n):
                into, kernel = scratch[j], w[j, i]
                for k in range(9):
                    into[k] = kernel[k]
            np.dot(g, scratch.T, z)
        else:
            np.dot(g, w[i].T, z)  # (16, 9) . (9, C)
        for k in range(16):
            into, row = u[k, i], z[k]
            for j in range(n):
                into[j] = row[j]


@parallel_kernel
def winograd_transform_backward(thread, num_threads, du, g, dw):
    """Write g^T du into dw (F, C, 9): du (16, F, C), g (16, 9)."""
    _, f, c = du.shape
    z = np.empty((16, c), du.dtype)
    for i in range(f * thread // num_threads, f * (thread + 1) // num_threads):
        for k in range(16):
            into, row = z[k], du[k, i]
            for j in range(c):
                into[j] = row[j]
        np.dot(z.T, g, dw[i])  # (C, 16) . (16, 9)


@parallel_kernel
def _winograd(thread, num_threads, x, u, y, scale, b, relu, th, tw, rows, padding):
    n, c, f = len(x) * th, x.shape[3], y.shape[3]
    v, m = np.empty((16, rows * tw, c), x.dtype), np.empty((16, rows * tw, f), x.dtype)
    t, s = np.empty((4, 2 * tw + 2, c), x.dtype), np.empty((2, 4, f), x.dtype)
    for r0 in range(thread * rows, n, num_threads * rows):
        r1 = min(n, r0 + rows)
        tiles = (r1 - r0) * tw
        for r in range(r0, r1):
            _image(x, v, t, r, (r - r0) * tw, th, tw, padding)
        for k in range(16):
            np.dot(v[k, :tiles], u[k].T, m[k, :tiles])  # (tiles, C) . (C, F)
        for r in range(r0, r1):
            _output(m, y, s, r, (r - r0) * tw, th, tw, scale, b, relu)


@parallel_kernel
def _images(thread, num_threads, x, v, r0, r1, th, tw, padding):
    t = np.empty((4, 2 * tw + 2, x.shape[3]), x.dtype)
    for r in range(r0 + thread, r1, num_threads):
        _image(x, v, t, r, (r - r0) * tw, th, tw, padding)


@parallel_kernel
def _products(thread, num_threads, v, u, m, tiles):
    for k in range(16 * thread // num_threads, 16 * (thread + 1) // num_threads):
        np.dot(v[k, :tiles], u[k].T, m[k, :tiles])  # (tiles, C) . (C, F)


@parallel_kernel
def _outputs(thread, num_threads, m, y, r0, r1, th, tw, scale, b, relu):
    s = np.empty((2, 4, y.shape[3]), y.dtype)
    for r in range(r0 + thread, r1, num_threads):
        _output(m, y, s, r, (r - r0) * tw, th, tw, scale, b, relu)


@parallel_kernel
def _gradients(thread, num_threads, dy, z, r0, r1, th, tw):
    t = np.empty((4, 2, dy.shape[3]), dy.dtype)
    for r in range(r0 + thread, r1, num_threads):
        _gradient(dy, z, t, r, (r - r0) * tw, th, tw)


@parallel_kernel
def _add_products(thread, num_threads, z, v, du, tiles):
    more = np.empty(du.shape[1:], du.dtype)
    for k in range(16 * thread // num_threads, 16 * (thread + 1) // num_threads):
        np.dot(z[k, :tiles].T, v[k, :tiles], more)  # (F, tiles) . (tiles, C)
        add(more, du[k])


@jit
def _image(x, v, t, r, at, th, tw, padding):
    """Transform row r of 4 x 4 tiles, which overlap by 2: write (B^T d B)[a, b], (tw, C), into
    v[4 a + b, at : at + tw].

    x (N, H, W, C) is not padded: cells outside count as zero. t (4, 2 tw + 2, C) is scratch.
    """
    _, h, w, c = x.shape
    n, top = r // th, 2 * (r % th) - padding[0]
    for j in range(2 * tw + 2):
        col = j - padding[1]
        inside = 0 <= col < w
        for a in range(4):
            # B^T takes rows 0 - 2, 1 + 2, 2 - 1 and 1 - 3 of the tile.
            up, down = top + (0, 1, 2, 1)[a], top + (2, 2, 1, 3)[a]
            out = t[a, j]
            above, below = inside and 0 <= up < h, inside and 0 <= down < h
            if above and below:
                p, q = x[n, up, col], x[n, down, col]
                if a == 1:
                    for k in range(c):
                        out[k] = p[k] + q[k]
                else:
                    for k in range(c):
                        out[k] = p[k] - q[k]
            elif above:
                p = x[n, up, col]
                for k in range(c):
                    out[k] = p[k]
            elif below:
                q = x[n, down, col]
                if a == 1:
                    for k in range(c):
                        out[k] = q[k]
                else:
                    for k in range(c):
                        out[k] = -q[k]
            else:
                for k in range(c):
                    out[k] = 0
    for j in range(tw):
        for a in range(4):
            t0, t1, t2, t3 = t[a, 2 * j], t[a, 2 * j + 1], t[a, 2 * j + 2], t[a, 2 * j + 3]
            v0, v1, v2, v3 = (
                v[4 * a, at + j],
                v[4 * a + 1, at + j],
                v[4 * a + 2, at + j],
                v[4 * a + 3, at + j],
            )
            for k in range(c):
                v0[k] = t0[k] - t2[k]
            for k in range(c):
                v1[k] = t1[k] + t2[k]
            for k in range(c):
                v2[k] = t2[k] - t1[k]
            for k in range(c):
                v3[k] = t1[k] - t3[k]


@jit
def _output(m, y, s, r, at, th, tw, scale, b, relu):
    """Transform products m[:, at : at + tw], (16, tw, F), into A^T m A, finished: row r of 2 x 2
    tiles of y (N, Ho, Wo, F). s (2, 4, F) is scratch.
    """
    zero = y.dtype.type(0)
    _, h, w, f = y.shape
    n, i = r // th, r % th
    for j in range(tw):
        for q in range(4):
            m0, m1, m2, m3 = m[q, at + j], m[4 + q, at + j], m[8 + q, at + j], m[12 + q, at + j]
            s0, s1 = s[0, q], s[1, q]
            for k in range(f):
                s0[k] = m0[k] + m1[k] + m2[k]
            for k in range(f):
                s1[k] = m1[k] - m2[k] - m3[k]
        for a in range(min(2, h - 2 * i)):
            s0, s1, s2, s3 = s[a, 0], s[a, 1], s[a, 2], s[a, 3]
            for odd in range(min(2, w - 2 * j)):
                out = y[n, 2 * i + a, 2 * j + odd]
                if odd:
                    for k in range(f):
                        out[k] = s1[k] - s2[k] - s3[k]
                else:
                    for k in range(f):
                        out[k] = s0[k] + s1[k] + s2[k]
                for k in range(scale.size):
                    out[k] *= scale[k]
                if relu:
                    for k in range(f):
                        e = out[k] + b[k]
                        out[k] = zero if e <= zero else e
                else:
                    for k in range(f):
                        out[k] += b[k]


@jit
def _gradient(dy, z, t, r, at, th, tw):
    """Transform row r of 2 x 2 tiles of dy, the transpose of ``_output``: write (A dy A^T)[a, b],
    (tw, F), into z[4 a + b, at : at + tw]. t (4, 2, F) is scratch.
    """
    _, h, w, f = dy.shape
    n, i = r // th, r % th
    for j in range(tw):
        for b in range(2):
            t0, t1, t2, t3 = t[0, b], t[1, b], t[2, b], t[3, b]
            if 2 * j + b >= w:
                for k in range(f):
                    t0[k] = t1[k] = t2[k] = t3[k] = 0
                continue
            p = dy[n, 2 * i, 2 * j + b]
            if 2 * i + 1 < h:
                q = dy[n, 2 * i + 1, 2 * j + b]
                for k in range(f):
                    t0[k] = p[k]
                    t1[k] = p[k] + q[k]
                for k in range(f):
                    t2[k] = p[k] - q[k]
                    t3[k] = -q[k]
            else:
                for k in range(f):
                    t0[k] = t1[k] = t2[k] = p[k]
                    t3[k] = 0
        for a in range(4):
            p, q = t[a, 0], t[a, 1]
            z0, z1, z2, z3 = (
                z[4 * a, at + j],
                z[4 * a + 1, at + j],
                z[4 * a + 2, at + j],
                z[4 * a + 3, at + j],
            )
            for k in range(f):
                z0[k] = p[k]
                z1[k] = p[k] + q[k]
            for k in range(f):
                z2[k] = p[k] - q[k]
                z3[k] = -q[k]
