"""Losses: each is one value with its formula for one example and the derivative by hand.

A network's loss is the mean over the batch, or sum_n w_n l_n with weights that add up to 1.

    loss, dy = loss_and_gradient(cross_entropy, logits, labels)
"""

import numbers
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from reference.arguments import concrete

__all__ = [
    "Loss",
    "cross_entropy",
    "loss_and_gradient",
    "mse",
    "smoothed_cross_entropy",
    "softmax_cross_entropy",
]


class Loss(NamedTuple):
    """A loss for ``loss_and_grad(..., loss=)`` and ``train(..., loss=)``.

    name: what it is called.
    check: function (targets, n, out_shape) that returns the targets as an array, or raises
        ValueError. n is the number of examples, out_shape the shape of one output.
    each: function (xp, y, targets) of outputs y (N, *out_shape) that returns the loss of each
        example, (N,). xp is numpy or autograd.numpy, which derives the gradient from it.
    slope: function (y, targets) that returns the derivative of each example's loss with respect
        to its output, (N, *out_shape), by hand.
    correct: function (y, targets) that returns whether each answer is right, (N,), or None where
        the targets are not classes.
    """

    name: str
    check: Callable[[Any, int, tuple[int, ...]], np.ndarray]
    each: Callable[[ModuleType, Any, np.ndarray], Any]
    slope: Callable[[np.ndarray, np.ndarray], np.ndarray]
    correct: Callable[[np.ndarray, np.ndarray], np.ndarray | None]

    def __repr__(self) -> str:
        return f"Loss({self.name})"


def loss_and_gradient(loss: Loss, y: np.ndarray, targets: np.ndarray, weights=None):
    """Return (value, dy) of a batch of outputs y (N, ...): the loss and its gradient by hand.

    weights: (N,) numbers that add up to 1, in place of 1 / N.

    ValueError for a batch of no outputs.
    """
    if len(y) == 0:
        raise ValueError(
            f"a loss needs at least one output, got shape {np.shape(y)}; leave this batch out"
        )
    each, slope = loss.each(np, y, targets), loss.slope(y, targets)
    if weights is None:
        slope /= len(y)
        return each.sum() / len(y), slope
    weights = weights.astype(y.dtype)
    return weights @ each, weights.reshape(-1, *(1,) * (slope.ndim - 1)) * slope


def softmax_cross_entropy(logits, labels, share=None):
    """Return (loss, dlogits) of ``cross_entropy``: the same as ``loss_and_gradient``."""
    return loss_and_gradient(cross_entropy, logits, labels, share)


def _class_labels(targets, n, out_shape):
    """Check labels (N,) of ints in [0, K)."""
    try:
        labels = np.asarray(targets)
    except ValueError:  # lists of several lengths
        raise ValueError(
            f"labels must be {n} integers, one for each image; got {targets!r:.60}"
        ) from None
    if len(out_shape) != 1:
        raise ValueError(
            f"this loss needs logits (N, K), but the network ends in {out_shape}; "
            "end it with dense(classes)"
        )
    if labels.dtype.kind not in "iu" or labels.shape != (n,):
        raise ValueError(
            f"labels must be {n} integers, one for each image; "
            f"got {labels.dtype} of shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= out_shape[0]:
        raise ValueError(
            f"labels must lie in 0..{out_shape[0] - 1} for {out_shape[0]} outputs; "
            f"got {labels.min()}..{labels.max()}"
        )
    return labels


def _one_hot(labels, y):
    hot = np.zeros(y.shape, y.dtype)
    hot[np.arange(len(labels)), labels] = 1
    return hot


def _cross_entropy(xp, logits, labels):
    """-log softmax(z)_label = log sum_k exp(z_k) - z_label, shifted by the largest logit.

    The shift is a constant to autograd: its derivative cancels.
    """
    z = logits - concrete(logits).max(axis=1, keepdims=True)
    return xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(z * _one_hot(labels, z), axis=1)


def _softmax_minus_one_hot(logits, labels):
    """dl/dz_k = softmax(z)_k - [k = label]."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    e[np.arange(len(labels)), labels] -= 1
    return e


def _class_is_right(y, labels):
    return y.argmax(axis=1) == labels


cross_entropy = Loss(
    "cross_entropy", _class_labels, _cross_entropy, _softmax_minus_one_hot, _class_is_right
)
"""-log softmax(logits)[label], for logits (N, K) and labels (N,) of ints in [0, K)."""


def smoothed_cross_entropy(smoothing: float) -> Loss:
    """Return cross-entropy against smoothed labels, for logits (N, K) and labels (N,) of ints.

    The target of class k is q_k = (1 - s) [k = label] + s / K instead of [k = label], and the loss
    -sum_k q_k log softmax(logits)_k. Szegedy et al. 2016, Rethinking the Inception architecture for
    computer vision, section 7, where s = 0.1.

    smoothing: s in [0, 1); 0 is ``cross_entropy`` itself. ValueError for another number.
    """
    is_number = isinstance(smoothing, numbers.Real) and not isinstance(smoothing, bool)
    if not is_number or not 0 <= smoothing < 1:
        raise ValueError(
            f"label smoothing is a share of the target, 0 or more and below 1, such as 0.1; got "
            f"{smoothing!r}"
        )
    if smoothing == 0:
        return cross_entropy
    s = float(smoothing)
    return Loss(
        f"smoothed_cross_entropy({s:g})",
        _class_labels,
        partial(_smoothed, s),
        partial(_softmax_minus_smoothed, s),
        _class_is_right,
    )


def _smoothed(smoothing, xp, logits, labels):
    """log sum_k exp(z_k) - sum_k q_k z_k, since the q_k add up to 1."""
    z = logits - concrete(logits).max(axis=1, keepdims=True)
    k = z.shape[1]
    q = _one_hot(labels, z) * (1 - smoothing) + smoothing / k
    return xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(z * q.astype(z.dtype), axis=1)


def _softmax_minus_smoothed(smoothing, logits, labels):
    """dl/dz_k = softmax(z)_k - (1 - s) [k = label] - s / K."""
    slope = _softmax_minus_one_hot(logits, labels)
    slope -= smoothing / logits.shape[1]
    slope[np.arange(len(labels)), labels] += smoothing
    return slope


def _outputs_or_labels(targets, n, out_shape):
    """Check targets (N, *out_shape) of floats, or labels (N,), which stand for one-hot rows."""
    a = np.asarray(targets)
    if a.dtype.kind in "iu" and a.shape == (n,) and len(out_shape) == 1 and out_shape != (1,):
        return _class_labels(a, n, out_shape)
    if a.dtype.kind not in "fiub" or a.shape != (n, *out_shape):
        raise ValueError(
            f"mse needs targets of the outputs' shape {(n, *out_shape)}, or {n} integer labels "
            f"for one-hot targets; got {a.dtype} of shape {a.shape}"
        )
    if not np.isfinite(a).all():
        raise ValueError("mse: targets must be finite, got NaN or infinity")
    return a


def _difference(y, targets):
    if targets.shape != y.shape:
        targets = _one_hot(targets, y)
    return y - targets.astype(y.dtype)


def _squared_error(xp, y, targets):
    d = _difference(y, targets)
    square = xp.reshape(d * d, (len(d), -1))
    return xp.sum(square, axis=1) / square.shape[1]


def _squared_error_slope(y, targets):
    """dl/dy_d = 2 (y_d - t_d) / D."""
    return _difference(y, targets) * y.dtype.type(2 / y[0].size)


def _nearest_is_right(y, targets):
    return _class_is_right(y, targets) if targets.ndim == 1 and y.ndim == 2 else None


mse = Loss("mse", _outputs_or_labels, _squared_error, _squared_error_slope, _nearest_is_right)
"""The mean squared error sum_d (y_d - t_d)^2 / D of outputs with D numbers each.

Targets are floats of the outputs' shape, or labels (N,) of ints, which stand for one-hot rows.
"""
