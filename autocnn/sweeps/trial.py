"""One trial of a sweep: draw data and weights from the seed, train, return the final metrics."""

import functools
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from autocnn import optim
from autocnn.data import Dataset, load, patterns
from autocnn.data.patterns import CLASSES
from autocnn.training import ConvergenceWarning, train
from autocnn.trees import count

__all__ = ["METRICS", "TRAINING", "run_trial", "single_threaded"]

METRICS = ("parameters", "train_loss", "train_acc", "val_loss", "val_acc")
TRAINING = ("epochs", "batch_size", "rate")


def single_threaded() -> AbstractContextManager[None]:
    """Run all kernels on one thread: workers do not compete for cores, and the number of threads
    cannot change the last bit of a sum.
    """
    from autocnn.fast import threadpool  # compiled kernels, not needed before a trial runs

    return threadpool.single_threaded()


def run_trial(
    options: dict[str, Any],
    build: Callable[..., Any],
    data: Dataset | str | Callable[[int], Dataset] | None,
    fixed: dict[str, Any],
) -> dict[str, float]:
    """Train ``build(**options)`` with plain SGD and return its ``METRICS`` after the last epoch.

    options: the options of ``build``, any of ``TRAINING``, and "seed". fixed: the values of
    ``TRAINING`` that options do not give. data: as for ``sweep``.

    No two trials share a random stream. The i-th layer's weights come from the key (3 + i, seed),
    shuffling and dropout from (3, seed, 1) and its children, the patterns from the int seeds 1000
    (seed + 1) and 99 more.
    """
    options = dict(options)
    seed = options.pop("seed")
    training = {name: options.pop(name, fixed[name]) for name in TRAINING}
    # A rate that is too high overflows before training diverges. The trial's error reports that.
    with (
        single_threaded(),
        np.errstate(over="ignore", invalid="ignore", divide="ignore"),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", ConvergenceWarning)  # the trial's accuracy tells
        model = build(**options)
        dataset = _dataset(data, seed, model)
        _, params, state = model.init((3, seed), dataset.x_train.shape[1:])
        optimizer = optim.sgd(training.pop("rate"))
        run = train(
            params, dataset, model, state, optimizer, seed=(3, seed, 1), snapshots=(), **training
        )
    final = {name: float(run.history[name][-1]) for name in METRICS[1:]}
    return {"parameters": count(run.params), **final}


def _dataset(
    data: Dataset | str | Callable[[int], Dataset] | None, seed: int, model: Any
) -> Dataset:
    if data is None:
        classes = model.init(None, (1, 8, 8))[0][0]
        if classes > len(CLASSES):
            raise ValueError(
                f"there are {len(CLASSES)} patterns, fewer than {classes} classes; give data, "
                "or classes=3"
            )
        return patterns(seed=1000 * (seed + 1), classes=CLASSES[:classes])
    if isinstance(data, str):
        return _load_cached(data)
    return data(seed) if callable(data) else data


_load_cached = functools.lru_cache(maxsize=1)(load)  # a worker reads it once
