"""Normalization of a matrix with one column a channel: by the batch's statistics, and by
neighbouring channels.

Batch normalization, alone or with a ReLU after it; g is dy, and 0 where y <= 0 after a ReLU:

    y = (x - mean) r gamma + beta,  r = 1 / sqrt(var + eps),  xhat = (x - mean) r
    dbeta = sum g,  dgamma = sum g xhat,  dx = gamma r (g - (dbeta + xhat dgamma) / M)

Ioffe and Szegedy 2015, Batch normalization, section 3. The formula for dx is theirs with the chain
rule carried out. In evaluation mean and var are constants: dx = gamma r g.
"""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from autocnn.fast.kernels import kernels_for

__all__ = ["batch_norm", "fold_batch_norm", "local_response_norm"]

Arrays = dict[str, ndarray]


def batch_norm(
    x: ndarray,
    params: Arrays,
    state: Arrays,
    train: bool,
    momentum: float,
    eps: float,
    relu: bool,
    keep: bool = True,
) -> tuple[ndarray, Arrays, Callable[[ndarray], tuple[ndarray, Arrays]] | None]:
    """Normalize x (M, C), contiguous, with ``params`` {"w", "b"} and ``state`` {"mean", "var"}, all
    (C,); with ``relu``, negative outputs become 0.

    Returns (y, state, backward); ``backward(dy)`` returns (dx, {"w", "b"}), and is None unless
    ``keep``. With ``train``, the batch's statistics normalize, M is 2 or more, and the running
    statistics move by ``momentum`` towards them (the variance with M / (M - 1)).
    """
    gamma, beta = params["w"].astype(np.float64), params["b"].astype(np.float64)
    m, dtype = len(x), x.dtype
    kernels = kernels_for(x.size)
    # ``centre`` is the mean in x's dtype, and ``rest`` what its rounding left out.
    if train:
        # Two passes over x: a variance from sums of squares alone would lose the digits that the
        # mean has in common.
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
    if not keep:
        return y, after, None

    def backward(dy):
        dbeta, spread = kernels.normalize_sums(dy, x, y, centre, relu)
        dgamma = (spread - rest * dbeta) * r
        # dx = s[0] g + s[1] (x - centre) + s[2]
        s = np.zeros((3, x.shape[1]))
        s[0] = gamma * r
        if train:
            s[1] = -gamma * r * r * dgamma / m
            s[2] = -gamma * r * dbeta / m - s[1] * rest
        dx = np.empty_like(x)
        kernels.normalize_backward(dy, x, y, centre, s.astype(dtype), dx, relu)
        return dx, {"w": dgamma.astype(dtype), "b": dbeta.astype(dtype)}

    return y, after, backward


def _update_running(state, mean, var, momentum):
    """Return the running statistics after a batch, in their own dtype."""
    batch = {"mean": mean, "var": var}
    return {
        k: ((1 - momentum) * old + momentum * batch[k]).astype(old.dtype)
        for k, old in state.items()
    }


def fold_batch_norm(
    b: ndarray | None, params: Arrays, state: Arrays, eps: float
) -> tuple[ndarray, ndarray]:
    """Return (scale, b), both (F,), that turn a convolution with bias b, or None, into the same
    convolution followed by a batch normalization in evaluation mode.
    """
    scale = params["w"] / np.sqrt(state["var"] + state["var"].dtype.type(eps))
    return scale, params["b"] - (state["mean"] if b is None else state["mean"] - b) * scale


def local_response_norm(
    x: ndarray, size: int, alpha: float, beta: float, k: float
) -> tuple[ndarray, Callable[[ndarray], ndarray]]:
    """Return (y, backward) for x (M, C): y = x s^-beta, s = k + alpha / size * (the sum of x^2 over
    ``size`` neighbouring channels). ``backward(dy)`` returns dx:

        dx = dy s^-beta - 2 beta alpha / size x * (the sum of dy x s^(-beta - 1) over the channels
        whose neighbour this one is)

    Krizhevsky et al. 2012, ImageNet classification, section 3.3.
    """
    channel = np.arange(x.shape[1])
    offset = channel - channel[:, None]
    # (C, C'): is c' a neighbour of c?
    near = ((-(size // 2) <= offset) & (offset <= (size - 1) // 2)).astype(x.dtype)
    weight = x.dtype.type(alpha / size)
    s = (x * x) @ near.T * weight + x.dtype.type(k)  # (M, C') . (C', C)
    p = s ** x.dtype.type(-beta)
    y = x * p

    def backward(dy):
        sums = (dy * y / s) @ near  # (M, C) . (C, C')
        return dy * p - (2 * x.dtype.type(beta) * weight) * x * sums

    return y, backward
