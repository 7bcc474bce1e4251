"""Normalisation over a matrix with one column a channel: by the batch's statistics, and by
neighbouring channels.

Batch normalisation, alone or with the ReLU behind it:

    y = (x - mean) r gamma + beta,  r = 1 / sqrt(var + eps)
    dbeta = sum g,  dgamma = sum g xhat,  dx = gamma r (g - (dbeta + xhat dgamma) / n)       g = dy, where y > 0 after a ReLU

Ioffe and Szegedy 2015, Batch normalization, section 3. The formula for dx is theirs with the chain
rule carried out. In evaluation mean and var are constants: dx = gamma r g.
"""

import numpy as np

from autocnn.fast.kernels import kernels_for

__all__ = ["batch_norm", "fold_batch_norm", "local_response_norm"]


def batch_norm(x, params, state, train, momentum, eps, relu, need):
    """Normalise x (M, C). Returns (y, state, back): back(dy) returns (dx, {"w", "b"})."""
    gamma, beta = params["w"].astype(np.float64), params["b"].astype(np.float64)
    m, dtype = len(x), x.dtype
    kernels = kernels_for(x.size)
    if train:
        # Twice through x: a variance from sums of squares alone would lose the digits that the mean
        # has in common.
        centre = (kernels.column_sums(x) / m).astype(dtype)
        first, second = kernels.centered_sums(x, centre) / m
        var, rest = second - first**2, first
        after = _update_running(state, centre + rest, var * (m / (m - 1)), momentum)
    else:
        centre, rest, var, after = state["mean"], 0.0, state["var"].astype(np.float64), state
    r = 1 / np.sqrt(var + eps)
    scale, shift = (gamma * r).astype(dtype), (beta - rest * gamma * r).astype(dtype)
    y = np.empty_like(x)
    kernels.normalize(x, centre, scale, shift, y, relu)
    if need is None:
        return y, after, None

    def back(dy):
        dbeta, spread = kernels.normalize_sums(dy, x, y, centre, relu)
        dgamma = (spread - rest * dbeta) * r
        s = np.zeros((3, x.shape[1]))
        s[0] = gamma * r
        if train:
            s[1] = -gamma * r * r * dgamma / m
            s[2] = -gamma * r * dbeta / m - s[1] * rest
        dx = np.empty_like(x)
        kernels.normalize_backward(dy, x, y, centre, s.astype(dtype), dx, relu)
        return dx, {"w": dgamma.astype(dtype), "b": dbeta.astype(dtype)}

    return y, after, back


def _update_running(state, mean, var, momentum):
    """The running statistics after a batch, in their own dtype."""
    batch = {"mean": mean, "var": var}
    return {
        k: ((1 - momentum) * old + momentum * batch[k]).astype(old.dtype)
        for k, old in state.items()
    }


def fold_batch_norm(b, params, state, eps):
    """Return the (scale, b) that turn a convolution with bias b (or None) into one normalised
    behind it, in evaluation.
    """
    scale = params["w"] / np.sqrt(state["var"] + state["var"].dtype.type(eps))
    return scale, params["b"] - (state["mean"] if b is None else state["mean"] - b) * scale


def local_response_norm(x, size, alpha, beta, k):
    """Return (y, back) for x (M, C): y = x s^-beta with s = k + alpha / size (x^2 summed over
    ``size`` neighbouring channels).

    dx = dy s^-beta - 2 beta alpha / size x * (the sum over those channels that see this one of dy x
    s^(-beta - 1)).
    """
    c = np.arange(x.shape[1])
    away = c - c[:, None]
    near = ((-(size // 2) <= away) & (away <= (size - 1) // 2)).astype(
        x.dtype
    )  # (C, C'): does c see c'?
    share = x.dtype.type(alpha / size)
    s = (x * x) @ near.T * share + x.dtype.type(k)
    p = s ** x.dtype.type(-beta)
    y = x * p

    def back(dy):
        seen = (dy * y / s) @ near  # (M, C) . (C, C')
        return dy * p - (2 * x.dtype.type(beta) * share) * x * seen

    return y, back
