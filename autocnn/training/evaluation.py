"""Evaluation: a trained network's loss, accuracy and probabilities, batch by batch."""

import numpy as np

from autocnn.ops import log_softmax, softmax
from autocnn.ops.arguments import whole
from reference.loss import cross_entropy

__all__ = ["evaluate", "predict"]


def evaluate(model, params, state, x, labels, batch_size=512):
    """Return (loss, accuracy) as floats: mean cross-entropy and share of right answers, in
    evaluation mode, batch by batch.
    """
    x, labels = np.asarray(x), np.asarray(labels)
    loss, right = 0.0, 0
    for start in range(0, max(len(x), 1), whole(batch_size, "batch_size")):
        part, y = x[start : start + batch_size], labels[start : start + batch_size]
        logits, _ = model.apply(params, state, part)
        cross_entropy.check(y, len(part), logits.shape[1:])
        loss -= float(log_softmax(logits)[np.arange(len(y)), y].sum())
        right += int((logits.argmax(axis=1) == y).sum())
    if len(labels) != len(x):
        raise ValueError(
            f"evaluate needs a label for each image; got {len(x)} images and {len(labels)} labels"
        )
    return loss / len(x), right / len(x)


def predict(model, params, state, x, batch_size=512):
    """Return the probability of each class, (N, K), for images x (N, C, H, W) in evaluation
    mode, batch by batch.
    """
    starts = range(0, max(len(x), 1), whole(batch_size, "batch_size"))
    return np.concatenate(
        [softmax(model.apply(params, state, x[start : start + batch_size])[0]) for start in starts]
    )
