"""Normalization of the rows of a matrix (M, C) on several threads."""

import numpy as np

from autocnn.fast.kernels.numba import parallel
from autocnn.fast.kernels.numba.parallel import jit, parallel_kernel
from autocnn.fast.kernels.tuning import SUM_ROWS

__all__ = ["centered_sums", "column_sums", "normalize", "normalize_backward", "normalize_sums"]


def column_sums(x):
    """Return the sums over the rows of x (M, C): (C,), float64."""
    return _summed(_column_sums, x, 1)[0]


def centered_sums(x, centre):
    """Return the sums over the rows of x - centre and of its square: (2, C), float64."""
    return _summed(_centered_sums, x, 2, centre)


def normalize_sums(dy, x, y, centre, relu):
    """Return the sums over the rows of g and of g (x - centre): (2, C), float64.

    g is dy, and with ``relu`` 0 where y <= 0.
    """
    return _summed(_normalize_sums, dy, 2, x, y, centre, relu)


def _summed(kernel, x, n, *more):
    parts = np.zeros((parallel.num_threads(), n, x.shape[1]))
    kernel(x, *more, parts, num_threads=len(parts))
    return parts.sum(axis=0)


@jit
def _thread_rows(m, thread, num_threads):
    """Return (r0, r1), the rows of a thread: whole runs of SUM_ROWS, so that a run's sum does not
    depend on where a thread ends.
    """
    runs = -(-m // SUM_ROWS)
    return runs * thread // num_threads * SUM_ROWS, min(
        m, runs * (thread + 1) // num_threads * SUM_ROWS
    )


@parallel_kernel
def _column_sums(thread, num_threads, x, parts):
    m, c = x.shape
    r0, r1 = _thread_rows(m, thread, num_threads)
    total, part = parts[thread, 0], np.zeros(c, x.dtype)
    for r in range(r0, r1, SUM_ROWS):
        for i in range(r, min(r + SUM_ROWS, r1)):
            row = x[i]
            for k in range(c):
                part[k] += row[k]
        for k in range(c):
            total[k] += part[k]
            part[k] = 0


@parallel_kernel
def _centered_sums(thread, num_threads, x, centre, parts):
    m, c = x.shape
    r0, r1 = _thread_rows(m, thread, num_threads)
    first, second = parts[thread, 0], parts[thread, 1]
    a, b = np.zeros(c, x.dtype), np.zeros(c, x.dtype)
    for r in range(r0, r1, SUM_ROWS):
        for i in range(r, min(r + SUM_ROWS, r1)):
            row = x[i]
            for k in range(c):
                d = row[k] - centre[k]
                a[k] += d
                b[k] += d * d
        for k in range(c):
            first[k] += a[k]
            second[k] += b[k]
            a[k] = 0
            b[k] = 0


@parallel_kernel
def normalize(thread, num_threads, x, centre, scale, shift, y, relu):
    """Write (x - centre) scale + shift into y (M, C), then, if ``relu``, max(y, 0)."""
    zero = y.dtype.type(0)
    m = len(x)
    r0, r1 = _thread_rows(m, thread, num_threads)
    for i in range(r0, r1):
        p, q = x[i], y[i]
        if relu:
            for k in range(scale.size):
                z = (p[k] - centre[k]) * scale[k] + shift[k]
                q[k] = zero if z <= zero else z
        else:
            for k in range(scale.size):
                q[k] = (p[k] - centre[k]) * scale[k] + shift[k]


@parallel_kernel
def _normalize_sums(thread, num_threads, dy, x, y, centre, relu, parts):
    zero = x.dtype.type(0)
    m, c = x.shape
    r0, r1 = _thread_rows(m, thread, num_threads)
    first, second = parts[thread, 0], parts[thread, 1]
    a, b = np.zeros(c, x.dtype), np.zeros(c, x.dtype)
    for r in range(r0, r1, SUM_ROWS):
        for i in range(r, min(r + SUM_ROWS, r1)):
            g, p, q = dy[i], x[i], y[i]
            if relu:
                for k in range(c):
                    e = g[k] if q[k] > zero else zero
                    a[k] += e
                    b[k] += e * (p[k] - centre[k])
            else:
                for k in range(c):
                    a[k] += g[k]
                    b[k] += g[k] * (p[k] - centre[k])
        for k in range(c):
            first[k] += a[k]
            second[k] += b[k]
            a[k] = 0
            b[k] = 0


@parallel_kernel
def normalize_backward(thread, num_threads, dy, x, y, centre, s, dx, relu):
    """Write s[0] g + s[1] (x - centre) + s[2] into dx (M, C), with g as in ``normalize_sums``."""
    zero = x.dtype.type(0)
    m = len(x)
    a, b, c = s[0], s[1], s[2]
    r0, r1 = _thread_rows(m, thread, num_threads)
    for i in range(r0, r1):
        g, p, q, d = dy[i], x[i], y[i], dx[i]
        if relu:
            for k in range(a.size):
                e = g[k] if q[k] > zero else zero
                d[k] = a[k] * e + b[k] * (p[k] - centre[k]) + c[k]
        else:
            for k in range(a.size):
                d[k] = a[k] * g[k] + b[k] * (p[k] - centre[k]) + c[k]
