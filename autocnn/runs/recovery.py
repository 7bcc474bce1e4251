"""Read a run folder of which some files may be damaged, missing, changed by hand, or another run's.

A file is used when it is whole by its own sums and belongs to the run: it has the identity that
config.json has, and was trained with the same config. What is not used is said in one line, with
what is used instead.
"""

import contextlib
import csv
import io
import logging
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from autocnn.checkpoint.checkpoint import NO_SUMS, read_metadata
from autocnn.checkpoint.format import open_tensors
from autocnn.checkpoint.generations import drop, generations, read_newest
from autocnn.files import atomic_write
from autocnn.models.interpretations import interpretation
from autocnn.runs.best import best_epoch, copies, not_the_best, why_not_best
from autocnn.runs.config import NewerVersionError, RunConfig
from autocnn.runs.config_file import config_bytes, parse_config
from autocnn.runs.saved_run import (
    CONFIG,
    MixedRunsError,
    SavedRun,
    load_checkpoint,
    saved_run,
    trained_with,
)

__all__ = [
    "CONFIG",
    "HISTORY",
    "SavedRun",
    "has_checkpoint",
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
    """What was found of a run: ``run`` as read from ``path``, and why other files are not used.

    misplaced: why the newest whole state is not in ``last.safetensors``, which is not damaged.
    """

    run: SavedRun
    path: Path
    refused: dict[Path, ValueError]
    config_error: ValueError | None
    has_sums: bool
    misplaced: ValueError | None = None

    @property
    def is_newest(self) -> bool:
        """Whether the run has no later state, so far as its files tell."""
        return not self.refused and self.misplaced is None


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
    errors = [reading.config_error, *reading.refused.values(), reading.misplaced]
    told = [str(error) for error in errors if error is not None]
    if told:
        used = f"{reading.path.name}, of epoch {reading.run.epoch}, is used"
        LOG.warning("%s; %s", "; ".join(told), used)
    if not reading.has_sums:
        LOG.warning(NO_SUMS, reading.path)
    return reading.run


def recover(folder: Path) -> SavedRun | None:
    """Read where a run stands and mend the folder; see ``folder.recover``."""
    if not has_checkpoint(folder):
        return None
    last = folder / "last.safetensors"
    reading = read_last(folder, None)
    run, refused = reading.run, dict(reading.refused)
    if reading.path not in generations(last):  # what is not damaged may be worth more than this
        for error in refused.values():
            if isinstance(error, (MixedRunsError, NewerVersionError)):
                raise error
    told = []
    if reading.config_error:
        atomic_write(folder / CONFIG, config_bytes(run.config))
        told.append(f"{reading.config_error}; it is written anew from {reading.path.name}")
    for path in generations(last):  # those before the one that is used as well
        if path not in refused and path != reading.path and path.exists():
            error = _problem(path, run.config)
            refused |= {path: error} if error else {}
    if refused or reading.misplaced:
        told += [f"{path.name} is dropped: {error}" for path, error in refused.items()]
        told += [str(reading.misplaced)] if reading.misplaced else []
        told.append(f"the run goes on from epoch {run.epoch}, as in {reading.path.name}")
        drop(last, refused, [reading.path, *_newest_first(generations(last))])
    told += _mend_history(folder, run) + _mend_best(folder, run, reading.is_newest)
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

    is_newest: as for ``not_the_best``.
    """
    if run.epoch < 0:
        return []
    paths = copies(folder / "best.safetensors")
    found = {path: why_not_best(path, run, is_newest) for path in paths}
    if not any(found.values()):
        return []
    told = [str(e) for e in found.values() if e and not isinstance(e, FileNotFoundError)]
    sources = [*paths, *generations(folder / "last.safetensors")]
    whole = [p for p in sources if not why_not_best(p, run, is_newest)]
    if not whole:
        best = best_epoch(run.train_state.history)
        return [*told, f"nothing holds the parameters of epoch {best}, the best of {folder}, now"]
    content = whole[0].read_bytes()
    for path in paths:
        if found[path]:
            atomic_write(path, content)
    return told


def has_checkpoint(folder: Path) -> bool:
    """Whether the run in the folder has saved where it stands."""
    last, best = folder / "last.safetensors", folder / "best.safetensors"
    return any(path.exists() for path in [*generations(last), *copies(best)])


def read_last(folder: Path, nn: ModuleType | None = None) -> Reading:
    """Read the newest whole generation; where there is none, the best checkpoint."""
    last, best = folder / "last.safetensors", folder / "best.safetensors"
    found = _read(folder, [*_newest_first(generations(last)), *copies(best)], nn)
    if found.path == last or last in found.refused:
        return found
    why = f"is older than {found.path.name}" if last.exists() else "is missing"
    return found._replace(misplaced=ValueError(f"{last} {why}"))


def _newest_first(paths: list[Path]) -> list[Path]:
    """Sort checkpoints by their steps. One that cannot be read stays behind the one before it."""
    steps, step = {}, math.inf
    for path in paths:
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            step = float(read_metadata(path)["step"])
        steps[path] = step
    return sorted(paths, key=lambda path: -steps[path])


def _read_best(folder: Path, nn: ModuleType | None) -> Reading:
    """Read the best checkpoint, or the generation of ``last`` that is of the best epoch; where
    nothing holds that epoch, the newest state.
    """
    path = folder / "best.safetensors"
    newest = read_last(folder, nn)
    if newest.path in copies(path):  # there is nothing to compare it with
        return newest

    def check(run: SavedRun, at: Path) -> None:
        if problem := not_the_best(at, run.train_state, newest.run, newest.is_newest):
            raise ValueError(problem)

    try:
        paths = [*copies(path), *generations(folder / "last.safetensors")]
        found = _read(folder, paths, nn, check)
    except ValueError as error:
        if newest.run.epoch < 0:
            raise
        best = best_epoch(newest.run.train_state.history)
        lost = ValueError(f"{error}; nothing holds the parameters of epoch {best}, the best")
        return newest._replace(refused=newest.refused | {path: lost})
    refused = newest.refused | found.refused
    if not any(copy.exists() for copy in copies(path)):
        refused |= {path: ValueError(f"{path} is missing")}
    return found._replace(refused=refused, misplaced=newest.misplaced)


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
        if not has_checkpoint(folder):
            raise
        is_there = (folder / CONFIG).exists()
        config_error = error if is_there else ValueError(f"{folder / CONFIG} is missing")
    if config is not None and config.source is not None:
        config.build(interpretation("autograd"))  # a ValueError of its file, not of a checkpoint
    has_sums = {}

    def read_one(path: Path) -> SavedRun:
        found, has_sums[path] = load_checkpoint(path)
        try:
            trained = trained_with(path, config, config_error, found.metadata)
        except ValueError as error:
            raise type(error)(f"{path} cannot be used: {error}") from error
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
