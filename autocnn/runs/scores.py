"""Scores of a network's answers: loss, accuracy and calibration, and each class by itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from autocnn.runs.calibration import (
    Calibration,
    expected_calibration_error,
    negative_log_likelihood,
)

__all__ = ["class_scores", "scores"]


def scores(
    outputs: np.ndarray, labels: np.ndarray, calibration: Calibration | None
) -> dict[str, Any]:
    """Return {"loss", "accuracy", "calibration"} of outputs (N, K), before the softmax, and labels
    (N,).

    "calibration" holds "ece_before" and "nll_before" of the softmax, and "temperature", "ece" and
    "nll" of what ``calibration`` makes of it; None without one.
    """
    nll = negative_log_likelihood(outputs, labels)
    raw = softmax(np.asarray(outputs, np.float64), axis=1)
    found: dict[str, Any] = {"temperature": None, "ece": None, "nll": None}
    found |= {"ece_before": expected_calibration_error(raw, labels), "nll_before": nll}
    if calibration is not None:
        found["temperature"] = calibration.temperature
        found["ece"] = expected_calibration_error(calibration.probabilities(outputs), labels)
        found["nll"] = negative_log_likelihood(outputs / calibration.temperature, labels)
    accuracy = float((outputs.argmax(axis=1) == labels).mean())
    return {"loss": nll, "accuracy": accuracy, "calibration": found}


def class_scores(
    predicted: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return for each class {"class", "images", "precision", "recall", "taken_for", "times"}.

    predicted, labels: indices into classes, (N,). precision: the share of the answers with that
    class that are right; recall: the share of its images that are answered so; None where there are
    none. taken_for: the other class that its images are most often taken for, ``times`` times.
    """
    k = len(classes)
    counts = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    rows = []
    for i, name in enumerate(classes):
        images, answers, right = int(counts[i].sum()), int(counts[:, i].sum()), int(counts[i, i])
        others = np.where(np.arange(k) == i, 0, counts[i])
        most = int(others.argmax())
        rows.append(
            {
                "class": name,
                "images": images,
                "precision": right / answers if answers else None,
                "recall": right / images if images else None,
                "taken_for": classes[most] if others[most] else None,
                "times": int(others[most]),
            }
        )
    return rows
