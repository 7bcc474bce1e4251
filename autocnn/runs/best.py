"""The best state of a run: which epoch it is of, where it is stored, and what is not it."""

from pathlib import Path

from autocnn.runs.saved_run import SavedRun, last_epoch, load_checkpoint, trained_with
from autocnn.training import TrainState, epochs_since_best

__all__ = ["best_epoch", "best_problem", "copies", "not_the_best", "why_not_best"]


def copies(path: Path) -> list[Path]:
    """Return the two paths at which the best checkpoint is stored."""
    return [path, path.with_stem(f"{path.stem}-copy")]


def best_problem(path: Path, run: SavedRun, is_newest: bool) -> str | None:
    """Say why a checkpoint is not the best of ``run``, its newest whole state: None if it is.

    is_newest: whether ``run`` has no later state, which is damaged.
    """
    error = why_not_best(path, run, is_newest)
    return str(error).removeprefix(f"{path} ") if error else None


def why_not_best(path: Path, run: SavedRun, is_newest: bool) -> Exception | None:
    """Say why a checkpoint is not the best of ``run``: None if it is."""
    try:
        found, _ = load_checkpoint(path)
        trained_with(path, run.config, None, found.metadata)
        state = TrainState(*found[:2], None, found.metadata["step"], 0.0, found.metadata["history"])
        problem = not_the_best(path, state, run, is_newest)
    except (KeyError, TypeError, ValueError, OSError) as error:
        return error
    return ValueError(problem) if problem else None


def not_the_best(path: Path, state: TrainState, newest: SavedRun, is_newest: bool) -> str | None:
    """Say why a state is not that of the best epoch, so far as ``newest``, the run's last state,
    knows. is_newest: whether the run has no later state, which is damaged.
    """
    history, mine = newest.train_state.history, state.history
    epoch, best = last_epoch(mine), best_epoch(history)
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


def best_epoch(history: dict[str, list]) -> int:
    """Return the epoch of a history with the best validation accuracy, -1 for none."""
    return last_epoch(history) - epochs_since_best(history) if last_epoch(history) >= 0 else -1
