"""Sample weights: how much each training example counts, by itself and by its class.

A batch's loss is the weighted mean of its examples' losses,

    loss = sum_n w_n l_n / sum_n w_n,    w_n = sample_weight[n] class_weight[labels[n]],

divided by the weights of that batch, as torch.nn.functional.cross_entropy divides by its class
weights: a factor on all weights changes nothing. Examples of weight 0 are left out before the first
batch is drawn.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["balanced_class_weights", "class_weights", "drop_zero_weights", "example_weights"]


def example_weights(
    labels: np.ndarray, classes: int, sample_weight: Any = None, class_weight: Any = None
) -> np.ndarray | None:
    """Return the weight of each example, (N,) of float64, or None where all are equal.

    labels: (N,) of ints in [0, classes). sample_weight: N numbers, 0 or more and not all 0.
    class_weight: as in ``class_weights``. ValueError for anything else.
    """
    if sample_weight is None and class_weight is None:
        return None
    given = np.ones(len(labels)) if sample_weight is None else sample_weight
    weights = _weights(given, len(labels), "sample_weight", "example")
    if class_weight is not None:
        weights = weights * class_weights(class_weight, labels, classes, weights)[labels]
    if not weights.any():
        raise ValueError(
            "every weight is zero: there is nothing to train on; give some class or example a "
            "weight above 0"
        )
    return None if (weights == weights[0]).all() else weights


def drop_zero_weights(
    x: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return (x, labels, weights) without the examples of weight 0.

    The weights become None where those that are left are equal.
    """
    if weights is None or weights.all():
        return x, labels, weights
    kept = weights > 0
    weights = weights[kept]
    return x[kept], labels[kept], None if (weights == weights[0]).all() else weights


def class_weights(
    class_weight: Any, labels: np.ndarray, classes: int, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the weight of each class, (K,).

    class_weight: K numbers, 0 or more; a dict {class: weight}, where classes that it leaves out
    have weight 1; or "balanced", for ``balanced_class_weights``. ValueError for anything else.
    """
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            needed = f"'balanced', a dict {{class: weight}} or {classes} numbers"
            raise ValueError(f"class_weight is {needed}; got {class_weight!r}")
        return balanced_class_weights(labels, classes, sample_weight)
    if isinstance(class_weight, Mapping):
        unknown = [k for k in class_weight if not (np.ndim(k) == 0 and k in range(classes))]
        if unknown:
            raise ValueError(
                f"class_weight names classes that do not exist, {unknown}; there are "
                f"0..{classes - 1}"
            )
        class_weight = [class_weight.get(k, 1.0) for k in range(classes)]
    return _weights(class_weight, classes, "class_weight", "class")


def balanced_class_weights(
    labels: np.ndarray, classes: int, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return W / (K W_k) for each class k that occurs, and 1 for one that does not.

    W_k is the sum of the weights of the class's examples, W that of all examples, and K the number
    of classes that occur, as in scikit-learn: the mean weight of an example is then 1.
    """
    total = np.bincount(labels, sample_weight, minlength=classes)
    occurs = total > 0
    return np.divide(total.sum(), occurs.sum() * total, out=np.ones(classes), where=occurs)


def _weights(values: Any, n: int, name: str, of: str) -> np.ndarray:
    """Return values as an array of n weights; ``of`` is what each belongs to."""
    needed = f"{n} numbers, one for each {of}"
    try:
        weights = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be {needed}; got {values!r:.60}") from None
    if weights.shape != (n,):
        raise ValueError(f"{name} must be {needed}; got shape {weights.shape}")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise ValueError(
            f"{name} must be finite numbers, 0 or more; got {weights[bad][0]} for {of} "
            f"{int(bad.argmax())}"
        )
    return weights
