"""What a trained run answers to images, with calibrated probabilities, and which answers are
doubtful.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from autocnn.data.dataset import Dataset
from autocnn.fast.predictor import predictor
from autocnn.files import atomic_write
from autocnn.images import Fitted
from autocnn.models.interpretations import INTERPRETATIONS, RUNTIMES, interpretation
from autocnn.runs.calibration import (
    FILE,
    Calibration,
    calibrate,
    calibration_bytes,
    read_calibration,
)
from autocnn.runs.config import RunConfig
from autocnn.runs.folder import load
from autocnn.runs.own_network import interpreted
from autocnn.runs.preprocessing import prepare
from autocnn.runs.saved_run import SavedRun

__all__ = [
    "Answer",
    "Outputs",
    "answers",
    "network_outputs",
    "run_calibration",
    "run_outputs",
    "save_calibration",
]

UNSURE = 0.8  # the probability below which an answer is doubtful


Outputs = Callable[[np.ndarray], np.ndarray]  # images (N, C, H, W) -> (N, K), before the softmax


class Answer(NamedTuple):
    """probabilities: of each class, (K,). doubts: why the answer is doubtful, one text each; none
    if it is not.
    """

    probabilities: np.ndarray
    doubts: tuple[str, ...]


def run_outputs(saved: SavedRun, engine: str | None = None) -> Outputs:
    """Return what computes a run's outputs in evaluation mode.

    engine: "fast", "autograd" or "reference"; "onnxruntime" or "openvino", which compute in float32
    whatever the run's dtype is, see ``export.predictor``; None for the run's network as it is.
    ValueError for another name, and for layers of one's own that the engine cannot compute.
    """
    config, model, now = saved
    if engine in RUNTIMES:
        from autocnn import export  # with the kernels, which take a moment to import

        return export.predictor(engine, model, now.params, now.state, config.input_shape)
    if engine is not None and engine not in INTERPRETATIONS:
        names = ", ".join((*INTERPRETATIONS, *RUNTIMES))
        raise ValueError(f"there is no engine {engine!r}; the engines are {names}")
    model = model if engine is None else interpreted(model, interpretation(engine))
    return predictor(model, now.params, now.state, copy=False)


def network_outputs(outputs: Outputs, x: np.ndarray, batch_size: int = 512) -> np.ndarray:
    """Return the outputs (N, K) of images, computed ``batch_size`` at a time."""
    starts = range(0, len(x), batch_size)
    return np.concatenate([outputs(x[k : k + batch_size]) for k in starts])


def run_calibration(folder: str | Path, saved: SavedRun) -> tuple[Calibration | None, str]:
    """Return (the calibration of the parameters that were loaded or None, why there is none)."""
    return read_calibration(Path(folder), saved.config.run, saved.epoch)


def answers(
    saved: SavedRun,
    calibration: Calibration | None,
    images: Sequence[Fitted],
    engine: str | None = None,
) -> list[Answer]:
    """Answer images that were fitted to a run.

    Probabilities are softmax(outputs / temperature), with a temperature of 1 where there is no
    calibration. An answer is doubtful when the image was hard to read, its probability is below
    0.8, or the image is unlike the run's own; see ``calibration.calibrate``. engine: as of
    ``run_outputs``.
    """
    x = prepare(np.stack([image.x for image in images]), saved.config.inputs)
    outputs = network_outputs(run_outputs(saved, engine), x)
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
        now = saved.train_state
        outputs = network_outputs(predictor(model, now.params, now.state, copy=False), data.x_val)
        one = calibrate(outputs, data.y_val, config.run, saved.epoch)
        found += [] if one is None else [one]
    if found:
        atomic_write(Path(folder) / FILE, calibration_bytes(found))
