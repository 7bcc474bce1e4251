"""What a network reaches that ignores its images: the best constant output, and its accuracy."""

import numpy as np

from autocnn.losses import Loss

__all__ = ["CERTAIN", "deviations", "guess", "has_learned", "is_labels"]

CERTAIN = 3.0  # standard deviations of an accuracy beyond which it is not a guesser's
SMOOTHINGS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # of labels, that a guess may have to match


def guess(loss: Loss, y: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Return the least loss of a constant output, and the accuracy of always the most frequent
    class; NaN for targets that are not labels.

    The least is taken over a few candidates: exact for cross-entropy, also with smoothed labels,
    and for mse; for another loss an upper bound, infinite where it takes none of them.
    """
    w = np.ones(len(y)) if weights is None else np.asarray(weights, float)
    w = w / w.sum()
    try:
        return _least_constant(loss, y, w)
    except Exception:  # a loss of one's own may take no other outputs than its network's
        return np.inf, np.nan


def _least_constant(loss: Loss, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    if not is_labels(y):
        mean = np.tensordot(w, np.asarray(y, float), 1)[None]
        return float(w @ loss.each(np, np.repeat(mean, len(y), 0), y)), np.nan
    labels, positions = np.unique(y, return_inverse=True)
    share = np.bincount(positions, w)
    p = np.zeros(max(int(y.max()) + 1, 2))
    p[labels] = share
    candidates = [p, *(np.log((1 - s) * p + s / len(p) + 1e-30) for s in (0, *SMOOTHINGS))]
    losses = [share @ loss.each(np, np.repeat(c[None], len(labels), 0), labels) for c in candidates]
    return float(min(losses)), float(share.max())


def is_labels(y: np.ndarray) -> bool:
    """Whether targets are labels (N,) of ints."""
    return y.ndim == 1 and y.dtype.kind in "iu"


def has_learned(value: float, accuracy: float, loss: Loss, y: np.ndarray) -> bool:
    """Whether a loss and an accuracy (NaN for none) on the targets y are better than a guess's."""
    least, share = guess(loss, y)
    if value < least * 0.99:
        return True
    return not np.isnan(accuracy) and deviations(accuracy, share, len(y)) > CERTAIN


def deviations(accuracy: float, chance: float, n: float) -> float:
    """How many standard deviations of n guesses an accuracy lies above chance."""
    return (accuracy - chance) / max(np.sqrt(chance * (1 - chance) / n), 1 / n)
