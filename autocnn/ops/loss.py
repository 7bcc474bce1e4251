"""Losses, in the names and arguments of torch.nn.functional."""

from typing import Any

import autograd.numpy as np
import numpy as onp

from autocnn.ops.pointwise import log_softmax
from autocnn.typing import Array

__all__ = ["cross_entropy", "mse_loss"]


def cross_entropy(
    logits: Array,
    labels: Any,
    weight: Any = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Return the mean over the batch of -sum_k q[n, k] log softmax(logits)[n, k].

    logits: (N, K).
    labels: (N,) ints in [0, K), for which q is one-hot; or (N, K), the probabilities q.
    weight: (K,), a factor on each class's terms. The mean then divides by the sum of the labels'
        weights.
    ignore_index: labels of this value are left out.
    reduction: "mean", "sum", or "none" for the N terms.
    label_smoothing: s in [0, 1], which replaces q by (1 - s) q + s / K. Szegedy et al. 2016,
        Rethinking the Inception architecture, section 7.

    Raises ValueError for shapes that do not fit, labels out of range, unknown reductions, and the
    mean of a batch whose labels are all ignored.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'cross_entropy: reduction is "mean", "sum" or "none"; got {reduction!r}')
    q, total = _targets(onp.asarray(labels), logits.shape, weight, ignore_index, label_smoothing)
    if reduction == "none":
        return -np.sum(log_softmax(logits) * q.astype(logits.dtype), axis=1)
    if reduction == "mean" and total == 0:
        raise ValueError(
            "cross_entropy: all labels are ignored, so there is nothing to average; "
            "leave this batch out"
        )
    # Dividing the constant q, not the result, leaves one product and one sum on the tape.
    q = q / (-total if reduction == "mean" else -1)
    return np.sum(log_softmax(logits) * q.astype(logits.dtype))


def _targets(labels, shape, weight, ignore_index, label_smoothing):
    """Return (q, total): weighted target probabilities (N, K), and the sum of the weights of the
    labels that are not ignored.
    """
    if labels.shape != shape and (labels.shape != shape[:1] or labels.dtype.kind not in "iu"):
        raise ValueError(
            f"cross_entropy: labels are {shape[0]} integers, one for each row of the logits "
            f"{shape}, or probabilities of that shape; got {labels.dtype} of shape {labels.shape}"
        )
    if weight is not None and onp.shape(weight) != shape[1:]:
        raise ValueError(
            f"cross_entropy: weight must be {shape[1:]}, one for each class; "
            f"got {onp.shape(weight)}"
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing must lie in [0, 1]; got {label_smoothing!r}"
        )
    if labels.ndim == 2:
        q, total = labels, len(labels)
    else:
        counted = labels != ignore_index
        rows, chosen = onp.arange(len(labels))[counted], labels[counted]
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < shape[1]:
            raise ValueError(
                f"cross_entropy: labels must lie in 0..{shape[1] - 1}; "
                f"got {chosen.min()}..{chosen.max()}"
            )
        total = len(rows) if weight is None else onp.asarray(weight)[chosen].sum()
        q = onp.zeros(shape)
        q[rows, chosen] = 1
    if label_smoothing:
        q = (1 - label_smoothing) * q + label_smoothing / shape[1] * q.sum(axis=1, keepdims=True)
    return q if weight is None else q * onp.asarray(weight), total


def mse_loss(input: Array, target: Any, reduction: str = "mean") -> Array:
    """Return the mean of (input - target)^2 over all entries, for arrays of equal shape.

    ``reduction`` is "mean", "sum", or "none" for the squares themselves. Raises ValueError for
    unequal shapes, unknown reductions, and the mean of no entries.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'mse_loss: reduction is "mean", "sum" or "none"; got {reduction!r}')
    if input.shape != onp.shape(target):
        raise ValueError(
            f"mse_loss: input and target must have equal shapes; got {input.shape} and "
            f"{onp.shape(target)}"
        )
    if reduction == "mean" and 0 in input.shape:
        raise ValueError(
            f"mse_loss: {input.shape} has no entries, so there is nothing to average; "
            "leave this batch out"
        )
    d = input - target
    total = d * d
    if reduction == "none":
        return total
    total = np.sum(total)
    return total / d.size if reduction == "mean" else total
