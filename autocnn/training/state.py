"""What training returns, and what it takes to go on with it later."""

from typing import Any, NamedTuple

import numpy as np

from autocnn.deprecation import renamed_property
from autocnn.trees import count
from reference.origin import remember

__all__ = ["Run", "TrainState", "epochs_since_best"]


class TrainState(NamedTuple):
    """Where a run stands after ``step`` steps: all that it takes to go on to the same bits.

    params, state, opt_state: trees of the network and its optimizer.
    step: the number of batches trained on.
    loss: the last batch's mean loss, NaN before the first step.
    history: the metrics so far, as in ``Run``.
    best: the ``TrainState`` at the best epoch so far if ``train`` is to restore it, None otherwise.
    """

    params: Any
    state: Any
    opt_state: Any
    step: int
    loss: float
    history: dict[str, list]
    best: "TrainState | None" = None

    def __repr__(self) -> str:
        loss = "" if np.isnan(self.loss) else f", last loss {self.loss:.4g}"
        parameters = f"{count(self.params):,} parameters"
        return f"TrainState(step {self.step}{loss}, {_last_epoch(self.history)}; {parameters})"


class Run(NamedTuple):
    """What ``train`` returns.

    params, state, opt_state: trees after the last epoch, or the best one with ``restore="best"``.
    history: lists "epoch", "train_loss", "train_acc", "val_loss" and "val_acc", whose first entry
        is epoch 0, before training; the last two only where there are validation images.
    snapshots: {epoch: weights (F, C, kh, kw)} of the first convolution; empty for a network that
        has none.
    model: the network that was trained.
    epoch: the one whose params, state and opt_state these are.
    train_state: the ``TrainState`` after the last epoch; ``train(..., start=run.train_state)``
        goes on from there.
    diagnosis: a ``Diagnosis`` of why the run has learned nothing; None for one that has.
    """

    params: Any
    state: Any
    history: dict[str, list]
    snapshots: dict[int, np.ndarray]
    opt_state: Any
    model: Any
    epoch: int | None = None
    train_state: TrainState | None = None
    diagnosis: Any = None

    def __repr__(self) -> str:
        is_last = self.epoch is None or self.history["epoch"][-1:] == [self.epoch]
        epoch = "" if is_last else f" of epoch {self.epoch}"
        epochs = ", ".join(map(str, self.snapshots))
        snapshots = f"; snapshots of epochs {epochs}" if epochs else ""
        parameters = f"{count(self.params):,} parameters{epoch}"
        return f"Run({_last_epoch(self.history)}; {parameters}{snapshots})"


def _restored(*fields: Any) -> Run:
    """A run from a pickle, whose parameters are known to be its model's."""
    run = Run(*fields)
    remember(run.params, run.model)
    return run


Run.__reduce__ = lambda self: (_restored, tuple(self))  # type: ignore[method-assign]

# Set here, since the body of a NamedTuple takes fields only.
Run.moment = renamed_property("moment", "train_state")


def epochs_since_best(history: dict[str, list], monitor: str = "val_acc") -> int:
    """Count the epochs since the best one of a history: 0 if the last is the best.

    monitor: "val_acc" or "train_acc", of which the highest is best, or "val_loss" or "train_loss",
    of which the lowest is. The first of equal epochs is the best. ValueError for an empty history,
    or one without that column.
    """
    if monitor not in history:
        raise ValueError(f"the history has no {monitor}; it has {', '.join(history)}")
    values = history[monitor]
    best = max(values) if monitor.endswith("_acc") else min(values)
    return len(values) - 1 - values.index(best)


def _last_epoch(history: dict[str, list]) -> str:
    """The last entry of each list of a history, for people."""
    last = {name: values[-1] for name, values in history.items() if values}
    return ", ".join(f"{name} {value:.4g}" for name, value in last.items()) or "no epoch yet"
