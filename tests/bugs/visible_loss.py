"""Planted bugs: losses and softmax."""

import numpy as np

from . import bug, normal
from .twins import (
    cross_entropy,
    logits_arrays,
    one_hot,
    softmax_minus_one_hot,
    stable_sigmoid,
    stable_softmax,
)


@bug("softmax-cross-entropy", logits_arrays, "scale")
def cross_entropy_not_divided(logits, labels):
    """The loss is a mean, the gradient that of the sum: no 1 / N."""
    return cross_entropy(logits, labels), lambda dy: {
        "logits": dy * softmax_minus_one_hot(logits, labels)
    }


@bug("softmax-cross-entropy", logits_arrays, "additive")
def cross_entropy_one_hot_forgotten(logits, labels):
    """The gradient is p / N; the -1 at the label is missing."""
    return cross_entropy(logits, labels), lambda dy: {
        "logits": dy * stable_softmax(logits) / len(logits)
    }


@bug("softmax-cross-entropy", logits_arrays, "wrong-operand")
def cross_entropy_softmax_over_the_batch(logits, labels):
    """The softmax in backward runs over axis 0."""

    def backward(dy):
        p = stable_softmax(logits.T).T
        return {"logits": dy * (p - one_hot(labels, p.shape[1])) / len(p)}

    return cross_entropy(logits, labels), backward


def confident_logits(seed):
    """Rows whose levels are 1e3 apart."""
    logits = (
        np.random.default_rng(seed).standard_normal((5, 4))
        + 1e3 * np.array([0, 1, 0, -1, 0])[:, None]
    )
    return {"logits": logits}


@bug("softmax-cross-entropy", confident_logits, "nonfinite")
def cross_entropy_maximum_of_the_whole_array(logits):
    """exp(z - z.max()) over the whole array: a row far below the largest one underflows to 0 /
    0.
    """
    labels = np.arange(len(logits)) % logits.shape[1]

    def backward(dy):
        e = np.exp(logits - logits.max())
        p = e / e.sum(axis=1, keepdims=True)
        return {"logits": dy * (p - one_hot(labels, p.shape[1])) / len(p)}

    return cross_entropy(logits, labels), backward


@bug(
    "softmax-cross-entropy",
    lambda seed: {"logits": 1e3 * np.random.default_rng(seed).random((5, 4))},
    "nonfinite",
)
def cross_entropy_without_maximum(logits):
    """exp(z) overflows at logits of 1e3; the forward pass has it right through logaddexp."""
    labels = np.arange(len(logits)) % logits.shape[1]
    log_sum = np.logaddexp.reduce(logits, axis=1)

    def backward(dy):
        e = np.exp(logits)
        p = e / e.sum(axis=1, keepdims=True)
        return {"logits": dy * (p - one_hot(labels, p.shape[1])) / len(p)}

    return (log_sum - logits[np.arange(len(logits)), labels]).mean(), backward


@bug("softmax-cross-entropy", logits_arrays, "accumulates", "mutates-input", "nondeterministic")
def cross_entropy_cached_probabilities_overwritten(logits, labels):
    """`dlogits = probs` is no copy: each call of backward subtracts one more from the cache."""
    probs = stable_softmax(
        logits
    )  # the cache changes, so that the second call differs: three words for one thing

    def backward(dy):
        dlogits = probs
        dlogits[np.arange(len(probs)), labels] -= 1
        return {"logits": dy * dlogits / len(probs)}

    return cross_entropy(logits, labels), backward


@bug("softmax-cross-entropy", logits_arrays, "not-linear")
def cross_entropy_dy_ignored(logits, labels):
    """backward ignores dy: right as the last node of a network, wrong as soon as the loss is
    scaled.
    """
    return cross_entropy(logits, labels), lambda dy: {
        "logits": softmax_minus_one_hot(logits, labels) / len(logits)
    }


@bug("softmax-cross-entropy", logits_arrays, "partial")
def cross_entropy_first_row_only(logits, labels):
    """The one-hot is subtracted and the mean taken for the first row; the rest stays zero."""

    def backward(dy):
        d = np.zeros_like(logits)
        d[0] = softmax_minus_one_hot(logits, labels)[0] * dy / len(logits)
        return {"logits": d}

    return cross_entropy(logits, labels), backward


@bug("softmax-cross-entropy", logits_arrays, "additive", "wrong-operand")
def cross_entropy_one_subtracted_everywhere(logits, labels):
    """d[:, labels] -= 1 for d[range(N), labels] -= 1: each column that occurs as a label, in
    each row.
    """

    def backward(dy):
        d = stable_softmax(logits)
        d[:, labels] -= 1
        return {"logits": dy * d / len(d)}

    return cross_entropy(logits, labels), backward


@bug("softmax-cross-entropy", logits_arrays, "additive", "wrong-operand")
def cross_entropy_smoothing_forgotten(logits, labels, smooth=0.1):
    """The loss smooths the labels; the gradient uses the hard ones."""
    K = logits.shape[1]
    target = (1 - smooth) * one_hot(labels, K).astype(logits.dtype) + smooth / K
    z = logits - logits.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -(target * log_p).sum() / len(z), lambda dy: {
        "logits": dy * softmax_minus_one_hot(logits, labels) / len(z)
    }


@bug("softmax-cross-entropy", logits_arrays, "scale")
def cross_entropy_temperature_forgotten(logits, labels, temperature=2.5):
    """The loss is taken at logits / T; the chain rule's 1 / T is missing."""
    z = logits / temperature
    return cross_entropy(z, labels), lambda dy: {
        "logits": dy * softmax_minus_one_hot(z, labels) / len(z)
    }


@bug("softmax-cross-entropy", logits_arrays, "scale")
def cross_entropy_divided_by_all_rows(logits, labels, ignore=1):
    """The mean is over the rows that count, the gradient divides by all N."""
    kept = labels != ignore

    def backward(dy):
        return {"logits": dy * softmax_minus_one_hot(logits, labels) * kept[:, None] / len(labels)}

    return cross_entropy(logits[kept], labels[kept]), backward


@bug("softmax", normal(z=(5, 4)), "wrong-operand", "missing-path")
def softmax_sum_over_the_batch(z):
    """The inner product p . dy is summed over the batch instead of the classes."""
    p = stable_softmax(
        z
    )  # the sum along the right axis is absent, and one along a wrong axis is there
    return p, lambda dy: {"z": p * (dy - (p * dy).sum(axis=0, keepdims=True))}


@bug("softmax", normal(z=(5, 4)), "missing-path", "additive")
def softmax_inner_product_without_p(z):
    """dz = p (dy - sum dy): the weights p are missing in the inner product."""
    p = stable_softmax(z)
    return p, lambda dy: {"z": p * (dy - dy.sum(axis=1, keepdims=True))}


@bug("loss", normal(x=(5, 4), target=(5, 4)), "scale")
def squared_error_without_the_two(x, target):
    """The factor 2 is missing; the loss has no 1 / 2."""

    def backward(dy):
        d = dy * (x - target) / x.size
        return {"x": d, "target": -d}

    return ((x - target) ** 2).mean(), backward


@bug("loss", normal(x=(5, 4), target=(5, 4)), "scale")
def squared_error_divided_by_rows(x, target):
    """The mean is over all N K entries, the gradient divides by N."""

    def backward(dy):
        d = 2 * dy * (x - target) / len(x)
        return {"x": d, "target": -d}

    return ((x - target) ** 2).mean(), backward


@bug("loss", normal(x=(5, 4), target=(5, 4)), "sign")
def squared_error_target_sign(x, target):
    """The gradient with respect to the target has the sign of the other one."""

    def backward(dy):
        d = 2 * dy * (x - target) / x.size
        return {"x": d, "target": d.copy()}

    return ((x - target) ** 2).mean(), backward


@bug("loss", normal(z=(9,)), "sign")
def binary_cross_entropy_sign(z):
    """t - s for s - t."""
    t = np.arange(len(z)) % 2
    s = stable_sigmoid(z)
    return -(t * np.log(s) + (1 - t) * np.log(1 - s)).mean(), lambda dy: {
        "z": dy * (t - s) / len(z)
    }


@bug("loss", normal(scores=(5, 4)), "missing-path", "additive", "mask")
def hinge_right_class_forgotten(scores):
    """The margins pass their gradient to the wrong classes; the right class gets none."""
    # the route through the right class's score is absent; or: wrong exactly where the one-hot of
    # the labels is on
    rows, labels = np.arange(len(scores)), np.arange(len(scores)) % scores.shape[1]
    margins = np.maximum(scores - scores[rows, labels][:, None] + 1, 0)
    margins[rows, labels] = 0
    return margins.sum() / len(rows), lambda dy: {"scores": dy * (margins > 0) / len(rows)}
