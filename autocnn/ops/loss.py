"""Losses, in the names and arguments of torch.nn.functional."""

import autograd.numpy as np
import numpy as onp

from autocnn.ops.pointwise import log_softmax

__all__ = ["cross_entropy", "mse_loss"]


def cross_entropy(
    logits, labels, weight=None, *, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """Return the mean over the batch of -sum_k q[n, k] log softmax(logits)[n, k].

    logits (N, K). labels (N,) of ints in [0, K) put q on the label, or labels (N, K) are the q
    themselves. Label smoothing replaces q by (1 - s) q + s / K (Szegedy et al. 2016, Rethinking the
    Inception architecture, section 7). ``weight`` (K,) multiplies each class's term, and the mean
    is then over the labels' weights. Labels equal to ``ignore_index`` do not count; when none does,
    a mean is a ValueError. ``reduction`` is "mean", "sum", or "none" for the N terms.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'cross_entropy: reduction is "mean", "sum" or "none"; got {reduction!r}')
    q, total = _targets(onp.asarray(labels), logits.shape, weight, ignore_index, label_smoothing)
    if reduction == "none":
        return -np.sum(log_softmax(logits) * q.astype(logits.dtype), axis=1)
    if reduction == "mean" and total == 0:
        raise ValueError(
            "cross_entropy: no label counts, and there is no mean over none; leave such a batch out"
        )
    # The division by a constant is done on q, so that the tape holds one product and one sum.
    return np.sum(
        log_softmax(logits) * (q / (-total if reduction == "mean" else -1)).astype(logits.dtype)
    )


def _targets(labels, shape, weight, ignore_index, label_smoothing):
    """Return each class's share of the loss, (N, K), and the sum of the weights of the labels
    that count.
    """
    if labels.shape != shape and (labels.shape != shape[:1] or labels.dtype.kind not in "iu"):
        raise ValueError(
            f"cross_entropy: labels are {shape[0]} integers, one for each row of the logits {shape}, or probabilities of "
            f"that shape; got {labels.dtype} of shape {labels.shape}"
        )
    if weight is not None and onp.shape(weight) != shape[1:]:
        raise ValueError(
            f"cross_entropy: weight must be {shape[1:]}, one for each class; got {onp.shape(weight)}"
        )
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is a share, 0 to 1; got {label_smoothing!r}"
        )
    if labels.ndim == 2:
        q, total = labels, len(labels)
    else:
        counted = labels != ignore_index
        rows, chosen = onp.arange(len(labels))[counted], labels[counted]
        if len(chosen) and not 0 <= chosen.min() <= chosen.max() < shape[1]:
            raise ValueError(
                f"cross_entropy: labels must lie in 0..{shape[1] - 1}; got {chosen.min()}..{chosen.max()}"
            )
        q, total = (
            onp.zeros(shape),
            len(rows) if weight is None else onp.asarray(weight)[chosen].sum(),
        )
        q[rows, chosen] = 1
    if label_smoothing:
        q = (1 - label_smoothing) * q + label_smoothing / shape[1] * q.sum(axis=1, keepdims=True)
    return q if weight is None else q * onp.asarray(weight), total


def mse_loss(input, target, reduction="mean"):
    """Return the mean of (input - target)^2 over all entries, for arrays of one shape.

    ``reduction`` is "mean", "sum", or "none" for the squares themselves.
    """
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f'mse_loss: reduction is "mean", "sum" or "none"; got {reduction!r}')
    if input.shape != onp.shape(target):
        raise ValueError(f"mse_loss: shapes differ: {input.shape} and {onp.shape(target)}")
    d = input - target
    total = d * d
    if reduction == "none":
        return total
    total = np.sum(total)
    return total / d.size if reduction == "mean" else total
