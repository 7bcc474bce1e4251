"""Elementwise work on several threads. It is bound by memory: each pass saved is time saved."""

import numpy as np

from autocnn.fast.kernels.numba import parallel
from autocnn.fast.kernels.numba.parallel import parallel_kernel
from autocnn.fast.kernels.tuning import SUM_ROWS

__all__ = ["add_relu", "relu_backward", "relu_bias_backward"]


@parallel_kernel
def add_relu(thread, num_threads, a, b, y):
    """Write max(a + b, 0) into y."""
    zero = y.dtype.type(0)
    n = y.size
    i, j = n * thread // num_threads, n * (thread + 1) // num_threads
    p, q, out = a[i:j], b[i:j], y[i:j]
    for k in range(out.size):
        z = p[k] + q[k]
        out[k] = zero if z <= zero else z


@parallel_kernel
def relu_backward(thread, num_threads, dy, y, dx):
    """Write dy where y > 0, else 0, into dx."""
    zero = y.dtype.type(0)
    n = y.size
    i, j = n * thread // num_threads, n * (thread + 1) // num_threads
    g, value, out = dy[i:j], y[i:j], dx[i:j]
    for k in range(out.size):
        out[k] = g[k] if value[k] > zero else zero


def relu_bias_backward(dy, y, dx):
    """Write dy (M, F) where y > 0, else 0, into dx; return its sums over rows (F,), float64."""
    parts = np.zeros((parallel.num_threads(), dy.shape[1]))
    _relu_bias_backward(dy, y, dx, parts, num_threads=len(parts))
    return parts.sum(axis=0)


@parallel_kernel
def _relu_bias_backward(thread, num_threads, dy, y, dx, parts):
    zero = y.dtype.type(0)
    m, f = y.shape
    r0, r1 = m * thread // num_threads, m * (thread + 1) // num_threads
    total, part = parts[thread], np.zeros(f, y.dtype)
    for r in range(r0, r1, SUM_ROWS):
        for i in range(r, min(r + SUM_ROWS, r1)):
            g, value, out = dy[i], y[i], dx[i]
            for k in range(f):
                e = g[k] if value[k] > zero else zero
                out[k] = e
                part[k] += e
        for k in range(f):
            total[k] += part[k]
            part[k] = 0
