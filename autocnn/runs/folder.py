"""Run folders: what one training leaves on the disk, and how it is read again.

    config.json         the ``RunConfig``: enough to build the network and to repeat the run
    history.csv         epoch, train_loss, train_acc, val_loss, val_acc
    last.safetensors    params and state {"network", "optimizer"}, and as metadata the step, the
                        loss and the history: the ``TrainState`` where the run stands; also the
                        config, and the run's identity
    last-1.safetensors, last-2.safetensors      the same, one and two epochs before
    best.safetensors, best-copy.safetensors     the same at the epoch with the best validation
                                                accuracy, twice

Every file is written atomically: a reader finds the old content or the new one, whole. Every bit of
it is under a sum; ``recovery`` says what is used when one has changed. One process at a time trains
into a folder, which it locks; any number may read.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from autocnn import checkpoint
from autocnn.checkpoint.checkpoint import read_metadata
from autocnn.checkpoint.generations import generations, shift
from autocnn.checkpoint.lock import held, lock_folder
from autocnn.files import atomic_write, remove_partial_writes, sync_folder
from autocnn.runs import config_file, recovery
from autocnn.runs.best import copies
from autocnn.runs.config import RunConfig
from autocnn.runs.recovery import CONFIG, HISTORY, SavedRun
from autocnn.training import TrainState

__all__ = [
    "FILES",
    "SavedRun",
    "create",
    "free_folder",
    "has_checkpoint",
    "has_config",
    "load",
    "lock",
    "read_config",
    "recover",
    "save",
    "with_identity",
    "write_config",
]

# All but the figures, in the order in which they are listed.
FILES = (
    CONFIG,
    HISTORY,
    *(path.name for path in generations("last.safetensors")),
    *(path.name for path in copies(Path("best.safetensors"))),
)


def create(folder: str | os.PathLike, config: RunConfig) -> Path:
    """Make the run folder and write ``config`` into it, with an identity if it has none yet.

    ValueError when the folder holds a run already.
    """
    folder = Path(folder)
    if has_config(folder):
        raise ValueError(
            f"{folder} holds a run already; name another folder, such as --out "
            f"{free_folder(folder)}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    sync_folder(folder.parent)
    return write_config(folder, with_identity(config))


def with_identity(config: RunConfig) -> RunConfig:
    """Return the config of a run that begins: with a new identity, unless it has one."""
    return config if config.run else config.replace(run=config_file.new_identity())


def write_config(folder: str | os.PathLike, config: RunConfig) -> Path:
    """Write ``config`` into a run folder, in place of what may be there."""
    with held(folder):
        atomic_write(Path(folder) / CONFIG, config_file.config_bytes(config))
    return Path(folder)


def read_config(folder: str | os.PathLike) -> RunConfig:
    """Read a run folder's config. ValueError when there is none, or it is damaged or changed."""
    return recovery.read_config(Path(folder))


def has_config(folder: str | os.PathLike) -> bool:
    """Whether the folder holds a run, even one that has not taken a step or lost its config."""
    return (Path(folder) / CONFIG).exists() or has_checkpoint(folder)


def has_checkpoint(folder: str | os.PathLike) -> bool:
    """Whether the run in the folder has saved where it stands."""
    return recovery.has_checkpoint(Path(folder))


@contextlib.contextmanager
def lock(folder: str | os.PathLike) -> Iterator[Path]:
    """Lock the run folder for the ``with`` block, creating it if needed; yields its ``Path``.

    ``checkpoint.lock.LockedError``, an OSError that names the other process, when one is training
    into it. Removes what a killed process has left half-written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder, "training into", call="autocnn train --run"):
        remove_partial_writes(folder)
        yield folder


def free_folder(folder: str | os.PathLike) -> Path:
    """Return the first of folder, folder-2, folder-3, ... that does not exist."""
    folder, n = Path(folder), 2
    free = folder
    while free.exists():
        free, n = folder.with_name(f"{folder.name}-{n}"), n + 1
    return free


def save(
    folder: str | os.PathLike,
    train_state: TrainState,
    name: str = "last",
    config: RunConfig | None = None,
) -> None:
    """Write where a run stands to ``name``.safetensors, which is "last" or "best".

    "last" keeps the two epochs before it, and history.csv is written too. "best" is written twice.
    config: the run's, which goes into the file; None reads the folder's config.json. OSError when
    it cannot be written.
    """
    folder = Path(folder)
    config = read_config(folder) if config is None else config
    path = folder / f"{name}.safetensors"
    metadata = {
        "run": config.run,
        "config": config.to_json(),
        "step": train_state.step,
        "loss": train_state.loss if math.isfinite(train_state.loss) else None,
        "history": train_state.history,
    }
    state = {"network": train_state.state, "optimizer": train_state.opt_state}
    if name != "last":
        for place in copies(path):
            with held(folder):
                checkpoint.save(place, train_state.params, state, metadata)
        return
    with held(folder):
        if _is_worth_keeping(path, train_state.step, config.steps_per_epoch):
            shift(path)
    with held(folder):
        checkpoint.save(path, train_state.params, state, metadata)
    # The table last: recover() writes it anew from the checkpoint when the run goes on.
    with held(folder):
        atomic_write(folder / HISTORY, recovery.history_bytes(train_state.history))


def load(folder: str | os.PathLike, name: str = "best", nn: ModuleType | None = None) -> SavedRun:
    """Read a run: its config, its network, and where it stood in ``name``.safetensors.

    name: "best" or "last". nn: the interpretation of the network, ``autocnn.layers`` for None; it
    need not be the one that trained it.

    A file that is damaged, or of another run, is not used: the newest whole one is, and a line of
    the log says why. Raises ValueError when the folder holds no run, none that has finished an
    epoch, or nothing whole.
    """
    return recovery.load(Path(folder), name, nn)


def recover(folder: str | os.PathLike) -> SavedRun | None:
    """Read where a run stands, to go on with it, and mend what is damaged; lock the folder first.

    Damaged files are replaced by what the whole ones hold, with a line in the log. Returns None for
    a run that has not saved anything yet; ValueError as ``load``, OSError when the folder cannot be
    written.
    """
    with held(folder):
        return recovery.recover(Path(folder))


def _is_worth_keeping(path: Path, step: int, steps_per_epoch: int) -> bool:
    """Whether a checkpoint is of the end of an epoch before ``step``. One in the midst of an epoch,
    which Ctrl-C has left, is not, so that a run that was stopped leaves what others leave.
    """
    try:
        saved = read_metadata(path)["step"]
        return saved != step and saved % steps_per_epoch == 0
    except (OSError, KeyError, TypeError, ValueError):
        return False
