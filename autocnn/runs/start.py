"""What a run needs before its first step: its data, network, optimizer and initial values."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from autocnn.checkpoint import load_weights
from autocnn.data import load, patterns
from autocnn.data.dataset import Dataset
from autocnn.data.folders import UnreadableImages
from autocnn.data.forms import form_of
from autocnn.data.loaders import LOADERS
from autocnn.data.parts import split_dataset
from autocnn.models.interpretations import interpretation
from autocnn.ops.arguments import integer
from autocnn.optim import Optimizer
from autocnn.runs import recipes
from autocnn.runs.config import RunConfig, WeightsFile
from autocnn.runs.own_network import short_name
from autocnn.training import TrainState
from autocnn.trees import count, tree_map

__all__ = ["initialize", "load_data", "run_data", "start_from", "weights_file"]

MAX_PARAMETERS = 2_000_000_000  # of which the largest network here has 138 million


def load_data(
    name: str,
    limit: int | None = None,
    validation: float | None = None,
    size: str | None = None,
    grey: bool | None = None,
) -> Dataset:
    """Return the data set of that name, or in that file or folder.

    limit: keep the first so many training images, and so many for validation and the test, only;
    evenly spread ones where the images are sorted by class. None for all. validation, size, grey:
    as for ``data.load``; size as "64x48". Raises ValueError for an unknown name or a limit below 1,
    and ImportError that names the package that is needed for it.
    """
    height_width = None if size is None else tuple(map(int, size.split("x")))
    if name == "patterns":
        data = patterns()
        if height_width is not None:
            raise ValueError("patterns has images of one form; leave size away")
        if validation is not None:
            data = split_dataset(data, validation)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreadableImages)  # the notes say it too
            data = load(name, validation=validation, size=height_width, grey=grey)
    if limit is None:
        return data
    n = integer(limit, "--limit")
    kept: dict[str, np.ndarray] = {}
    for part in ("train", "val", "test"):
        x, y = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        if x is not None:
            is_sorted = bool((np.diff(y) >= 0).all())
            chosen = np.arange(n) * len(y) // n if is_sorted and n < len(y) else slice(n)
            kept |= {f"x_{part}": x[chosen], f"y_{part}": y[chosen]}
    return data._replace(**kept)


def run_data(config: RunConfig, data: str = "") -> Dataset:
    """Return the data of a run, or for a run those at another place, fitted to the size and
    channels of its images where they are image files.

    ValueError that says how to name their new place when the run's own are gone.
    """
    if not data:
        is_name = config.data == "patterns" or config.data in LOADERS
        if not is_name and not os.path.exists(os.path.expanduser(config.data)):
            raise ValueError(
                f"the data of the run, {config.data}, are not there any more; if they have moved, "
                "name their new place: --data NEW"
            )
        return load_data(config.data, config.limit, config.validation, config.size)
    channels, height, width = config.shape
    if data != "patterns" and data not in LOADERS and os.path.exists(os.path.expanduser(data)):
        path = Path(data).expanduser()
        if form_of(path) == "images":
            return load_data(data, None, None, f"{height}x{width}", channels == 1)
    return load_data(data)


def initialize(config: RunConfig) -> tuple[Any, Optimizer, TrainState]:
    """Return (model, optimizer, train state before the first step) of a run.

    Raises ValueError for a setting that does not exist, or a network that does not fit the images.
    """
    model = config.build(interpretation(config.engine))
    if config.dtype not in ("float32", "float64"):
        raise ValueError(f"there is no dtype {config.dtype!r}; use --dtype float32 or float64")
    # Runs of different seeds share no random numbers: no other key's second number is the seed.
    key = (0, config.seed)
    size, name = "x".join(map(str, config.input_shape)), short_name(config.network)
    try:
        out, sizes, _ = model.init(None, config.input_shape)
    except ValueError as error:
        raise ValueError(f"{name} does not fit images of {size}: {error}") from error
    _check_outputs(name, tuple(out), len(config.classes))
    if count(sizes) > MAX_PARAMETERS:  # before anything is drawn
        raise ValueError(
            f"{name} does not fit images of {size}: it would have {count(sizes):,} parameters, too "
            "many to train"
        )
    _, params, state = model.init(key, config.input_shape, config.dtype)
    optimizer = config.optimizer()
    recipes.loss(config.recipe)  # a ValueError for label smoothing that makes no sense
    return model, optimizer, TrainState(params, state, optimizer.init(params), 0, np.nan, {})


def _check_outputs(name: str, out: tuple[int, ...], classes: int) -> None:
    """Refuse a network whose outputs are not one number for each class."""
    if out != (classes,):
        got = f"{out[0]} outputs" if len(out) == 1 else f"outputs of shape {out}"
        raise ValueError(
            f"{name} has {got}, and the data {classes} classes; end the network with "
            "dense(classes), where build(classes) is given their number"
        )


def weights_file(path: str) -> WeightsFile:
    """Return the path and the sum of a file of weights, or of the best parameters of a run folder.

    FileNotFoundError where there is none.
    """
    found = Path(path).expanduser().resolve()
    if found.is_dir():
        found = found / "best.safetensors"
    if not found.is_file():
        raise ValueError(f"there is no file or run {path} to take weights from")
    return WeightsFile(str(found), hashlib.sha256(found.read_bytes()).hexdigest())


def start_from(config: RunConfig, model: Any, start: TrainState) -> tuple[TrainState, str]:
    """Put the weights of ``config.weights`` into the state before the first step.

    What the file does not have stays random, such as a classifier of other classes. Returns the
    state, and a sentence on what was taken. ValueError when nothing fits, or the file has changed.
    """
    assert config.weights is not None
    path = config.weights.path
    if weights_file(path) != config.weights:
        raise ValueError(f"{path} has changed since the run began; put back the file as it was")
    found = load_weights(
        path, model, config.input_shape, strict=False, start=(start.params, start.state)
    )
    params, state = (
        tree_map(lambda leaf: leaf.astype(config.dtype), tree)
        for tree in (found.params, found.state)
    )
    opt_state = config.optimizer().init(params)
    return start._replace(params=params, state=state, opt_state=opt_state), f"{path}: {found}"
