"""Normalisation, in the names and arguments of torch.nn.functional."""

import math
from typing import Any

import autograd.numpy as np
import numpy as onp

from autocnn.autodiff import getval
from autocnn.ops.arguments import integer
from autocnn.typing import Array

__all__ = [
    "batch_norm",
    "batch_norm_and_statistics",
    "group_norm",
    "layer_norm",
    "local_response_norm",
]


def batch_norm(
    x: Array,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalise each channel: y = (x - mean) / sqrt(var + eps) * weight + bias.

    x is (N, C) or (N, C, ...), the other arrays are (C,). In training, mean and var are the
    batch's, var being divided by the number of values in a channel; in evaluation they are
    running_mean and running_var. Unlike torch's, this function changes none of its arguments:
    ``batch_norm_and_statistics`` takes the same ones and also returns the new running statistics.

    Raises ValueError for shapes that do not fit, and in training for channels of one value.
    Ioffe and Szegedy 2015, Batch normalization, algorithms 1 and 2.
    """
    return batch_norm_and_statistics(
        x, running_mean, running_var, weight, bias, training, momentum, eps
    )[0]


def batch_norm_and_statistics(
    x: Array,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Any, Any]:
    """Return (y, running_mean, running_var): the output and the new running statistics.

    Arguments and errors are those of ``batch_norm``. In training, running <- (1 - momentum)
    running + momentum batch, where the batch's variance is the unbiased one, multiplied by
    n / (n - 1); in evaluation the statistics are returned unchanged. No gradient flows through
    them. A statistic that is None stays None.
    """
    _check_batch_norm(
        x, training, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    axes, column = (0, *range(2, len(x.shape))), (-1,) + (1,) * (len(x.shape) - 2)
    if training:
        n = math.prod(x.shape[axis] for axis in axes)
        mean = np.sum(x, axis=axes) / n
        centred = x - np.reshape(mean, column)
        var = np.sum(centred * centred, axis=axes) / n
        if running_mean is not None:
            running_mean = (1 - momentum) * getval(running_mean) + momentum * getval(mean)
        if running_var is not None:
            unbiased = (n / (n - 1)) * getval(var)
            running_var = (1 - momentum) * getval(running_var) + momentum * unbiased
    else:
        centred, var = x - np.reshape(running_mean, column), running_var
    scale = 1 / np.sqrt(var + eps)
    # Scale and weight are combined first, so that ``centred`` is the only array of x's size that
    # the tape keeps.
    y = centred * np.reshape(scale if weight is None else scale * weight, column)
    return y if bias is None else y + np.reshape(bias, column), running_mean, running_var


def _check_batch_norm(x, training, **channels):
    if len(x.shape) < 2:
        raise ValueError(f"batch_norm needs x (N, C) or (N, C, H, W); got {x.shape}")
    for name, a in channels.items():
        if a is not None and a.shape != (x.shape[1],):
            raise ValueError(
                f"batch_norm: {name} must be ({x.shape[1]},), one for each channel of x {x.shape}; "
                f"got {a.shape}"
            )
    if not training and (channels["running_mean"] is None or channels["running_var"] is None):
        raise ValueError(
            "batch_norm: evaluation needs running_mean and running_var; pass them, or training=True"
        )
    if training and math.prod(x.shape) <= x.shape[1]:
        raise ValueError(
            "batch_norm: in training a channel needs more than one value to have a variance, "
            f"got x {x.shape}; use a larger batch or larger images"
        )


def layer_norm(
    x: Array, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Array:
    """Normalise over the last axes: y = (x - mean) / sqrt(var + eps) * weight + bias.

    normalized_shape: the shape of the last axes, over which mean and variance are taken (an int
        for one axis). weight and bias have this shape too.

    Raises ValueError for shapes that do not fit. Ba, Kiros and Hinton 2016, Layer normalization.
    """
    shape = normalized_shape if isinstance(normalized_shape, (tuple, list)) else [normalized_shape]
    shape = tuple(shape)
    if not shape or tuple(x.shape[-len(shape) :]) != shape:
        raise ValueError(f"layer_norm: x {x.shape} must end in normalized_shape {shape}")
    for name, a in (("weight", weight), ("bias", bias)):
        if a is not None and a.shape != shape:
            raise ValueError(f"layer_norm: {name} must be {shape}; got {a.shape}")
    y = _standardised(x, tuple(range(len(x.shape) - len(shape), len(x.shape))), eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def group_norm(
    x: Array, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Array:
    """Normalise each example over each of ``num_groups`` groups of neighbouring channels.

    y = (x - mean) / sqrt(var + eps) * weight + bias for x (N, C, ...), weight and bias (C,).
    Raises ValueError for shapes that do not fit and groups that do not divide C. Wu and He 2018,
    Group normalization.
    """
    if len(x.shape) < 2 or x.shape[1] % integer(num_groups, "group_norm: num_groups"):
        raise ValueError(f"group_norm: {num_groups} groups must divide the channels of x {x.shape}")
    n, c, *size = x.shape
    for name, a in (("weight", weight), ("bias", bias)):
        if a is not None and a.shape != (c,):
            raise ValueError(f"group_norm: {name} must be ({c},); got {a.shape}")
    groups = np.reshape(x, (n, num_groups, c // num_groups * math.prod(size)))
    y = np.reshape(_standardised(groups, (2,), eps), x.shape)
    column = (-1, *(1,) * len(size))
    y = y if weight is None else y * np.reshape(weight, column)
    return y if bias is None else y + np.reshape(bias, column)


def _standardised(x, axes, eps):
    """Return (x - mean) / sqrt(var + eps) with mean and variance over ``axes``."""
    n = math.prod(x.shape[axis] for axis in axes)
    centred = x - np.sum(x, axis=axes, keepdims=True) / n
    return centred / np.sqrt(np.sum(centred * centred, axis=axes, keepdims=True) / n + eps)


def local_response_norm(
    x: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Array:
    """Normalise across channels: y_c = x_c / (k + alpha / size * sum_{c'} x_c'^2)^beta.

    x is (N, C, ...). The sum runs over the channels c' from c - size // 2 to c + (size - 1) // 2
    that exist. Raises ValueError for other shapes and for a ``size`` below 1.

    Krizhevsky et al. 2012, section 3.3, do not divide alpha by ``size``, as torch does: their
    k = 2, n = 5, alpha = 1e-4, beta = 0.75 is
    ``local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)``.
    """
    if len(x.shape) < 2:
        raise ValueError(f"local_response_norm needs x (N, C, ...); got {x.shape}")
    size = integer(size, "local_response_norm: size")
    c = onp.arange(x.shape[1])
    offset = c - c[:, None]
    # The band matrix (C, C') of the channels that each sum takes.
    near = ((-(size // 2) <= offset) & (offset <= (size - 1) // 2)).astype(getval(x).dtype)
    # (C, C') . (N, C', ...) -> (C, N, ...) -> (N, C, ...)
    squares = np.swapaxes(np.tensordot(near, x * x, axes=([1], [1])), 0, 1)
    # exp and log instead of a power, whose derivative in autograd turns float32 into float64.
    return x * np.exp(-beta * np.log(k + alpha / size * squares))
