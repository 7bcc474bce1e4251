"""Normalisation by hand: batch norm's gradient in closed form, response norm's by the transposed
window.
"""

import math
import numbers

import numpy as np

from reference.checks import real, whole
from reference.initial import filled
from reference.layer import Layer

__all__ = ["batch_norm", "local_response_norm"]


def batch_norm(momentum=0.1, eps=1e-5):
    """Normalise each channel, z = (x - mean) / sqrt(var + eps), then y = w z + b; params w, b (C,),
    state mean, var (C,).

    In evaluation the statistics are constants, so that dx = w dy / sqrt(var + eps). In training
    they depend on x, and with n values a channel (Ioffe and Szegedy 2015, section 3, the six
    equations combined into one)

        dx = w / sqrt(var + eps) * (dy - mean(dy) - z mean(dy z))          dw = sum dy z          db = sum dy
    """
    if not isinstance(momentum, numbers.Real) or not 0 <= momentum <= 1:
        raise ValueError(
            f"batch_norm: momentum is the new batch's share, 0 <= momentum <= 1; got {momentum!r}"
        )
    if not isinstance(eps, numbers.Real) or not 0 <= eps < math.inf:
        raise ValueError(f"batch_norm: eps must be a number, 0 or more; got {eps!r}")
    momentum, eps = float(momentum), float(eps)  # numpy's float64 would widen float32

    def init(key, shape, dtype="float64"):
        one, zero = (filled(key, shape[:1], value, dtype) for value in (1, 0))
        return tuple(shape), {"w": one, "b": zero}, {"mean": zero.copy(), "var": one.copy()}

    def forward(params, state, x, train, key):
        axes, n = (0, *range(2, x.ndim)), x.size // x.shape[1]

        def column(a):
            return a.reshape(-1, *(1,) * (x.ndim - 2))  # (C,) -> (C, 1, 1)

        if train:
            if n == 1:
                raise ValueError(
                    f"batch_norm: in training a channel needs more than one value to have a variance, got x {x.shape}; use a "
                    "larger batch or larger images"
                )
            mean = x.sum(axis=axes) / n
            z = x - column(mean)
            var = (z * z).sum(axis=axes) / n
            state = {
                "mean": (1 - momentum) * state["mean"] + momentum * mean,
                "var": (1 - momentum) * state["var"] + momentum * n / (n - 1) * var,
            }
        else:
            z, var = x - column(state["mean"]), state["var"]
        root = np.sqrt(var + eps)
        z /= column(root)
        w, b = params["w"], params["b"]

        def backward(dy):
            db, dw = dy.sum(axis=axes), (dy * z).sum(axis=axes)
            dx = z * column(-dw / n) - column(db / n) + dy if train else dy
            return dx * column(w / root), {"w": dw, "b": db}

        return z * column(w) + column(b), state, backward

    return Layer("batch_norm", dict(momentum=momentum, eps=eps), init, forward)


def local_response_norm(size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide by the strength of ``size`` channels around, y_c = x_c s_c^-beta with s_c = k + alpha
    / size sum_c' x_c'^2.

    Each x_c is in its own numerator and in the strength of the channels that see it, the window
    turned around: dx_c = dy_c s_c^-beta - 2 alpha beta / size x_c sum_{c' that see c} dy_c' y_c' /
    s_c'.
    """
    size = whole(size, "local_response_norm: size")
    alpha, beta, k = (
        real(v, f"local_response_norm: {n}")
        for n, v in (("alpha", alpha), ("beta", beta), ("k", k))
    )
    before, after = size // 2, (size - 1) // 2

    def forward(params, state, x, train, key):
        s = k + alpha / size * _sum_around(x * x, before, after)
        shrink = s**-beta
        y = x * shrink

        def backward(dy):
            return dy * shrink - 2 * alpha * beta / size * x * _sum_around(
                dy * y / s, after, before
            ), {}

        return y, state, backward

    def init(key, shape, dtype="float64"):
        return tuple(shape), {}, {}

    return Layer("local_response_norm", dict(size=size, alpha=alpha, beta=beta, k=k), init, forward)


def _sum_around(a, before, after):
    """Add up channels c - before to c + after of a (N, C, ...), cut at the edges."""
    total, c = a.copy(), a.shape[1]
    for away in range(1, c):
        if away <= before:
            total[:, away:] += a[:, : c - away]
        if away <= after:
            total[:, : c - away] += a[:, away:]
    return total
