"""``sweep``: train a network at every combination of some options, with several seeds each."""

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from autocnn.sweeps.evaluate import Data, Work, check_executor, evaluation
from autocnn.sweeps.grid import check_seeds, grid_points
from autocnn.sweeps.statistics import mean_interval
from autocnn.sweeps.store import json_line
from autocnn.sweeps.trial import METRICS
from autocnn.text import did_you_mean, table, visible

__all__ = ["Sweep", "sweep"]


class Sweep(NamedTuple):
    """The results of ``sweep``.

    trials: a flat dict for each, {option: value, ..., "seed", "parameters", "train_loss",
    "train_acc", "val_loss", "val_acc"}, in the order of the grid, with the seed varying fastest. A
    failed trial has "error", a sentence, in place of the metrics. names: the options that vary.
    """

    trials: list[dict[str, Any]]
    names: tuple[str, ...]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The trials that failed."""
        return [trial for trial in self.trials if "error" in trial]

    def summary(self, measure: str = "val_acc") -> list[dict[str, Any]]:
        """Return a dict for each point of the grid: its options, "parameters", "n", "mean", "low",
        "high".

        n counts the trials that finished. low and high are the 95 % Student t interval of the mean
        of ``measure``, None if n < 2. ValueError for an unknown measure.
        """
        if measure not in METRICS:
            raise ValueError(
                f"there is no measure {measure!r}{did_you_mean(measure, METRICS)} "
                f"The measures are {', '.join(METRICS)}"
            )
        points: dict[str, list[dict[str, Any]]] = {}
        for trial in self.trials:
            point = json_line([trial[name] for name in self.names])
            points.setdefault(point, []).append(trial)
        return [_summary_row(trials, self.names, measure) for trials in points.values()]

    def __repr__(self) -> str:
        """Return a table of the grid's points with mean validation accuracy and 95 % interval."""
        rows = [
            [
                *(_shown(row[name]) for name in self.names),
                row["parameters"],
                row["n"],
                *_accuracy_text(row),
            ]
            for row in self.summary()
        ]
        return table((*self.names, "parameters", "n", "accuracy", "95 % interval"), rows)


def sweep(
    build: Callable[..., Any],
    grid: dict[str, Iterable[Any]],
    seeds: int | Iterable[int] = 8,
    executor: Any = None,
    *,
    data: Data = None,
    epochs: int = 80,
    batch_size: int = 18,
    rate: float = 0.12,
    out: str | os.PathLike | None = None,
    name: str | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Sweep:
    """Train ``build(**options)`` with plain SGD for all combinations of options, and all seeds.

        found = ac.sweep(ac.models.tiny_cnn, {"filters": [1, 2, 4]}, seeds=20, out="trials.jsonl")
        found.trials[0]     # {"filters": 1, "seed": 0, "parameters": 40, "train_loss": ..., ...}
        found.summary()     # a row for each number of filters, with mean and 95 % interval

    build: a function that returns a network.
    grid: {option: values}. The options are those of ``build``, and epochs, batch_size and rate,
        which replace the arguments of the same name.
    seeds: how many, or a list of them. The seed determines weights, shuffling, dropout and, if
        ``data`` is None, the images: ``data.patterns`` with as many classes as the network has.
    executor: any ``concurrent.futures.Executor`` whose workers can import autocnn, a
        ``distributed.Client``, or an object such as submitit's ``AutoExecutor``, whose ``submit``
        returns jobs with ``done()`` and ``result()``; None for ``workers`` processes (None: one
        per core). Each worker computes on one thread, so the results are the same bits wherever
        they are computed. A trial that the executor loses runs again.
    data: a ``Dataset``, the name of one, or a function from the seed to one.
    out: a file that receives one line of JSON per finished trial. Trials that it already holds do
        not run again, so a stopped sweep continues, and a later one can have more seeds or values.
        Failed trials are not stored.
    name: identifies ``build`` and a function ``data`` in ``out`` if Python cannot import them by
        name, such as a lambda. Change the name when the function changes.
    progress: show a progress bar on terminals.

    A failing trial does not stop the others, see ``Sweep``. Raises ValueError for bad arguments,
    and for a file ``out`` that is damaged or holds another sweep; OSError when it cannot be written
    any more, ConnectionError when the executor's scheduler is gone: the same call goes on.
    """
    work = Work(build, data, epochs, batch_size, rate, name)
    check_executor(executor, workers)
    points, names = grid_points(build, grid), tuple(grid)
    trials = [{**point, "seed": seed} for point in points for seed in check_seeds(seeds)]
    with evaluation(work, names, executor, out, workers, progress, len(trials)) as evaluate:
        results = evaluate(trials)
    return Sweep([trial | results[json_line(trial)] for trial in trials], names)


def _summary_row(
    trials: list[dict[str, Any]], names: tuple[str, ...], measure: str
) -> dict[str, Any]:
    finished = [trial for trial in trials if "error" not in trial]
    values = [trial[measure] for trial in finished]
    row = {name: trials[0][name] for name in names}
    row |= {"parameters": None, "n": len(values), "mean": None, "low": None, "high": None}
    if values:
        row |= {"parameters": finished[0]["parameters"], "mean": values[0]}
    if len(values) > 1:
        row["mean"], row["low"], row["high"], _ = mean_interval(values)
    return row


def _shown(value: Any) -> Any:
    return visible(value) if isinstance(value, str) else value


def _accuracy_text(row: dict[str, Any]) -> tuple[str, str]:
    if row["mean"] is None:
        return "", "failed"
    if row["low"] is None:
        return f"{row['mean']:.4f}", ""
    return f"{row['mean']:.4f}", f"{max(row['low'], 0):.4f} to {min(row['high'], 1):.4f}"
