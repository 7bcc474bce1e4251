"""Weights: how much each training example counts, by itself and by its class.

A batch's loss is the weighted mean of its examples' cross-entropies,

    loss = sum_n w_n l_n / sum_n w_n,    w_n = sample_weight[n] class_weight[labels[n]],

divided by the weights of that batch, as torch.nn.functional.cross_entropy divides by its class
weights: a factor on all weights changes nothing. An example of weight 0 is as good as absent, and
is left out before the first batch is drawn.
"""

from collections.abc import Mapping

import numpy as np

__all__ = ["balanced", "mean_and_spread", "of_classes", "of_examples", "present"]


def of_examples(labels, classes, sample_weight=None, class_weight=None):
    """Return the weight of each example, (N,) of float64, or None where all weigh the same.

    labels (N,) of ints in [0, classes). sample_weight: N numbers, 0 or more and not all 0.
    class_weight: see ``of_classes``. ValueError for anything else.
    """
    if sample_weight is None and class_weight is None:
        return None
    n = len(labels)
    weights = (
        np.ones(n)
        if sample_weight is None
        else _numbers(sample_weight, n, "sample_weight", "example")
    )
    if class_weight is not None:
        weights = weights * of_classes(class_weight, labels, classes, weights)[labels]
    if not weights.any():
        raise ValueError(
            "every weight is zero: there is nothing to train on; give some class or example a weight above 0"
        )
    return None if (weights == weights[0]).all() else weights


def present(x, labels, weights):
    """Return (x, labels, weights) without the examples of weight 0; None for weights where the
    others all weigh the same.
    """
    if weights is None or weights.all():
        return x, labels, weights
    there = weights > 0
    weights = weights[there]
    return x[there], labels[there], None if (weights == weights[0]).all() else weights


def of_classes(class_weight, labels, classes, sample_weight=None):
    """Return the weight of each class, (K,).

    class_weight: K numbers, 0 or more; a dict from a class's index to its weight, 1 for a class
    that it does not name; or "balanced", by which all classes that occur weigh the same together:
    ``balanced``.
    """
    if isinstance(class_weight, str):
        if class_weight != "balanced":
            needed = f"'balanced', a dict {{class: weight}} or {classes} numbers"
            raise ValueError(f"class_weight is {needed}; got {class_weight!r}")
        return balanced(labels, classes, sample_weight)
    if isinstance(class_weight, Mapping):
        unknown = [k for k in class_weight if not (np.ndim(k) == 0 and k in range(classes))]
        if unknown:
            raise ValueError(
                f"class_weight names classes that do not exist, {unknown}; there are 0..{classes - 1}"
            )
        class_weight = [class_weight.get(k, 1.0) for k in range(classes)]
    return _numbers(class_weight, classes, "class_weight", "class")


def balanced(labels, classes, sample_weight=None):
    """Return W / (K W_k) for each class k that occurs, 1 for one that does not: W_k is its
    examples' weight, W that of all.

    K is the number of classes that occur, so that the mean weight of an example is 1, as
    scikit-learn has it.
    """
    total = np.bincount(labels, sample_weight, minlength=classes)
    there = total > 0
    return np.divide(total.sum(), there.sum() * total, out=np.ones(classes), where=there)


def mean_and_spread(rows, weights=None):
    """Return the mean and the standard deviation of all numbers in rows (N, D), each row
    weighing as ``weights`` (N,) say.
    """
    if weights is None:
        return float(rows.mean(dtype=float)), float(rows.std(dtype=float))
    mean = float(np.average(rows.mean(axis=1, dtype=float), weights=weights))
    return mean, float(
        np.average(((rows - mean) ** 2).mean(axis=1, dtype=float), weights=weights)
    ) ** 0.5


def _numbers(values, n, name, of):
    """An array of n numbers that can be weights."""
    try:
        found = np.asarray(values, float)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be {n} numbers, one for each {of}; got {values!r:.60}"
        ) from None
    if found.shape != (n,):
        raise ValueError(f"{name} must be {n} numbers, one for each {of}; got shape {found.shape}")
    bad = ~(np.isfinite(found) & (found >= 0))
    if bad.any():
        raise ValueError(
            f"{name} must be finite numbers, 0 or more; got {found[bad][0]} for {of} {int(bad.argmax())}"
        )
    return found
