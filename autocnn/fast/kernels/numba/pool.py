"""Pooling over channels-last images, on several threads."""

import numpy as np

from autocnn.fast.kernels.numba.parallel import jit, parallel_kernel

__all__ = ["max_pool", "max_pool_backward"]


def max_pool(x, y, indices, size, stride, padding):
    """Write each window's maximum into y, and unless ``indices`` is empty, its offset into that."""
    by_two = len(indices) > 0 and _is_2x2(size, stride, padding)
    _max_pool(x, y, indices, by_two, np.array((*size, *stride, *padding)))


def max_pool_backward(dy, indices, dx, size, stride, padding):
    """Add dy to each window's maximum in dx, which holds zeros."""
    by_two = _is_2x2(size, stride, padding)
    _max_pool_backward(dy, indices, dx, by_two, np.array((*size, *stride, *padding)))


def _is_2x2(size, stride, padding):
    """Return whether this is the window of nearly every network."""
    return size == stride == (2, 2) and padding == (0, 0)


@parallel_kernel
def _max_pool(thread, num_threads, x, y, indices, by_two, window):
    rows = y.shape[0] * y.shape[1]
    for r in range(rows * thread // num_threads, rows * (thread + 1) // num_threads):
        if by_two:
            _row_2x2(x, y, indices, r)
        else:
            _row(x, y, indices, r, window)


@parallel_kernel
def _max_pool_backward(thread, num_threads, dy, indices, dx, by_two, window):
    n = len(dx)
    # Windows may overlap, but not across images.
    for i in range(n * thread // num_threads, n * (thread + 1) // num_threads):
        if by_two:
            _image_2x2_backward(dy[i], indices[i], dx[i])
        else:
            _image_backward(dy[i], indices[i], dx[i], window)


@jit
def _beats(x, best):
    """Whether x takes the place of the maximum so far: NaN does, and keeps it."""
    return not (x <= best or best != best)


@jit
def _row_2x2(x, y, indices, r):
    """Pool output row r (counted over all images), all four cells of a window at once."""
    _, ho, wo, c = y.shape
    n, i = r // ho, r % ho
    for j in range(wo):
        p, q, s, t = (
            x[n, 2 * i, 2 * j],
            x[n, 2 * i, 2 * j + 1],
            x[n, 2 * i + 1, 2 * j],
            x[n, 2 * i + 1, 2 * j + 1],
        )
        best, winner = y[n, i, j], indices[n, i, j]
        for k in range(c):
            value, mark = p[k], 0
            if _beats(q[k], value):
                value, mark = q[k], 1
            if _beats(s[k], value):
                value, mark = s[k], 2
            if _beats(t[k], value):
                value, mark = t[k], 3
            best[k] = value
            winner[k] = mark


@jit
def _row(x, y, indices, r, window):
    kh, kw, sh, sw, ph, pw = window[0], window[1], window[2], window[3], window[4], window[5]
    _, h, w, c = x.shape
    _, ho, wo, _ = y.shape
    keep = indices.shape[0] > 0
    n, i = r // ho, r % ho
    for j in range(wo):
        best = y[n, i, j]
        fresh = True
        for u in range(max(0, ph - i * sh), min(kh, h + ph - i * sh)):
            for v in range(max(0, pw - j * sw), min(kw, w + pw - j * sw)):
                cell = x[n, i * sh + u - ph, j * sw + v - pw]
                mark = np.uint8(u * kw + v)
                if keep:
                    winner = indices[n, i, j]
                    if fresh:
                        for k in range(c):
                            best[k] = cell[k]
                            winner[k] = mark
                    else:
                        for k in range(c):
                            better = _beats(cell[k], best[k])
                            best[k] = cell[k] if better else best[k]
                            winner[k] = mark if better else winner[k]
                elif fresh:
                    for k in range(c):
                        best[k] = cell[k]
                else:
                    for k in range(c):
                        best[k] = cell[k] if _beats(cell[k], best[k]) else best[k]
                fresh = False


@jit
def _image_2x2_backward(dy, indices, dx):
    zero = dy.dtype.type(0)
    ho, wo, c = dy.shape
    for i in range(ho):
        for j in range(wo):
            p, q, s, t = (
                dx[2 * i, 2 * j],
                dx[2 * i, 2 * j + 1],
                dx[2 * i + 1, 2 * j],
                dx[2 * i + 1, 2 * j + 1],
            )
            g, winner = dy[i, j], indices[i, j]
            # One array is written in each loop: with two, the compiler gives up.
            for k in range(c):
                p[k] = g[k] if winner[k] == 0 else zero
            for k in range(c):
                q[k] = g[k] if winner[k] == 1 else zero
            for k in range(c):
                s[k] = g[k] if winner[k] == 2 else zero
            for k in range(c):
                t[k] = g[k] if winner[k] == 3 else zero


@jit
def _image_backward(dy, indices, dx, window):
    kh, kw, sh, sw, ph, pw = window[0], window[1], window[2], window[3], window[4], window[5]
    zero = dy.dtype.type(0)
    ho, wo, c = dy.shape
    h, w = dx.shape[0], dx.shape[1]
    for i in range(ho):
        for j in range(wo):
            g, winner = dy[i, j], indices[i, j]
            for u in range(max(0, ph - i * sh), min(kh, h + ph - i * sh)):
                for v in range(max(0, pw - j * sw), min(kw, w + pw - j * sw)):
                    cell = dx[i * sh + u - ph, j * sw + v - pw]
                    mark = np.uint8(u * kw + v)
                    for k in range(c):
                        cell[k] += g[k] if winner[k] == mark else zero
