"""``sweep``: every combination of some options, each for several seeds, as one flat table of
results.
"""

import contextlib
import functools
import itertools
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from autocnn import optim
from autocnn.data import load
from autocnn.ops.arguments import whole
from autocnn.sweeps.identity import fingerprint, name_of
from autocnn.sweeps.pool import finished
from autocnn.sweeps.store import Store, line_of
from autocnn.sweeps.trial import MEASURES, TRAINING, one_thread, plan, trial
from autocnn.text import did_you_mean, table

__all__ = ["Sweep", "sweep"]


class Sweep(NamedTuple):
    """What ``sweep`` returns.

    trials: one flat dict each, {option: value, ..., "seed", "parameters", "train_loss",
    "train_acc", "val_loss", "val_acc"}, in the order of the grid, seeds last; a trial that failed
    has "error", the reason in words, in place of the measures. names: the options that were varied.
    """

    trials: list[dict[str, Any]]
    names: tuple[str, ...]

    @property
    def failed(self):
        """The trials that failed."""
        return [t for t in self.trials if "error" in t]

    def summary(self, measure="val_acc"):
        """Return a dict for each point of the grid: its options, "parameters", "n", and "mean",
        "low", "high" of the measure.

        n counts the trials that finished; low and high bound the 95 % Student t interval of their
        mean, None for n < 2.
        """
        if measure not in MEASURES:
            raise ValueError(f"there is no measure {measure!r}{did_you_mean(measure, MEASURES)}")
        points = {}
        for t in self.trials:
            points.setdefault(line_of([t[name] for name in self.names]), []).append(t)
        return [_point(point, self.names, measure) for point in points.values()]

    def __repr__(self):
        """Show the points of the grid as a table, with the mean validation accuracy and its 95 %
        interval.
        """
        rows = [
            [*(row[name] for name in self.names), row["parameters"], row["n"], *_told(row)]
            for row in self.summary()
        ]
        return table((*self.names, "parameters", "n", "accuracy", "95 % interval"), rows)


def _told(row):
    if row["low"] is None:
        return ("", "failed") if row["mean"] is None else (f"{row['mean']:.4f}", "")
    return f"{row['mean']:.4f}", f"{max(row['low'], 0):.4f} to {min(row['high'], 1):.4f}"


def _point(trials, names, measure):
    from autocnn.sweeps.statistics import (
        mean_interval,  # here, since the experiments build on this package
    )

    done = [t for t in trials if "error" not in t]
    values = [t[measure] for t in done]
    mean, low, high, _ = (
        mean_interval(values) if len(done) > 1 else (values[0] if done else None, None, None, 1)
    )
    options = {name: trials[0][name] for name in names}
    parameters = done[0]["parameters"] if done else None
    return {
        **options,
        "parameters": parameters,
        "n": len(done),
        "mean": mean,
        "low": low,
        "high": high,
    }


def sweep(
    build,
    grid,
    seeds=8,
    executor=None,
    *,
    data=None,
    epochs=80,
    batch_size=18,
    rate=0.12,
    out=None,
    workers=None,
    progress=False,
):
    """Train ``build(**options)`` by plain SGD for every combination of options in ``grid`` and
    every seed.

        found = ac.sweep(ac.models.tiny_cnn, {"filters": range(1, 9)}, seeds=20, out="filters.jsonl")
        # {"filters": 1, "seed": 0, "parameters": 40, "train_loss": ..., "val_acc": ...}
        found.trials[0]
        found.summary()     # a row for each number of filters, with mean and 95 % interval

    build: a function that returns a network. grid: {option: values}, the options those of
    ``build``, or epochs, batch_size and rate, which otherwise are fixed. seeds: a number of seeds,
    or the seeds. A seed decides weights, shuffling, dropout and, when ``data`` is None, the
    pictures: the chapter's patterns, of as many classes as the network has. data: a ``Dataset``,
    the name of one, or a function from the seed to one.

    executor: any ``concurrent.futures.Executor`` whose workers can import autocnn; when None,
    ``workers`` processes, one a core. BLAS keeps to one thread in each, so that the results are the
    same bits whoever computes them.

    out: a file that gets one JSON line for each trial as it finishes. If it has lines of this sweep
    already, those trials are not done again: so a stopped sweep goes on, and more seeds or values
    can be added. Failed trials are not kept.

    A trial that fails does not end the others; see ``Sweep``. ValueError for an empty grid, an
    unknown option or a file with another sweep's results.
    """
    data = _checked(data, epochs, batch_size, rate, workers)
    names, points = _points(build, grid)
    trials = [{**point, "seed": seed} for point in points for seed in _seeds(seeds)]
    if executor is not None and not isinstance(executor, Executor):
        raise ValueError(
            f"executor must be a concurrent.futures.Executor, such as ProcessPoolExecutor(4); got {executor!r}"
        )
    fixed = {"epochs": epochs, "batch_size": batch_size, "rate": rate}
    identity = {"build": name_of(build), "data": fingerprint(data), "varied": sorted(names)}
    identity |= {name: value for name, value in fixed.items() if name not in names}
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store(out, identity)) if out is not None else None
        stack.enter_context(
            one_thread()
        )  # for executors that work in this process; autocnn.sweeps.trial does for others
        known = store.found if store else {}
        results = [
            _in_order(known[line_of(t)], out) if line_of(t) in known else None for t in trials
        ]
        if extra := known.keys() - {line_of(t) for t in trials}:
            raise ValueError(
                f"{out} holds another sweep: {min(extra)} is not in this one; name another file"
            )
        todo = [i for i, result in enumerate(results) if result is None]
        work = functools.partial(trial, build=build, data=data, fixed=fixed)
        seen = dict(
            total=len(trials),
            initial=len(trials) - len(todo),
            unit=" trials",
            disable=None if progress else True,
        )
        bar = stack.enter_context(tqdm(**seen))  # None: on terminals
        running = finished(work, [trials[i] for i in todo], executor, workers)
        stack.callback(
            running.close
        )  # an interrupt ends the workers at once, not when memory is next cleared
        for j, result in running:
            i = todo[j]
            results[i] = _in_order(result, out)
            if store and "error" not in result:
                store.add(trials[i], result)
            bar.update()
    return Sweep([t | result for t, result in zip(trials, results, strict=True)], names)


def _checked(data, epochs, batch_size, rate, workers):
    """Say at once, not in every trial, what is wrong with the arguments that all share; return
    data as ``trial`` takes it.
    """
    whole(epochs, "epochs"), whole(batch_size, "batch_size"), optim.sgd(rate)
    whole(1 if workers is None else workers, "workers")
    if (
        data is None
        or callable(data)
        or all(hasattr(data, part) for part in ("x_train", "y_train", "x_val", "y_val"))
    ):
        return data
    if not isinstance(data, str):
        got = type(data).__name__
        raise ValueError(
            f"data must be a Dataset, its name, such as 'digits', or a function of the seed; got {got}"
        )
    return None if data == "patterns" else load(data) and data


def _in_order(result, out):
    """A trial's measures in their order, whether they come from a worker or from a file."""
    if "error" in result:
        return {"error": result["error"]}
    if set(result) != set(MEASURES):
        raise ValueError(
            f"{out} is damaged: a result has {', '.join(result) or 'nothing'}, not {', '.join(MEASURES)}"
        )
    return {name: result[name] for name in MEASURES}


def _points(build, grid):
    """Check the grid; return its names and the list of its points."""
    if not callable(build):
        raise ValueError(
            f"a sweep needs a function that returns a network, such as ac.models.tiny_cnn; got {build!r}"
        )
    such_as = "such as {'filters': [1, 2, 3]}"
    if not isinstance(grid, dict) or not grid:
        raise ValueError(
            f"the grid must name at least one option with its values, {such_as}; got {grid!r}"
        )
    named, any_other = plan(build)
    known = (*named, *TRAINING)
    values = {}
    for name, given in grid.items():
        if name in (*MEASURES, "seed", "error", "nn") or not (any_other or name in known):
            usable = [k for k in known if k != "nn"]
            hint = did_you_mean(name, usable)
            raise ValueError(
                f"{_called(build)} has no option {name!r}{hint} Its options: {', '.join(usable)}"
            )
        if isinstance(given, str) or not np.iterable(given):
            raise ValueError(
                f"the grid needs a list of values for {name}, {such_as}; got {given!r}"
            )
        values[name] = [v.item() if isinstance(v, np.generic) else v for v in given]
        if not values[name]:
            raise ValueError(
                f"the grid is empty: it has no values for {name}; give some, {such_as}"
            )
        try:
            lines = [line_of(v) for v in values[name]]
        except TypeError:
            raise ValueError(
                f"values of {name} must be numbers, words, None or tuples of them; got {values[name]!r}"
            ) from None
        if len(set(lines)) < len(lines):
            raise ValueError(f"the grid names a value of {name} twice: {values[name]!r}")
    return tuple(values), [
        dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())
    ]


def _called(build):
    """What a user calls a builder: a partial has its function's name, unless it was given one."""
    return getattr(build, "__name__", None) or (
        _called(build.func) if hasattr(build, "func") else type(build).__name__
    )


def _seeds(seeds):
    found = (
        list(range(whole(seeds, "seeds")))
        if not np.iterable(seeds)
        else [whole(s, "a seed", least=0) for s in seeds]
    )
    if not found or len(set(found)) < len(found):
        raise ValueError(
            f"seeds must be a number of seeds, or different seeds such as range(20); got {seeds!r}"
        )
    return found
