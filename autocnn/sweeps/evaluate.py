"""Evaluate trials: those that are stored are read, the others run and are stored as they finish."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from autocnn import optim
from autocnn.data import Dataset, load
from autocnn.ops.arguments import integer
from autocnn.sweeps.cluster import DaskExecutor, is_dask
from autocnn.sweeps.identity import NeedsName, data_name, function_name
from autocnn.sweeps.pool import run_all
from autocnn.sweeps.slurm import JobExecutor
from autocnn.sweeps.store import Store, json_line
from autocnn.sweeps.trial import METRICS, run_trial, single_threaded

__all__ = ["Data", "Trial", "Work", "check_executor", "evaluation"]

Data = Dataset | str | Callable[[int], Dataset] | None
Trial = dict[str, Any]  # a point's options, and "seed"


class Work:
    """What all trials of a sweep share: the arguments of ``sweep`` of these names, checked."""

    def __init__(
        self,
        build: Callable[..., Any],
        data: Data,
        epochs: int,
        batch_size: int,
        rate: float,
        name: str | None,
    ) -> None:
        """Raise ValueError at once for what would fail in every trial."""
        integer(epochs, "epochs")
        integer(batch_size, "batch_size")
        optim.sgd(rate)
        self.build, self.data, self.name = build, _check_data(data), name
        self.fixed = {"epochs": epochs, "batch_size": batch_size, "rate": rate}

    def identity(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Return what ``Store`` compares: two sweeps of equal identity may share a file."""
        named = self.name is not None
        try:
            build = self.name if named else function_name(self.build)
            data = self.name if named and callable(self.data) else data_name(self.data)
        except NeedsName as error:
            raise NeedsName(
                f"out= needs to know the function again in a later sweep, but {error}; define it "
                "with def at the top of a file, or name it: sweep(..., name='my network')"
            ) from None
        fixed = {option: value for option, value in self.fixed.items() if option not in names}
        return {"build": build, "data": data, "varied": sorted(names)} | fixed


@contextlib.contextmanager
def evaluation(
    work: Work,
    names: tuple[str, ...],
    executor: Any,
    out: str | os.PathLike | None,
    workers: int | None,
    progress: bool,
    total: int,
    may_differ: bool = False,
    **identity: Any,
) -> Iterator[Callable[[list[Trial]], dict[str, dict[str, Any]]]]:
    """Give a function of trials that returns {``json_line(trial)``: metrics or error}.

    names: the options that vary. total: how many trials there will be. may_differ: whether ``out``
    may hold trials that are not asked for. identity: what else the file's sweep must agree in.
    """
    with contextlib.ExitStack() as stack:
        store = None
        if out is not None:
            store = stack.enter_context(Store(out, work.identity(names) | identity))
        stack.enter_context(single_threaded())  # for executors that compute in this process
        if is_dask(executor):
            executor = DaskExecutor(executor)
        elif executor is not None and not isinstance(executor, Executor):
            folder = Path(out).parent if out is not None else Path()
            executor = stack.enter_context(JobExecutor(executor, folder))
        bar = tqdm(
            total=total,
            unit=" trials",
            disable=None if progress else True,  # None: only on terminals
        )
        stack.enter_context(bar)
        function = functools.partial(run_trial, build=work.build, data=work.data, fixed=work.fixed)

        def evaluate(trials: list[Trial]) -> dict[str, dict[str, Any]]:
            known = _stored_results(store, trials, may_differ) if store else {}
            bar.update(len(known))
            todo = [trial for trial in trials if json_line(trial) not in known]
            running = run_all(function, todo, executor, workers)
            # On an interrupt, stop the workers at once.
            with contextlib.closing(running):  # type: ignore[type-var]
                for i, result in running:
                    known[json_line(todo[i])] = result
                    if store and "error" not in result:
                        store.add(todo[i], result)
                    bar.update()
            return known

        yield evaluate


def check_executor(executor: Any, workers: int | None) -> None:
    """Raise ValueError for an executor that cannot run trials, or a number that is none."""
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise ValueError(
            "executor must be a concurrent.futures.Executor, such as ProcessPoolExecutor(4); "
            f"got {executor!r}"
        )
    if workers is not None:
        integer(workers, "workers")


def _check_data(data: Any) -> Data:
    """Return data as ``run_trial`` takes it: "patterns" becomes None."""
    if isinstance(data, str):
        if data == "patterns":
            return None
        load(data)  # raises if it is not there
        return data
    is_dataset = all(hasattr(data, part) for part in ("x_train", "y_train", "x_val", "y_val"))
    if data is not None and not callable(data) and not is_dataset:
        raise ValueError(
            "data must be a Dataset, its name, such as 'digits', or a function of the seed; "
            f"got {type(data).__name__}"
        )
    if is_dataset and data.x_val is None:
        raise ValueError(
            "a sweep compares validation accuracies, and these data have no validation images: "
            "ac.data.from_arrays(images, labels, validation=0.2)"
        )
    return data


def _stored_results(
    store: Store, trials: list[Trial], may_differ: bool
) -> dict[str, dict[str, Any]]:
    """Return the results on file of ``trials``: {trial's line: metrics in order}."""
    lines = {json_line(trial) for trial in trials}
    if (extra := store.results.keys() - lines) and not may_differ:
        raise ValueError(
            f"{store.path} holds another sweep: {min(extra)} is not in this one; name another file"
        )
    for result in store.results.values():
        if set(result) != set(METRICS):
            raise ValueError(
                f"{store.path} is damaged: a result has {', '.join(result) or 'nothing'}, "
                f"not {', '.join(METRICS)}"
            )
    return {
        line: {metric: result[metric] for metric in METRICS}
        for line, result in store.results.items()
        if line in lines
    }
