"""Normalisation over the rows of a matrix (M, C), on several threads: sums over rows, and maps
of rows.
"""

import numpy as np

from autocnn.fast.kernels.numba import crew
from autocnn.fast.kernels.numba.crew import compiled, shared

__all__ = ["column_sums", "moments", "normalise", "normalise_back", "normalise_sums"]

# Runs of so many rows are summed in the array's own precision, which vectorises; their sums in
# double, which keeps the digits.
RUN = 64


def column_sums(x):
    """Return the sums over the rows of x (M, C): (C,), float64."""
    return _summed(_column_sums, x, 1)[0]


def moments(x, centre):
    """Return the sums over the rows of x (M, C) of x - centre and of its square: (2, C),
    float64.
    """
    return _summed(_moments, x, 2, centre)


def normalise_sums(dy, x, y, centre, relu):
    """Return the sums over rows of g and of g (x - centre): (2, C), float64.

    g is dy; with ``relu``, where y > 0 only. All of them are (M, C).
    """
    return _summed(_normalise_sums, dy, 2, x, y, centre, relu)


def _summed(kernel, x, n, *more):
    parts = np.zeros((crew.hands(), n, x.shape[1]))
    kernel(x, *more, parts, hands=len(parts))
    return parts.sum(axis=0)


@compiled
def _span(m, hand, hands):
    """The rows of a hand: whole runs, so that sums do not depend on where one hand ends."""
    runs = -(-m // RUN)
    return runs * hand // hands * RUN, min(m, runs * (hand + 1) // hands * RUN)


@shared
def _column_sums(hand, hands, x, parts):
    m, c = x.shape
    r0, r1 = _span(m, hand, hands)
    total, part = parts[hand, 0], np.zeros(c, x.dtype)
    for r in range(r0, r1, RUN):
        for i in range(r, min(r + RUN, r1)):
            row = x[i]
            for k in range(c):
                part[k] += row[k]
        for k in range(c):
            total[k] += part[k]
            part[k] = 0


@shared
def _moments(hand, hands, x, centre, parts):
    m, c = x.shape
    r0, r1 = _span(m, hand, hands)
    first, second = parts[hand, 0], parts[hand, 1]
    a, b = np.zeros(c, x.dtype), np.zeros(c, x.dtype)
    for r in range(r0, r1, RUN):
        for i in range(r, min(r + RUN, r1)):
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


@shared
def normalise(hand, hands, x, centre, scale, shift, y, relu):
    """Write (x - centre) scale + shift into y (M, C), clipped below at zero if ``relu``."""
    zero = y.dtype.type(0)
    m = len(x)
    r0, r1 = _span(m, hand, hands)
    for i in range(r0, r1):
        p, q = x[i], y[i]
        if relu:
            for k in range(scale.size):
                z = (p[k] - centre[k]) * scale[k] + shift[k]
                q[k] = zero if z <= zero else z
        else:
            for k in range(scale.size):
                q[k] = (p[k] - centre[k]) * scale[k] + shift[k]


@shared
def _normalise_sums(hand, hands, dy, x, y, centre, relu, parts):
    zero = x.dtype.type(0)
    m, c = x.shape
    r0, r1 = _span(m, hand, hands)
    first, second = parts[hand, 0], parts[hand, 1]
    a, b = np.zeros(c, x.dtype), np.zeros(c, x.dtype)
    for r in range(r0, r1, RUN):
        for i in range(r, min(r + RUN, r1)):
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


@shared
def normalise_back(hand, hands, dy, x, y, centre, s, dx, relu):
    """Write s[0] g + s[1] (x - centre) + s[2] into dx (M, C); g is dy, with ``relu`` where y > 0
    only.
    """
    zero = x.dtype.type(0)
    m = len(x)
    a, b, c = s[0], s[1], s[2]
    r0, r1 = _span(m, hand, hands)
    for i in range(r0, r1):
        g, p, q, d = dy[i], x[i], y[i], dx[i]
        if relu:
            for k in range(a.size):
                e = g[k] if q[k] > zero else zero
                d[k] = a[k] * e + b[k] * (p[k] - centre[k]) + c[k]
        else:
            for k in range(a.size):
                d[k] = a[k] * g[k] + b[k] * (p[k] - centre[k]) + c[k]
