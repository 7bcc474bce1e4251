"""A checkpoint as a run: the config that it was trained with, the network, and where it stands."""

import math
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from autocnn.checkpoint.checkpoint import Checkpoint, read
from autocnn.deprecation import renamed_property
from autocnn.models.interpretations import interpretation
from autocnn.runs.config import RunConfig
from autocnn.training import TrainState
from autocnn.trees import leaves, unflatten
from reference.origin import remember

__all__ = [
    "CONFIG",
    "MixedRunsError",
    "SavedRun",
    "last_epoch",
    "load_checkpoint",
    "saved_run",
    "trained_with",
]

CONFIG = "config.json"


class MixedRunsError(ValueError):
    """A checkpoint belongs to another run."""


class SavedRun(NamedTuple):
    """A run as read from its folder: how it is trained, the network, and where it stands."""

    config: RunConfig
    model: Any
    train_state: TrainState

    @property
    def epoch(self) -> int:
        """The last epoch that was finished, -1 before the first evaluation."""
        return last_epoch(self.train_state.history)


# A NamedTuple's body takes fields only.
SavedRun.moment = renamed_property("moment", "train_state")


def load_checkpoint(path: Path) -> tuple[Checkpoint, bool]:
    """Read a checkpoint, and whether it has sums. ValueError in one line when it cannot be used."""
    try:
        return read(path)
    except FileNotFoundError:
        raise
    except ValueError as error:
        raise ValueError(str(error).partition(";")[0]) from error  # without advice on torch's files
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def trained_with(
    path: Path, config: RunConfig | None, config_error: ValueError | None, metadata: dict
) -> RunConfig:
    """Return the config of the run that a checkpoint belongs to.

    That is its own, with the place of the data and the number of epochs that config.json has.
    ValueError when it is of another run.
    """
    stored = metadata.get("config")
    if stored is None:  # of version 0.1
        if config is None:
            assert config_error is not None
            raise ValueError(f"it does not hold the config, and {config_error}")
        if config.run is not None:
            raise MixedRunsError(f"it has no identity, and {CONFIG} is of the run {config.run[:8]}")
        return config
    own = RunConfig.from_json(stored)
    if config is None or (config.run is None and own.run is not None):
        return own
    if config.run != own.run:
        mine = own.run[:8] if own.run else "of an earlier version"
        raise MixedRunsError(
            f"it belongs to the run {mine}, and {CONFIG} to the run {config.run[:8]}: files of "
            "different runs are mixed; put back those of one run"
        )
    return own.replace(data=config.data, recipe=own.recipe._replace(epochs=config.recipe.epochs))


def last_epoch(history: dict[str, list]) -> int:
    """Return the last epoch that a history records, -1 for none."""
    return int(history["epoch"][-1]) if history.get("epoch") else -1


def saved_run(config: RunConfig, found: Checkpoint, nn: ModuleType | None) -> SavedRun:
    """Put a checkpoint's values into trees of the structure that the network and its optimizer
    need.
    """
    saved_params, saved_state, metadata = found
    model = config.build(interpretation("autograd") if nn is None else nn)
    _, params, state = model.init(None, config.input_shape)
    params = _filled("params", params, saved_params)
    remember(params, model)
    state = _filled("state", state, saved_state["network"])
    opt_state = config.optimizer().init(params)
    opt_state = _filled("optimizer state", opt_state, saved_state["optimizer"])
    loss = math.nan if metadata["loss"] is None else metadata["loss"]
    history = {column: list(values) for column, values in metadata["history"].items()}
    state = TrainState(params, state, opt_state, metadata["step"], loss, history)
    return SavedRun(config, model, state)


def _filled(part: str, tree: Any, saved: Any) -> Any:
    """A tree of ``tree``'s structure and shapes with the values of ``saved``."""
    values = dict(leaves(saved))
    for path, leaf in leaves(tree):
        if path not in values or values[path].shape != leaf.shape:
            got = f"has shape {values[path].shape}" if path in values else "is missing"
            raise ValueError(f"{part} leaf '{path}' {got}, needed is {leaf.shape}")
    return unflatten(tree, [values[path] for path, _ in leaves(tree)])
