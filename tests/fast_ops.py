"""The fast words with the names and arguments of ``autocnn.ops``, so that one set of tests of ops
serves both. What a word does not know goes to ``autocnn.ops``.
"""

from functools import lru_cache
from numbers import Integral

import autograd.numpy as np
import numpy

from autocnn import ops as plain
from autocnn.autodiff import getval
from autocnn.fast import words
from autocnn.ops import *  # noqa: F403
from autocnn.ops import __all__  # noqa: F401


@lru_cache(maxsize=256)
def _word(word, *arguments):
    """Return the forward function of a word with these arguments; kept, since a network's ops are
    few.
    """
    return getattr(words, word)(*arguments).forward


def _whole(value):
    """An int or a pair of ints, which a word takes as it is."""
    return isinstance(value, Integral) or (
        isinstance(value, tuple) and all(isinstance(v, Integral) for v in value)
    )


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate images with kernels: ``autocnn.ops.conv2d``."""
    known = (
        len(x.shape) == len(weight.shape) == 4
        and all(map(_whole, (stride, padding, dilation, groups)))
        and groups > 0
    )
    if (
        known
        and x.shape[1] == weight.shape[1] * groups
        and (bias is None or bias.shape == weight.shape[:1])
    ):
        f, _, kh, kw = weight.shape
        if f % groups == 0:
            forward = _word(
                "conv", f, (kh, kw), stride, padding, dilation, groups, bias is not None
            )
            return forward(
                {"w": weight} if bias is None else {"w": weight, "b": bias}, {}, x, False, None
            )[0]
    return plain.conv2d(x, weight, bias, stride, padding, dilation, groups)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Take the maximum of each window: ``autocnn.ops.max_pool2d``."""
    if _poolable(x, kernel_size, stride, padding) and dilation in (1, (1, 1)) and not ceil_mode:
        return _word("max_pool", kernel_size, stride, padding)({}, {}, x, False, None)[0]
    return plain.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)


def avg_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """Average each window: ``autocnn.ops.avg_pool2d``."""
    if (
        _poolable(x, kernel_size, stride, padding)
        and not ceil_mode
        and count_include_pad
        and divisor_override is None
    ):
        return _word("avg_pool", kernel_size, stride, padding)({}, {}, x, False, None)[0]
    return plain.avg_pool2d(
        x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


def _poolable(x, kernel_size, stride, padding):
    return (
        len(x.shape) == 4
        and _whole(kernel_size)
        and (stride is None or _whole(stride))
        and _whole(padding)
    )


def relu(x):
    """Clip below at zero: ``autocnn.ops.relu``."""
    if isinstance(getval(x), numpy.ndarray):
        return _word("relu")({}, {}, x, False, None)[0]
    return plain.relu(x)  # a plain number


def linear(x, weight, bias=None):
    """Return x W^T + b: ``autocnn.ops.linear``."""
    if len(x.shape) != 2 or len(weight.shape) != 2 or x.shape[1] != weight.shape[1]:
        return plain.linear(x, weight, bias)
    params = {"w": np.transpose(weight)} if bias is None else {"w": np.transpose(weight), "b": bias}
    return _word("dense", weight.shape[0], bias is not None)(params, {}, x, False, None)[0]


def batch_norm(
    x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """Normalise each channel by the batch's statistics or the running ones:
    ``autocnn.ops.batch_norm``.
    """
    return batch_norm_and_statistics(
        x, running_mean, running_var, weight, bias, training, momentum, eps
    )[0]


def batch_norm_and_statistics(
    x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """Return (y, running_mean, running_var): ``autocnn.ops.batch_norm_and_statistics``."""
    channels = (running_mean, running_var, weight, bias)
    if len(x.shape) < 2 or any(a is None or a.shape != (x.shape[1],) for a in channels):
        return plain.batch_norm_and_statistics(x, *channels, training, momentum, eps)
    state = {"mean": running_mean, "var": running_var}
    y, state = _word("batch_norm", momentum, eps)(
        {"w": weight, "b": bias}, state, x, training, None
    )
    return y, state["mean"], state["var"]


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide each number by its neighbours' strength across channels:
    ``autocnn.ops.local_response_norm``.
    """
    if len(x.shape) < 2:
        return plain.local_response_norm(x, size, alpha, beta, k)
    return _word("local_response_norm", size, alpha, beta, k)({}, {}, x, False, None)[0]
