"""Run folders: what one training leaves on the disk, and how it is read again.

    config.json         the ``RunConfig``: enough to build the network and to repeat the run
    history.csv         epoch, train_loss, train_acc, val_loss, val_acc
    last.safetensors    params and state {"network", "optimizer"}, and as metadata the step, the
                        loss and the history: the ``TrainState`` where the run stands
    best.safetensors    the same at the epoch with the best validation accuracy

Every file is written atomically: a reader finds the old content or the new one, whole. One process
at a time trains into a folder, which it locks; any number may read.
"""

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from safetensors import SafetensorError

from autocnn import checkpoint
from autocnn.deprecation import renamed_property
from autocnn.files import atomic_write, lock_folder, remove_partial_writes
from autocnn.models.interpretations import interpretation
from autocnn.runs.config import RunConfig
from autocnn.training import TrainState
from autocnn.trees import leaves, unflatten

__all__ = [
    "SavedRun",
    "create",
    "free_folder",
    "has_checkpoint",
    "has_config",
    "load",
    "lock",
    "read_config",
    "save",
    "write_config",
]

CONFIG, HISTORY = "config.json", "history.csv"


class SavedRun(NamedTuple):
    """A run as read from its folder: how it is trained, the network, and where it stands."""

    config: RunConfig
    model: Any
    train_state: TrainState


# A NamedTuple's body takes fields only.
SavedRun.moment = renamed_property("moment", "train_state")


def create(folder: str | os.PathLike, config: RunConfig) -> Path:
    """Make the run folder and write ``config`` into it. ValueError when it holds a run already."""
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise ValueError(
            f"{folder} holds a run already; name another folder, such as --out "
            f"{free_folder(folder)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return write_config(folder, config)


def write_config(folder: str | os.PathLike, config: RunConfig) -> Path:
    """Write ``config`` into a run folder, in place of what may be there."""
    content = json.dumps(config.to_json(), indent=2) + "\n"
    atomic_write(Path(folder) / CONFIG, content.encode())
    return Path(folder)


def read_config(folder: str | os.PathLike) -> RunConfig:
    """Read a run folder's config. ValueError when there is none, or it makes no sense."""
    path = Path(folder) / CONFIG
    try:
        return RunConfig.from_json(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} holds no run: there is no {CONFIG} in it; autocnn train makes one"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def has_config(folder: str | os.PathLike) -> bool:
    """Whether the folder holds a run, even one that has not taken a step."""
    return (Path(folder) / CONFIG).exists()


def has_checkpoint(folder: str | os.PathLike) -> bool:
    """Whether the run in the folder has saved where it stands."""
    return (Path(folder) / "last.safetensors").exists()


@contextlib.contextmanager
def lock(folder: str | os.PathLike) -> Iterator[Path]:
    """Lock the run folder for the ``with`` block, creating it if needed; yields its ``Path``.

    ``files.LockedError``, an OSError that names the other process, when one is training into it.
    Removes what a killed process has left half-written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, "training into"):
        remove_partial_writes(folder)
        yield folder


def free_folder(folder: str | os.PathLike) -> Path:
    """Return the first of folder, folder-2, folder-3, ... that does not exist."""
    folder, n = Path(folder), 2
    free = folder
    while free.exists():
        free, n = folder.with_name(f"{folder.name}-{n}"), n + 1
    return free


def save(folder: str | os.PathLike, train_state: TrainState, name: str = "last") -> None:
    """Write where a run stands to ``name``.safetensors, and its history to history.csv too."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(train_state.history)
    rows.writerows(zip(*train_state.history.values(), strict=True))
    # The table first: were it the other way round, a run killed in between at its very end would
    # never get its last row.
    atomic_write(Path(folder) / HISTORY, table.getvalue().encode())
    metadata = {
        "step": train_state.step,
        "loss": train_state.loss if math.isfinite(train_state.loss) else None,
        "history": train_state.history,
    }
    state = {"network": train_state.state, "optimizer": train_state.opt_state}
    checkpoint.save(Path(folder) / f"{name}.safetensors", train_state.params, state, metadata)


def load(folder: str | os.PathLike, name: str = "best", nn: ModuleType | None = None) -> SavedRun:
    """Read a run: its config, its network, and where it stood in ``name``.safetensors.

    name: "best" or "last". nn: the interpretation of the network, ``autocnn.layers`` for None; it
    need not be the one that trained it.

    Raises ValueError when the folder holds no run, none that has finished an epoch, or a damaged
    one.
    """
    folder = Path(folder)
    config = read_config(folder)
    path = folder / f"{name}.safetensors"
    try:
        model = config.build(interpretation("autograd") if nn is None else nn)
        train_state = _read_train_state(path, config, model)
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {path.name}: its training never finished an epoch"
        ) from None
    except (
        SafetensorError,
        AttributeError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{path} is damaged or belongs to another network: {error}") from error
    return SavedRun(config, model, train_state)


def _read_train_state(path: Path, config: RunConfig, model: Any) -> TrainState:
    """Read a checkpoint into trees of the structure that the network and its optimizer need."""
    saved_params, saved_state, metadata = checkpoint.load(path)
    _, params, state = model.init(None, config.input_shape)
    params = _filled("params", params, saved_params)
    state = _filled("state", state, saved_state["network"])
    opt_state = config.optimizer().init(params)
    opt_state = _filled("optimizer state", opt_state, saved_state["optimizer"])
    loss = math.nan if metadata["loss"] is None else metadata["loss"]
    history = {column: list(values) for column, values in metadata["history"].items()}
    return TrainState(params, state, opt_state, metadata["step"], loss, history)


def _filled(part: str, tree: Any, saved: Any) -> Any:
    """A tree of ``tree``'s structure and shapes with the values of ``saved``."""
    values = dict(leaves(saved))
    for path, leaf in leaves(tree):
        if path not in values or values[path].shape != leaf.shape:
            got = f"has shape {values[path].shape}" if path in values else "is missing"
            raise ValueError(f"{part} leaf '{path}' {got}, needed is {leaf.shape}")
    return unflatten(tree, [values[path] for path, _ in leaves(tree)])
