"""Read a run folder of which some files may be damaged, missing, changed by hand, or another run's.

A file is used when it is whole by its own sums and belongs to the run: it has the identity that
config.json has, and was trained with the same config. What is not used is said in one line, with
what is used instead.
"""

import csv
import io
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from autocnn.checkpoint.checkpoint import NO_SUMS, read_metadata
from autocnn.checkpoint.format import open_tensors
from autocnn.checkpoint.generations import drop, generations, read_newest
from autocnn.files import atomic_write
from autocnn.models.interpretations import interpretation
from autocnn.runs.config import RunConfig
from autocnn.runs.config_file import config_bytes, parse_config
from autocnn.runs.saved_run import (
    CONFIG,
    SavedRun,
    last_epoch,
    load_checkpoint,
    saved_run,
    trained_with,
)
from autocnn.training import TrainState, epochs_since_best

__all__ = [
    "CONFIG",
    "HISTORY",
    "SavedRun",
    "best_problem",
    "copies",
    "history_bytes",
    "load",
    "read_config",
    "read_last",
    "recover",
    "trained_with",
]

HISTORY = "history.csv"
LOG = logging.getLogger("autocnn.runs")


class Reading(NamedTuple):
    """What was found of a run: ``run`` as read from ``path``, and why other files are not used."""

    run: SavedRun
    path: Path
    refused: dict[Path, ValueError]
    config_error: ValueError | None
    has_sums: bool


def copies(path: Path) -> list[Path]:
    """Return the two paths at which the best checkpoint is stored."""
    return [path, path.with_stem(f"{path.stem}-copy")]


def history_bytes(history: dict[str, list]) -> bytes:
    """Return a history as the content of history.csv."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(history)
    rows.writerows(zip(*history.values(), strict=True))
    return table.getvalue().encode()


def read_config(folder: Path) -> RunConfig:
    """Read config.json. ValueError when there is none, or it is damaged or changed."""
    try:
        return parse_config(folder / CONFIG)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} holds no run: there is no {CONFIG} in it; autocnn train makes one"
        ) from None


def load(folder: Path, name: str, nn: ModuleType | None) -> SavedRun:
    """Read where a run stood at its last or best epoch; see ``folder.load``."""
    reading = read_last(folder, nn) if name == "last" else _read_best(folder, nn)
    told = [*([str(reading.config_error)] if reading.config_error else [])]
    told += map(str, reading.refused.values())
    if told:
        used = f"{reading.path.name}, of epoch {reading.run.epoch}, is used"
        LOG.warning("%s; %s", "; ".join(told), used)
    if not reading.has_sums:
        LOG.warning(NO_SUMS, reading.path)
    return reading.run


def recover(folder: Path) -> SavedRun | None:
    """Read where a run stands and mend the folder; see ``folder.recover``."""
    last = folder / "last.safetensors"
    if not any(path.exists() for path in generations(last)):
        return None
    reading = read_last(folder, None)
    run, refused = reading.run, dict(reading.refused)
    told = []
    if reading.config_error:
        atomic_write(folder / CONFIG, config_bytes(run.config))
        told.append(f"{reading.config_error}; it is written anew from {reading.path.name}")
    for path in generations(last):  # those before the one that is used
        if path not in refused and path != reading.path and path.exists():
            error = _problem(path, run.config)
            refused |= {path: error} if error else {}
    if refused:
        told += [f"{path.name} is dropped: {error}" for path, error in refused.items()]
        told.append(f"the run goes on from epoch {run.epoch}, as in {reading.path.name}")
        drop(last, refused)
    told += _mend_history(folder, run) + _mend_best(folder, run, last not in reading.refused)
    if told:
        LOG.warning("%s", "; ".join(told))
    if not reading.has_sums:
        LOG.warning(NO_SUMS, reading.path)
    return run


def _mend_history(folder: Path, run: SavedRun) -> list[str]:
    """Write history.csv as the checkpoint has it. Returns what there is to say."""
    path, content = folder / HISTORY, history_bytes(run.train_state.history)
    found = path.read_bytes() if path.is_file() else b""
    if found == content:
        return []
    atomic_write(path, content)
    # A run that was killed has a row less, one that goes on from an earlier generation rows more.
    if content.startswith(found) or found.startswith(content):
        return []
    return [f"{path} was damaged or changed; it is written anew from the last checkpoint"]


def _mend_best(folder: Path, run: SavedRun, is_newest: bool) -> list[str]:
    """Write both copies of the best checkpoint, where one is not whole. Returns what to say.

    is_newest: as for ``_not_the_best``.
    """
    if run.epoch < 0:
        return []
    paths = copies(folder / "best.safetensors")
    found = {path: _best_problem(path, run, is_newest) for path in paths}
    if not any(found.values()):
        return []
    told = [str(e) for e in found.values() if e and not isinstance(e, FileNotFoundError)]
    sources = [*paths, *generations(folder / "last.safetensors")]
    whole = [p for p in sources if not _best_problem(p, run, is_newest)]
    if not whole:
        best = _best_epoch(run.train_state.history)
        return [*told, f"nothing holds the parameters of epoch {best}, the best of {folder}, now"]
    content = whole[0].read_bytes()
    for path in paths:
        if found[path]:
            atomic_write(path, content)
    return told


def read_last(folder: Path, nn: ModuleType | None = None) -> Reading:
    """Read the newest whole generation."""
    return _read(folder, generations(folder / "last.safetensors"), nn)


def _read_best(folder: Path, nn: ModuleType | None) -> Reading:
    """Read the best checkpoint, or the generation of ``last`` that is of the best epoch."""
    path = folder / "best.safetensors"
    last = folder / "last.safetensors"
    try:
        newest = read_last(folder, nn)
    except ValueError:
        newest = None  # nothing to compare with; what is wrong with the config will be said again
    if newest is None:
        return _read(folder, copies(path), nn)

    def check(run: SavedRun, at: Path) -> None:
        if problem := _not_the_best(at, run.train_state, newest.run, last not in newest.refused):
            raise ValueError(problem)

    found = _read(folder, [*copies(path), *generations(last)], nn, check)
    refused = newest.refused | found.refused
    if not any(copy.exists() for copy in copies(path)):
        refused |= {path: ValueError(f"{path} is missing")}
    return found._replace(refused=refused)


def _read(
    folder: Path,
    paths: list[Path],
    nn: ModuleType | None,
    check: Callable[[SavedRun, Path], None] | None = None,
) -> Reading:
    """Read the first of the checkpoints that is whole and belongs to the run."""
    config, config_error = None, None
    try:
        config = read_config(folder)
    except ValueError as error:
        if not (folder / CONFIG).exists():
            raise
        config_error = error
    if config is not None and config.source is not None:
        config.build(interpretation("autograd"))  # a ValueError of its file, not of a checkpoint
    has_sums = {}

    def read_one(path: Path) -> SavedRun:
        found, has_sums[path] = load_checkpoint(path)
        try:
            trained = trained_with(path, config, config_error, found.metadata)
        except ValueError as error:
            raise ValueError(f"{path} cannot be used: {error}") from error
        try:
            run = saved_run(trained, found, nn)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged or belongs to another network: {error}") from error
        if check is not None:
            check(run, path)
        return run

    try:
        path, run, refused = read_newest(paths, read_one)
    except FileNotFoundError:
        if config_error:
            raise config_error from None
        raise ValueError(
            f"{folder} has no {paths[0].name}: its training never finished an epoch"
        ) from None
    if config is not None and (changed := config.differences(run.config)):
        config_error = ValueError(
            f"{folder / CONFIG} was changed after the run began: {', '.join(changed)}"
        )
    return Reading(run, path, refused, config_error, has_sums[path])


def _problem(path: Path, config: RunConfig) -> ValueError | None:
    """Say why a checkpoint is damaged or not of the run of ``config``: None if it is neither."""
    try:
        with open_tensors(path) as file:
            damaged = file.damaged()
        if damaged:
            return ValueError(
                f"{path} is damaged: the tensor '{damaged[0]}' does not match its SHA-256"
            )
        trained_with(path, config, None, read_metadata(path))
    except (OSError, ValueError) as error:
        return error if isinstance(error, ValueError) else ValueError(f"{path}: {error}")
    return None


def best_problem(path: Path, run: SavedRun, is_newest: bool) -> str | None:
    """Say why a checkpoint is not the best of ``run``, its newest whole state: None if it is.

    is_newest: whether ``run`` has no later state, which is damaged.
    """
    error = _best_problem(path, run, is_newest)
    return str(error).removeprefix(f"{path} ") if error else None


def _best_problem(path: Path, run: SavedRun, is_newest: bool) -> Exception | None:
    """Say why a checkpoint is not the best of ``run``: None if it is."""
    try:
        found, _ = load_checkpoint(path)
        trained_with(path, run.config, None, found.metadata)
        state = TrainState(*found[:2], None, found.metadata["step"], 0.0, found.metadata["history"])
        problem = _not_the_best(path, state, run, is_newest)
    except (KeyError, TypeError, ValueError, OSError) as error:
        return error
    return ValueError(problem) if problem else None


def _not_the_best(path: Path, state: TrainState, newest: SavedRun, is_newest: bool) -> str | None:
    """Say why a state is not that of the best epoch, so far as ``newest``, the run's last state,
    knows. is_newest: whether the run has no later state, which is damaged.
    """
    history, mine = newest.train_state.history, state.history
    epoch, best = last_epoch(mine), _best_epoch(history)
    if epoch > newest.epoch:
        same = all(mine[name][: len(values)] == values for name, values in history.items())
        if same and (newest.config.run is None or not is_newest):
            return None
        return f"{path} is of epoch {epoch}, newer than the last state, of epoch {newest.epoch}"
    if epoch != best:
        return f"{path} is of epoch {epoch}, but the best epoch so far was {best}"
    if state.step != epoch * newest.config.steps_per_epoch:
        return f"{path} is of the midst of an epoch, after {epoch}, the best so far"
    return None


def _best_epoch(history: dict[str, list]) -> int:
    return last_epoch(history) - epochs_since_best(history) if last_epoch(history) >= 0 else -1
