"""What a run needs before its first step: its data, network, optimizer and initial values."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from autocnn.checkpoint import load_weights
from autocnn.data import load, patterns
from autocnn.data.dataset import Dataset
from autocnn.models.interpretations import interpretation
from autocnn.ops.arguments import integer
from autocnn.optim import Optimizer
from autocnn.runs import recipes
from autocnn.runs.config import RunConfig, WeightsFile
from autocnn.runs.own_network import short_name
from autocnn.training import TrainState
from autocnn.trees import count, tree_map

__all__ = ["initialize", "load_data", "start_from", "weights_file"]

MAX_PARAMETERS = 2_000_000_000  # of which the largest network here has 138 million


def load_data(name: str, limit: int | None = None) -> Dataset:
    """Return the data set of that name, or in that folder of IDX files.

    limit: keep the first so many training and so many validation images only; None for all. Raises
    ValueError for an unknown name or a limit below 1, and ImportError that names the package that
    is needed for it.
    """
    data = patterns() if name == "patterns" else load(name)
    if limit is None:
        return data
    n = integer(limit, "--limit")
    return data._replace(
        x_train=data.x_train[:n],
        y_train=data.y_train[:n],
        x_val=data.x_val[:n],
        y_val=data.y_val[:n],
    )


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
