"""Matrix products on several threads, in blocks that are finished while they are in the cache."""

import numpy as np

from autocnn.fast.kernels.numba import crew
from autocnn.fast.kernels.numba.crew import compiled, shared

__all__ = ["finish", "times", "times_transposed", "transposed_times"]

BLOCK = 2**17  # numbers in a block: half a megabyte of float32, half of a core's own cache
ROWS = 192  # a product of fewer rows spends its time on preparing the other factor
DEEP = 1024  # rows that a transposed product sums over at once
SEVERAL = 2**17  # so many numbers of a result are not for each thread to have a sum of its own of
FEW, LARGE = (
    3,
    2**20,
)  # for so few rows and so large a matrix, products with vectors: the matrix is read once, and not copied


def times_transposed(x, w, scale, b, y, relu):
    """Write x w^T scale + b into y, clipped below at zero if ``relu``: x (M, C), w (F, C), y (M,
    F), all contiguous.

    scale and b are (F,); a scale of no numbers is 1.
    """
    (m, c), f = x.shape, len(w)
    if m <= FEW and w.size >= LARGE:
        _vectors_transposed(x, w, scale, b, y, relu)
    else:
        _times_transposed(x, w, scale, b, y, relu, *_grid(m, c, f))


def times(x, w, scale, b, y, relu):
    """Write x w scale + b into y, clipped below at zero if ``relu``: x (M, C), w (C, F), y (M,
    F), all contiguous.
    """
    (m, c), f = x.shape, w.shape[1]
    rows, columns = _grid(m, c, f)
    if columns == f and not (m <= FEW and w.size >= LARGE):
        _times(x, w, scale, b, y, relu, rows)
        return
    parts = np.empty((crew.hands(), m, f), x.dtype)
    _times_by_depth(x, w, parts, m <= FEW, hands=len(parts))
    np.sum(parts, axis=0, out=y)
    finish(y, scale, b, y, 0, 0, relu)


def transposed_times(a, b, out):
    """Write a^T b into out: a (M, A), b (M, B), out (A, B), all contiguous."""
    m, n = a.shape
    if m >= 4 * ROWS and out.size < SEVERAL:
        parts = np.zeros((crew.hands(), *out.shape), out.dtype)
        share = -(-m // len(parts))
        _transposed_times_by_rows(
            a, b, parts, share, -(-share // -(-share // DEEP)), hands=len(parts)
        )
        np.sum(parts, axis=0, out=out)
    else:
        columns = -(-n // crew.hands())
        _transposed_times(a, b, out, max(1, min(columns, max(64, BLOCK // m))), min(m, DEEP))


def _grid(m, c, f):
    """The size of blocks, (rows, columns): all columns where there are rows enough for all
    hands.
    """
    hands = crew.hands()
    n = max(1, m // max(ROWS, BLOCK // (c + f)))
    if n >= 4 * hands or n % hands == 0 or f < 32 * hands:
        if n < hands and m >= 16 * hands:
            n = hands
        return -(-m // n), f
    return -(-m // n), -(-f // (16 * hands)) * 16


@compiled
def finish(z, scale, b, y, r, f, relu):
    """Write z scale + b into y (M, F) from row r and column f on, clipped below at zero if
    ``relu``.

    z may be that part of y.
    """
    zero = y.dtype.type(0)
    rows, columns = z.shape
    b, scale = b[f : f + columns], scale[f : f + columns]
    for i in range(rows):
        row, out = z[i], y[r + i, f : f + columns]
        if scale.size:
            if relu:
                for k in range(b.size):
                    v = row[k] * scale[k] + b[k]
                    out[k] = zero if v <= zero else v
            else:
                for k in range(b.size):
                    out[k] = row[k] * scale[k] + b[k]
        elif relu:
            for k in range(b.size):
                v = row[k] + b[k]
                out[k] = zero if v <= zero else v
        else:
            for k in range(b.size):
                out[k] = row[k] + b[k]


@shared
def _times_transposed(hand, hands, x, w, scale, b, y, relu, rows, columns):
    m, f = y.shape
    across = -(-f // columns)
    scratch = np.empty(rows * columns, y.dtype)
    for k in range(hand, -(-m // rows) * across, hands):
        r0, f0 = k // across * rows, k % across * columns
        r1, f1 = min(m, r0 + rows), min(f, f0 + columns)
        z = scratch[: (r1 - r0) * (f1 - f0)].reshape(r1 - r0, f1 - f0)
        np.dot(x[r0:r1], w[f0:f1].T, z)  # (rows, C) . (C, columns)
        finish(z, scale, b, y, r0, f0, relu)


@shared
def _vectors_transposed(hand, hands, x, w, scale, b, y, relu):
    m, f = y.shape
    f0, f1 = f * hand // hands, f * (hand + 1) // hands
    z = np.empty((1, f1 - f0), y.dtype)
    for i in range(m):
        np.dot(w[f0:f1], x[i], z[0])
        finish(z, scale, b, y, i, f0, relu)


@shared
def _times(hand, hands, x, w, scale, b, y, relu, rows):
    m, f = y.shape
    scratch = np.empty(rows * f, y.dtype)
    for r0 in range(hand * rows, m, hands * rows):
        r1 = min(m, r0 + rows)
        z = scratch[: (r1 - r0) * f].reshape(r1 - r0, f)
        np.dot(x[r0:r1], w, z)  # (rows, C) . (C, F)
        finish(z, scale, b, y, r0, 0, relu)


@shared
def _times_by_depth(hand, hands, x, w, parts, by_vectors):
    """For few rows: each thread takes its share of w's rows, and their sum is left to the
    caller.
    """
    m, c = x.shape
    c0, c1 = c * hand // hands, c * (hand + 1) // hands
    if by_vectors:
        for i in range(m):
            np.dot(x[i, c0:c1], w[c0:c1], parts[hand, i])
    else:
        part = np.empty((m, c1 - c0), x.dtype)
        copy_columns(x, c0, part)
        np.dot(part, w[c0:c1], parts[hand])  # (M, depth) . (depth, F)


@shared
def _transposed_times_by_rows(hand, hands, a, b, parts, share, rows):
    more, end = np.empty_like(parts[hand]), min(len(a), (hand + 1) * share)
    for r0 in range(hand * share, end, rows):
        r1 = min(end, r0 + rows)
        np.dot(a[r0:r1].T, b[r0:r1], more)  # (A, rows) . (rows, B)
        add(more, parts[hand])


@shared
def _transposed_times(hand, hands, a, b, out, columns, rows):
    m, n = a.shape
    scratch, more = (
        np.empty(rows * columns, a.dtype),
        np.empty((columns if m > rows else 0) * b.shape[1], a.dtype),
    )
    for k0 in range(hand * columns, n, hands * columns):
        k1 = min(n, k0 + columns)
        for r0 in range(0, m, rows):
            r1 = min(m, r0 + rows)
            part = scratch[: (r1 - r0) * (k1 - k0)].reshape(r1 - r0, k1 - k0)
            copy_columns(a[r0:r1], k0, part)
            if r0 == 0:
                np.dot(part.T, b[r0:r1], out[k0:k1])  # (columns, rows) . (rows, B)
            else:
                sums = more[: (k1 - k0) * b.shape[1]].reshape(k1 - k0, b.shape[1])
                np.dot(part.T, b[r0:r1], sums)
                add(sums, out[k0:k1])


@compiled
def copy_columns(a, k, part):
    """Copy a's columns from k on into part (M, columns)."""
    for i in range(len(part)):
        into, row = part[i], a[i, k : k + part.shape[1]]
        for j in range(into.size):
            into[j] = row[j]


@compiled
def add(part, total):
    """Add part to total, both (M, N)."""
    for i in range(len(total)):
        p, t = part[i], total[i]
        for k in range(t.size):
            t[k] += p[k]
