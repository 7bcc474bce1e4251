"""What a trained run answers to images, with calibrated probabilities, and which answers are
doubtful.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from autocnn.data.dataset import Dataset
from autocnn.files import atomic_write
from autocnn.images import Fitted
from autocnn.runs.calibration import (
    FILE,
    Calibration,
    calibrate,
    calibration_bytes,
    read_calibration,
)
from autocnn.runs.config import RunConfig
from autocnn.runs.folder import load
from autocnn.runs.preprocessing import prepare
from autocnn.runs.saved_run import SavedRun

__all__ = ["Answer", "answers", "network_outputs", "run_calibration", "save_calibration"]

UNSURE = 0.8  # the probability below which an answer is doubtful


class Answer(NamedTuple):
    """probabilities: of each class, (K,). doubts: why the answer is doubtful, one text each; none
    if it is not.
    """

    probabilities: np.ndarray
    doubts: tuple[str, ...]


def network_outputs(
    model: Any, params: Any, state: Any, x: np.ndarray, batch_size: int = 512
) -> np.ndarray:
    """Return the outputs (N, K) of a network in evaluation mode, before the softmax."""
    starts = range(0, len(x), batch_size)
    return np.concatenate(
        [np.asarray(model.apply(params, state, x[k : k + batch_size])[0]) for k in starts]
    )


def run_calibration(folder: str | Path, saved: SavedRun) -> tuple[Calibration | None, str]:
    """Return (the calibration of the parameters that were loaded or None, why there is none)."""
    return read_calibration(Path(folder), saved.config.run, saved.epoch)


def answers(
    saved: SavedRun, calibration: Calibration | None, images: Sequence[Fitted]
) -> list[Answer]:
    """Answer images that were fitted to a run.

    Probabilities are softmax(outputs / temperature), with a temperature of 1 where there is no
    calibration. An answer is doubtful when the image was hard to read, its probability is below
    0.8, or the image is unlike the run's own; see ``calibration.calibrate``.
    """
    config, model, state = saved
    x = prepare(np.stack([image.x for image in images]), config.inputs)
    outputs = network_outputs(model, state.params, state.state, x)
    if calibration is None:
        probs, unlike = softmax(outputs, axis=1), np.zeros(len(x), bool)
    else:
        probs, unlike = calibration.probabilities(outputs), calibration.is_unlike(outputs)
    found = []
    for image, p, is_unlike in zip(images, probs, unlike, strict=True):
        doubts = [*image.doubts]
        doubts += [f"a probability below {UNSURE:.0%}"] if p.max() < UNSURE else []
        doubts += ["unlike the images that the network was trained on"] if is_unlike else []
        found.append(Answer(p, tuple(doubts)))
    return found


def save_calibration(folder: Path, config: RunConfig, model: Any, data: Dataset) -> None:
    """Fit the calibration of a run's best and last parameters, and write calibration.json.

    data: as they enter the network. Nothing is written where there are too few validation images.
    """
    found: list[Calibration] = []
    if data.x_val is None:
        return
    for name in ("best", "last"):
        saved = load(folder, name)
        if any(one.epoch == saved.epoch for one in found):
            continue
        state = saved.train_state
        outputs = network_outputs(model, state.params, state.state, data.x_val)
        one = calibrate(outputs, data.y_val, config.run, saved.epoch)
        found += [] if one is None else [one]
    if found:
        atomic_write(Path(folder) / FILE, calibration_bytes(found))
