"""Ops by fast kernels: the functions of ``autocnn.ops``, same names, arguments and derivatives,
each one node for autograd.

An op is its word without the network around it. Arguments that the words do not know (ceil mode,
weights of classes, ...) and arrays that do not fit go to ``autocnn.ops``, which computes them or
says what is wrong. Names that are not redefined here are its own. Second and higher derivatives go
through ``autocnn.ops`` as well.
"""

from functools import lru_cache
from numbers import Integral

import autograd.numpy as np
import numpy

from autocnn import ops as plain
from autocnn.autodiff import getval
from autocnn.fast import words
from autocnn.fast.arrays import supports
from autocnn.fast.loss import cross_entropy_pull
from autocnn.fast.tape import differentiable
from autocnn.ops import *  # noqa: F403
from autocnn.ops import __all__  # noqa: F401


@lru_cache(maxsize=256)
def _word(word, *arguments):
    """Return the forward function of a word with these arguments; kept, since a network's ops
    are few.
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


def cross_entropy(
    logits, labels, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """Return the mean over the batch of -log softmax(logits)[n, labels[n]], and its variants:
    ``autocnn.ops.cross_entropy``.
    """

    def slow(args):
        options = dict(
            ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )
        return plain.cross_entropy(args[0], labels, weight, **options), None

    classes = np.asarray(labels)
    usual = (
        weight is None and reduction == "mean" and not label_smoothing and supports(getval(logits))
    )
    if not usual or not _are_classes(classes, logits.shape) or (classes == ignore_index).any():
        return slow([logits])[0]

    def pull(args, wanted):
        loss, dlogits = cross_entropy_pull(args[0], classes)
        return loss, None, lambda dy: [dlogits * dy]

    return differentiable(pull, slow, [logits])[0]


def _are_classes(labels, shape):
    """Say whether labels are one class for each row of logits (N, K)."""
    known = (
        labels.dtype.kind in "iu"
        and len(shape) == 2
        and labels.shape == shape[:1]
        and len(labels) > 0
    )
    return known and labels.min() >= 0 and labels.max() < shape[1]
