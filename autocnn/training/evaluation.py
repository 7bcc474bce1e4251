"""Evaluation: a trained network's loss, accuracy and probabilities, batch by batch."""

import math
from typing import Any

import numpy as np

from autocnn.data.scale import warn_unscaled
from autocnn.fast.predictor import predictor
from autocnn.losses import Loss, cross_entropy
from autocnn.ops import softmax
from autocnn.ops.arguments import integer

__all__ = ["evaluate", "measure", "predict", "probabilities"]

MOST_NUMBERS = 1 << 22  # in a batch of images


def evaluate(
    model: Any,
    params: Any,
    state: Any,
    x: np.ndarray,
    labels: np.ndarray,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
) -> tuple[float, float]:
    """Return (loss, accuracy) of a network in evaluation mode, as floats.

    model, params, state: a network of any interpretation and its trees. x: images (N, C, H, W),
    computed ``batch_size`` at a time, by default 512, or fewer that have 4 million numbers.
    labels: (N,) of ints in [0, K), or the targets that ``loss`` takes. loss: whose mean over the
    images is returned; cross-entropy unless given. The accuracy is the share of images whose
    largest output is that of their label; NaN for targets that are not labels. Images far from the
    scale of [0, 1] are told of by an ``UnscaledImages`` warning.

    Raises ValueError for trees, images or labels that do not fit the network.
    """
    found = measure(model, params, state, x, labels, batch_size, loss)
    warn_unscaled(x, "x")  # last: of images of another shape the error is enough
    return found


def measure(
    model: Any,
    params: Any,
    state: Any,
    x: np.ndarray,
    labels: np.ndarray,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
) -> tuple[float, float]:
    """Return what ``evaluate`` does, without a look at the images' scale."""
    x, labels = np.asarray(x), np.asarray(labels)
    total, correct = 0.0, 0.0
    batch_size, outputs_of = _batch_size(x, batch_size), predictor(model, params, state, copy=False)
    for start in range(0, max(len(x), 1), batch_size):
        batch, y = x[start : start + batch_size], labels[start : start + batch_size]
        outputs = outputs_of(batch)
        y = loss.check(y, len(batch), outputs.shape[1:])
        total += float(loss.each(np, outputs, y).sum())
        right = loss.correct(outputs, y)
        correct += np.nan if right is None else int(right.sum())
    if len(labels) != len(x):
        raise ValueError(
            f"evaluate needs a label for each image; got {len(x)} images and {len(labels)} labels"
        )
    return total / len(x), correct / len(x)


def predict(
    model: Any, params: Any, state: Any, x: np.ndarray, batch_size: int | None = None
) -> np.ndarray:
    """Return the probability of each class, (N, K), by a network in evaluation mode.

    x: images (N, C, H, W), computed ``batch_size`` at a time, by default as ``evaluate`` does.
    Raises ValueError for trees or images that do not fit the network.
    """
    found = probabilities(model, params, state, x, batch_size)
    warn_unscaled(x, "x")
    return found


def probabilities(
    model: Any,
    params: Any,
    state: Any,
    x: np.ndarray,
    batch_size: int | None = None,
    temperature: float = 1.0,
) -> np.ndarray:
    """Return what ``predict`` does, without a look at the images' scale. temperature: what the
    outputs are divided by.
    """
    batch_size = _batch_size(x, batch_size)
    outputs_of = predictor(model, params, state, copy=False)
    batches = (x[k : k + batch_size] for k in range(0, max(len(x), 1), batch_size))
    return np.concatenate([softmax(outputs_of(batch) / temperature) for batch in batches])


def _batch_size(x: Any, batch_size: int | None) -> int:
    """The default: 512 images, fewer of large ones, since a network's outputs take many times the
    memory of its images.
    """
    if batch_size is not None:
        return integer(batch_size, "batch_size")
    return min(512, max(1, MOST_NUMBERS // max(1, math.prod(np.shape(x)[1:]))))
