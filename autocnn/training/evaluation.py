"""Evaluation: a trained network's loss, accuracy and probabilities, batch by batch."""

from typing import Any

import numpy as np

from autocnn.ops import log_softmax, softmax
from autocnn.ops.arguments import whole
from reference.loss import cross_entropy

__all__ = ["evaluate", "predict"]


def evaluate(
    model: Any,
    params: Any,
    state: Any,
    x: np.ndarray,
    labels: np.ndarray,
    batch_size: int = 512,
) -> tuple[float, float]:
    """Return (loss, accuracy) of a network in evaluation mode, as floats.

    x: images (N, C, H, W), computed ``batch_size`` at a time. labels: (N,) of ints in [0, K). The
    loss is the mean cross-entropy, the accuracy the share of images whose largest logit is that of
    their label.

    Raises ValueError for trees, images or labels that do not fit the network.
    """
    x, labels = np.asarray(x), np.asarray(labels)
    loss, correct = 0.0, 0
    for start in range(0, max(len(x), 1), whole(batch_size, "batch_size")):
        batch, y = x[start : start + batch_size], labels[start : start + batch_size]
        logits, _ = model.apply(params, state, batch)
        cross_entropy.check(y, len(batch), logits.shape[1:])
        loss += _loss_sum(logits, y)
        correct += int((logits.argmax(axis=1) == y).sum())
    if len(labels) != len(x):
        raise ValueError(
            f"evaluate needs a label for each image; got {len(x)} images and {len(labels)} labels"
        )
    return loss / len(x), correct / len(x)


def predict(
    model: Any, params: Any, state: Any, x: np.ndarray, batch_size: int = 512
) -> np.ndarray:
    """Return the probability of each class, (N, K), by a network in evaluation mode.

    x: images (N, C, H, W), computed ``batch_size`` at a time. Raises ValueError for trees or images
    that do not fit the network.
    """
    starts = range(0, max(len(x), 1), whole(batch_size, "batch_size"))
    return np.concatenate(
        [softmax(model.apply(params, state, x[start : start + batch_size])[0]) for start in starts]
    )


def _loss_sum(logits: np.ndarray, labels: np.ndarray) -> float:
    """The sum of the cross-entropies of a batch; the one place where evaluation takes a loss."""
    return -float(log_softmax(logits)[np.arange(len(labels)), labels].sum())
