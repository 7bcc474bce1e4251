"""Calibration: probabilities that are as often right as they say, and when an answer is doubtful.

A network's softmax is usually too sure. Dividing the outputs by one number, the temperature, before
the softmax mends that without changing any answer. It is fitted on the validation images at the end
of training, kept in the run folder as calibration.json, and used by ``predict`` and ``evaluate``.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from autocnn.checkpoint.format import ZEROS, is_sealed, seal
from autocnn.files import open_regular
from autocnn.text import visible

__all__ = [
    "FEWEST",
    "FILE",
    "Calibration",
    "calibrate",
    "calibration_bytes",
    "expected_calibration_error",
    "fit_temperature",
    "negative_log_likelihood",
    "parse_calibration",
    "read_calibration",
]

FILE = "calibration.json"
FEWEST = 50  # validation images: with fewer, one wrong answer more moves a temperature by far
RARE = 0.005  # of the validation images are as unlike the others as those that are called unlike
BINS = 15
MAX_BYTES = 1 << 20


class Calibration(NamedTuple):
    """What was fitted on the validation images with the parameters of one epoch.

    run: the identity of the run. epoch: of the parameters. images: how many. temperature: what the
    outputs are divided by. nll, ece: the negative log likelihood and the expected calibration error
    with that temperature; nll_before, ece_before: with 1. support: the log of the sum of the
    exponentials of the outputs that all but 0.5 % of the images reach; see ``calibrate``.
    """

    run: str | None
    epoch: int
    images: int
    temperature: float
    nll: float
    nll_before: float
    ece: float
    ece_before: float
    support: float

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return softmax(outputs / temperature), (N, K); the largest stays the largest."""
        return softmax(np.asarray(outputs, np.float64) / self.temperature, axis=-1)

    def is_unlike(self, outputs: np.ndarray) -> np.ndarray:
        """Return for each image (N,) whether it is unlike the images that were trained on."""
        return logsumexp(np.asarray(outputs, np.float64), axis=-1) < self.support


def calibrate(
    outputs: np.ndarray, labels: np.ndarray, run: str | None = None, epoch: int = 0
) -> Calibration | None:
    """Fit a ``Calibration`` to a network's outputs (N, K), before the softmax, and labels (N,).

    Images unlike the trained ones get small outputs for all classes: the log of the sum of their
    exponentials (the negative free energy of Liu et al. 2020, Energy-based out-of-distribution
    detection) lies below what nearly all validation images have. None for fewer than 50 images.
    """
    outputs, labels = np.asarray(outputs, np.float64), np.asarray(labels)
    if len(outputs) < FEWEST or not np.isfinite(outputs).all():
        return None
    temperature = _rounded(fit_temperature(outputs, labels))
    before, after = softmax(outputs, axis=1), softmax(outputs / temperature, axis=1)
    return Calibration(
        run=run,
        epoch=epoch,
        images=len(labels),
        temperature=temperature,
        nll=_rounded(negative_log_likelihood(outputs / temperature, labels)),
        nll_before=_rounded(negative_log_likelihood(outputs, labels)),
        ece=_rounded(expected_calibration_error(after, labels)),
        ece_before=_rounded(expected_calibration_error(before, labels)),
        support=_rounded(float(np.quantile(logsumexp(outputs, axis=1), RARE))),
    )


def _rounded(value: float) -> float:
    """Five digits, which do not depend on the order in which a sum was taken."""
    return float(f"{value:.5g}")


def fit_temperature(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T > 0 that gives softmax(outputs / T) the least negative log
    likelihood of the labels (Guo et al. 2017, On calibration of modern neural networks).

    outputs: (N, K). labels: (N,). As in Platt's scaling (1999), a label counts as right with
    probability (N + 1) / (N + 2), so that T does not go to 0 where every answer is right.
    """
    n, k = outputs.shape
    other = 1 / ((n + 2) * max(k - 1, 1))

    def loss(log_temperature: float) -> float:
        logs = log_softmax(outputs / np.exp(log_temperature), axis=1)
        right = logs[np.arange(n), labels]
        return -float(((1 - 1 / (n + 2) - other) * right + other * logs.sum(axis=1)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def negative_log_likelihood(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log softmax(outputs)[label] over outputs (N, K) and labels (N,)."""
    logs = log_softmax(np.asarray(outputs, np.float64), axis=1)
    return -float(logs[np.arange(len(labels)), labels].mean())


def expected_calibration_error(probs: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Return the mean distance between the confidence and the accuracy of answers, in bins of equal
    width of the confidence (Naeini et al. 2015). probs: (N, K). labels: (N,).
    """
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins)
    sums = np.bincount(which, confidence - right, minlength=bins)
    return float(np.abs(sums).sum() / counts.sum())


def calibration_bytes(found: list[Calibration]) -> bytes:
    """Return the content of calibration.json, under a sum."""
    values = {"sha256": ZEROS.decode(), "calibrations": [one._asdict() for one in found]}
    return seal((json.dumps(values, indent=2) + "\n").encode())


def parse_calibration(path: Path) -> list[Calibration]:
    """Read calibration.json. ValueError when it is damaged; FileNotFoundError if there is none."""
    with open_regular(path) as file:
        content = file.read(MAX_BYTES)
    if not is_sealed(content):
        raise ValueError(f"{path} is damaged: it does not match its SHA-256")
    try:
        return [_checked(values) for values in json.loads(content)["calibrations"]]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(visible(f"{path} is damaged: {error}")) from error


def read_calibration(folder: Path, run: str | None, epoch: int) -> tuple[Calibration | None, str]:
    """Return (the calibration of a run's parameters of that epoch or None, why there is none)."""
    try:
        found = parse_calibration(Path(folder) / FILE)
    except FileNotFoundError:
        return None, f"the run has no calibration, which takes {FEWEST} validation images"
    except (OSError, ValueError) as error:
        return None, str(error)
    for one in found:
        if (one.run, one.epoch) == (run, epoch):
            return one, ""
    return None, f"{FILE} is of other parameters"


def _checked(values: dict[str, Any]) -> Calibration:
    one = Calibration(**values)
    numbers = [float(value) for value in one[2:]]
    if not np.isfinite(numbers).all() or one.temperature <= 0 or type(one.epoch) is not int:
        raise ValueError("it holds numbers that make no sense")
    return one
