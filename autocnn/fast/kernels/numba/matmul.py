"""Matrix products on several threads, in blocks that are finished while they are in the cache."""

import numpy as np

from autocnn.fast.kernels import tuning
from autocnn.fast.kernels.numba import parallel
from autocnn.fast.kernels.numba.parallel import jit, parallel_kernel

__all__ = ["finish", "matmul", "matmul_nt", "matmul_tn"]


def matmul_nt(x, w, scale, b, y, relu):
    """Write x w^T, finished, into y: x (M, C), w (F, C), y (M, F)."""
    (m, c), f = x.shape, len(w)
    if m <= tuning.VECTOR_ROWS and w.size >= tuning.VECTOR_MATRIX:
        _matmul_nt_by_vectors(x, w, scale, b, y, relu)
    else:
        _matmul_nt(x, w, scale, b, y, relu, *_grid(m, c, f))


def matmul(x, w, scale, b, y, relu):
    """Write x w, finished, into y: x (M, C), w (C, F), y (M, F)."""
    (m, c), f = x.shape, w.shape[1]
    rows, columns = _grid(m, c, f)
    if columns == f and not (m <= tuning.VECTOR_ROWS and w.size >= tuning.VECTOR_MATRIX):
        _matmul(x, w, scale, b, y, relu, rows)
        return
    parts = np.empty((parallel.num_threads(), m, f), x.dtype)
    _matmul_by_depth(x, w, parts, m <= tuning.VECTOR_ROWS, num_threads=len(parts))
    np.sum(parts, axis=0, out=y)
    finish(y, scale, b, y, 0, 0, relu)


def matmul_tn(a, b, out):
    """Write a^T b into out: a (M, A), b (M, B), out (A, B)."""
    m, n = a.shape
    if m >= tuning.NUMBA_MATMUL_TALL and out.size < tuning.NUMBA_MATMUL_DIVIDE_RESULT:
        parts = np.zeros((parallel.num_threads(), *out.shape), out.dtype)
        share = -(-m // len(parts))  # rows for each thread
        rows = -(-share // -(-share // tuning.NUMBA_MATMUL_DEPTH))  # of them at once
        _matmul_tn_by_rows(a, b, parts, share, rows, num_threads=len(parts))
        np.sum(parts, axis=0, out=out)
    else:
        columns = max(tuning.NUMBA_MATMUL_MIN_COLUMNS, tuning.NUMBA_BLOCK // m)
        columns = max(1, min(-(-n // parallel.num_threads()), columns))
        _matmul_tn(a, b, out, columns, min(m, tuning.NUMBA_MATMUL_DEPTH))


def _grid(m, c, f):
    """Return the size of blocks, (rows, columns): all columns where there are rows enough for all
    threads.
    """
    num_threads = parallel.num_threads()
    n = max(1, m // max(tuning.NUMBA_MIN_ROWS, tuning.NUMBA_BLOCK // (c + f)))  # blocks of rows
    if (
        n >= tuning.NUMBA_BLOCKS_PER_THREAD * num_threads
        or n % num_threads == 0
        or f < tuning.NUMBA_MIN_COLUMNS_PER_THREAD * num_threads
    ):
        if n < num_threads and m >= tuning.NUMBA_MIN_ROWS_PER_THREAD * num_threads:
            n = num_threads
        return -(-m // n), f
    step = tuning.NUMBA_COLUMN_STEP
    return -(-m // n), -(-f // (step * num_threads)) * step


@jit
def finish(z, scale, b, y, r, f, relu):
    """Write z scale + b, then, if ``relu``, max(., 0), into y (M, F) from row r and column f on.

    An empty scale is 1. z may be that part of y.
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


@parallel_kernel
def _matmul_nt(thread, num_threads, x, w, scale, b, y, relu, rows, columns):
    m, f = y.shape
    across = -(-f // columns)
    scratch = np.empty(rows * columns, y.dtype)
    for k in range(thread, -(-m // rows) * across, num_threads):
        r0, f0 = k // across * rows, k % across * columns
        r1, f1 = min(m, r0 + rows), min(f, f0 + columns)
        z = scratch[: (r1 - r0) * (f1 - f0)].reshape(r1 - r0, f1 - f0)
        np.dot(x[r0:r1], w[f0:f1].T, z)  # (rows, C) . (C, columns)
        finish(z, scale, b, y, r0, f0, relu)


@parallel_kernel
def _matmul_nt_by_vectors(thread, num_threads, x, w, scale, b, y, relu):
    m, f = y.shape
    f0, f1 = f * thread // num_threads, f * (thread + 1) // num_threads
    z = np.empty((1, f1 - f0), y.dtype)
    for i in range(m):
        np.dot(w[f0:f1], x[i], z[0])
        finish(z, scale, b, y, i, f0, relu)


@parallel_kernel
def _matmul(thread, num_threads, x, w, scale, b, y, relu, rows):
    m, f = y.shape
    scratch = np.empty(rows * f, y.dtype)
    for r0 in range(thread * rows, m, num_threads * rows):
        r1 = min(m, r0 + rows)
        z = scratch[: (r1 - r0) * f].reshape(r1 - r0, f)
        np.dot(x[r0:r1], w, z)  # (rows, C) . (C, F)
        finish(z, scale, b, y, r0, 0, relu)


@parallel_kernel
def _matmul_by_depth(thread, num_threads, x, w, parts, by_vectors):
    """Write x[:, part] w[part] into ``parts`` (threads, M, F), one part of C for each thread: for
    few rows. The caller adds them up.
    """
    m, c = x.shape
    c0, c1 = c * thread // num_threads, c * (thread + 1) // num_threads
    if by_vectors:
        for i in range(m):
            np.dot(x[i, c0:c1], w[c0:c1], parts[thread, i])
    else:
        part = np.empty((m, c1 - c0), x.dtype)
        copy_columns(x, c0, part)
        np.dot(part, w[c0:c1], parts[thread])  # (M, depth) . (depth, F)


@parallel_kernel
def _matmul_tn_by_rows(thread, num_threads, a, b, parts, share, rows):
    more, end = np.empty_like(parts[thread]), min(len(a), (thread + 1) * share)
    for r0 in range(thread * share, end, rows):
        r1 = min(end, r0 + rows)
        np.dot(a[r0:r1].T, b[r0:r1], more)  # (A, rows) . (rows, B)
        add(more, parts[thread])


@parallel_kernel
def _matmul_tn(thread, num_threads, a, b, out, columns, rows):
    m, n = a.shape
    scratch, more = (
        np.empty(rows * columns, a.dtype),
        np.empty((columns if m > rows else 0) * b.shape[1], a.dtype),
    )
    for k0 in range(thread * columns, n, num_threads * columns):
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


@jit
def copy_columns(a, k, part):
    """Copy columns of a, from k on, into part (M, columns)."""
    for i in range(len(part)):
        into, row = part[i], a[i, k : k + part.shape[1]]
        for j in range(into.size):
            into[j] = row[j]


@jit
def add(part, total):
    """Add part to total, both (M, N)."""
    for i in range(len(total)):
        p, t = part[i], total[i]
        for k in range(t.size):
            t[k] += p[k]
