"""Elementwise work on several threads: it is bound by memory, and each pass saved is time saved."""

import numpy as np

from autocnn.fast.kernels.numba import crew
from autocnn.fast.kernels.numba.crew import shared

__all__ = ["add_relu", "relu_back", "relu_gradient"]


@shared
def add_relu(hand, hands, a, b, y):
    """Write max(a + b, 0) into y, all flat."""
    zero = y.dtype.type(0)
    n = y.size
    i, j = n * hand // hands, n * (hand + 1) // hands
    p, q, out = a[i:j], b[i:j], y[i:j]
    for k in range(out.size):
        z = p[k] + q[k]
        out[k] = zero if z <= zero else z


@shared
def relu_gradient(hand, hands, dy, y, dx):
    """Write dy where y > 0, else 0, into dx, all flat."""
    zero = y.dtype.type(0)
    n = y.size
    i, j = n * hand // hands, n * (hand + 1) // hands
    g, value, out = dy[i:j], y[i:j], dx[i:j]
    for k in range(out.size):
        out[k] = g[k] if value[k] > zero else zero


def relu_back(dy, y, dx):
    """Write dy (M, F) where y > 0, else 0, into dx; return its sums over rows (F,), float64."""
    parts = np.zeros((crew.hands(), dy.shape[1]))
    _relu_back(dy, y, dx, parts, hands=len(parts))
    return parts.sum(axis=0)


@shared
def _relu_back(hand, hands, dy, y, dx, parts):
    zero = y.dtype.type(0)
    m, f = y.shape
    r0, r1 = m * hand // hands, m * (hand + 1) // hands
    total, part = parts[hand], np.zeros(f, y.dtype)
    for r in range(r0, r1, 64):
        for i in range(r, min(r + 64, r1)):
            g, value, out = dy[i], y[i], dx[i]
            for k in range(f):
                e = g[k] if value[k] > zero else zero
                out[k] = e
                part[k] += e
        for k in range(f):
            total[k] += part[k]
            part[k] = 0
