"""The loss of a batch and its gradient: cross-entropy in closed form, others by autograd."""

import numpy as np

from autocnn import autodiff
from autocnn.layers.layer import batch_loss
from reference.loss import cross_entropy

__all__ = ["loss_and_gradient"]

NEGLIGIBLE = 2.0**-100


def loss_and_gradient(loss, y, targets, weights=None):
    """Return (value, dy) for a batch of outputs y: the mean loss, or its weighted sum.

    weights: (N,) numbers that add up to 1, or None.
    """
    if loss is cross_entropy:
        return _cross_entropy(y, targets, weights)
    value, _, backward = autodiff.vjp(lambda y: (batch_loss(loss, y, targets, weights), None), y)
    return value, backward(value.dtype.type(1))[0]


def _cross_entropy(logits, labels, weights):
    """Softmax minus one-hot, over the batch: logits (N, K), labels (N,)."""
    n = len(logits)
    rows = np.arange(n)
    z = logits - logits.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    if weights is None:
        loss = (np.log(total).sum() - z[rows, labels].sum()) / n
    else:
        weights = weights.astype(logits.dtype)
        loss = weights @ (np.log(total[:, 0]) - z[rows, labels])
    e /= total
    if e.dtype.char == "f":
        # Too small to matter, but products with them on the way back would be subnormal, and slow.
        e[e < NEGLIGIBLE] = 0
    e[rows, labels] -= 1
    if weights is None:
        e /= n
    else:
        e *= weights[:, None]
    return loss, e
