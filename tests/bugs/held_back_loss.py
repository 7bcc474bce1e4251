"""Planted bugs: losses and softmax, held back while the rules were written."""

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
def cross_entropy_divided_by_size(logits, labels):
    """Divided by N K (`.mean()` over everything) where only N belongs."""
    return cross_entropy(logits, labels), lambda dy: {
        "logits": dy * softmax_minus_one_hot(logits, labels) / logits.size
    }


@bug("softmax-cross-entropy", logits_arrays, "sign")
def cross_entropy_sign(logits, labels):
    """onehot - p for p - onehot."""

    def backward(dy):
        p = stable_softmax(logits)
        return {"logits": dy * (one_hot(labels, p.shape[1]) - p) / len(p)}

    return cross_entropy(logits, labels), backward


@bug("softmax", normal(z=(5, 4)), "missing-path")
def softmax_diagonal_only(z):
    """dz = dy p (1 - p): the Jacobian's off-diagonal part, -p_i p_j, is missing."""
    p = stable_softmax(z)
    return p, lambda dy: {"z": dy * p * (1 - p)}


@bug("softmax-cross-entropy", normal(logits=(5, 4)), "missing-path", "mask")
def cross_entropy_through_diagonal_jacobian(logits):
    """-t / p through p (1 - p) on the diagonal only, as if the classes were independent."""
    # also "mask": what is left is right at the labels and zero elsewhere
    labels = np.arange(len(logits)) % logits.shape[1]

    def backward(dy):
        p = stable_softmax(logits)
        return {"logits": dy * -one_hot(labels, p.shape[1]) * (1 - p) / len(p)}

    return cross_entropy(logits, labels), backward


@bug("softmax-cross-entropy", logits_arrays, "wrong-operand", "additive")
def cross_entropy_label_off_by_one(logits, labels):
    """Labels that count from 1 are used from 0 (or the other way round): one is subtracted at
    the neighbour.
    """

    def backward(dy):
        d = stable_softmax(
            logits
        )  # the gradient at other labels; or: what is added is a difference of one-hots
        d[np.arange(len(d)), labels - 1] -= 1
        return {"logits": dy * d / len(d)}

    return cross_entropy(logits, labels), backward


@bug("softmax-cross-entropy", logits_arrays, "wrong-operand")
def cross_entropy_softmax_twice(logits, labels):
    """The softmax is applied to what already is the softmax."""

    def backward(dy):
        p = stable_softmax(stable_softmax(logits))
        return {"logits": dy * (p - one_hot(labels, p.shape[1])) / len(p)}

    return cross_entropy(logits, labels), backward


@bug("softmax-cross-entropy", logits_arrays, "mask", "partial", "additive")
def cross_entropy_ignored_rows_counted(logits, labels, ignore=1):
    """Rows of the padding label do not count in the loss, but the gradient has them."""
    kept = labels != ignore  # wrong exactly where the mask is off

    def backward(dy):
        return {"logits": dy * softmax_minus_one_hot(logits, labels) / kept.sum()}

    return cross_entropy(logits[kept], labels[kept]), backward


@bug("loss", normal(z=(9,)), "wrong-operand")
def binary_cross_entropy_sigmoid_slope_once_more(z):
    """s - t already holds the sigmoid's slope; it is multiplied by s (1 - s) once more."""
    t = np.arange(len(z)) % 2
    s = stable_sigmoid(z)
    return -(t * np.log(s) + (1 - t) * np.log(1 - s)).mean(), lambda dy: {
        "z": dy * (s - t) * s * (1 - s) / len(z)
    }


@bug("loss", normal(scores=(5, 4)), "mask")
def hinge_margin_mask_missing(scores):
    """Each wrong class gets 1, also where its margin is satisfied."""
    N, K = scores.shape
    rows, labels = np.arange(N), np.arange(N) % K
    margins = np.maximum(scores - scores[rows, labels][:, None] + 1, 0)
    margins[rows, labels] = 0

    def backward(dy):
        d = np.ones_like(scores)
        d[rows, labels] = 1 - K
        return {"scores": dy * d / N}

    return margins.sum() / N, backward
