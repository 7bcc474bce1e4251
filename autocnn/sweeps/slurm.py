"""Slurm, through submitit: each trial is a job, whose function and result are files in a folder.

``JobExecutor`` takes any executor whose ``submit`` returns jobs with ``done()``, ``result()`` and
``cancel()``, which are asked from time to time. The function of a sweep, with the data in it, is
one file for all jobs.
"""

import contextlib
import functools
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from autocnn.files import atomic_write, remove
from autocnn.sweeps.pool import LostTrialError, SchedulerLostError, cores

__all__ = ["EXECUTORS", "JobExecutor", "submitit_executor"]

EXECUTORS = {"slurm": "slurm", "local-submitit": "local"}  # of --executor: submitit's names
PERIOD = 0.2  # seconds between two looks at the jobs
MAX_JOBS = 100  # of Slurm at a time


class JobExecutor(Executor):
    """An executor of ``concurrent.futures`` on one that returns jobs; use it in a ``with`` block.

    A job that ends without a result raises ``LostTrialError``.
    """

    def __init__(self, executor: Any, folder: str | Path, at_once: int | None = None) -> None:
        """Submit to ``executor``. folder: for the function, which all jobs read. at_once: the
        largest number of jobs that are queued or run.
        """
        self._executor, self._folder = executor, Path(folder)
        self.at_once = at_once
        self._function: Callable | None = None
        self._stored: Stored | None = None
        self._jobs: dict[Future, Any] = {}
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Submit a job that calls the function. SchedulerLostError when it is refused."""
        if self._stored is None or function is not self._function:
            self._remove_file()
            self._function, self._stored = function, store(function, self._folder)
        future: Future = Future()
        try:
            self._jobs[future] = self._executor.submit(self._stored, *args, **kwargs)
        except Exception as error:  # such as submitit's FailedSubmissionError
            raise SchedulerLostError(f"a job cannot be submitted: {_first_line(error)}") from error
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel the jobs that have no result, and remove the function's file."""
        self._ended.set()
        self._watching.join()
        for job in self._jobs.values():
            with contextlib.suppress(Exception):  # it may have ended by itself
                job.cancel()
        self._jobs.clear()
        self._remove_file()

    def _remove_file(self) -> None:
        if self._stored is not None:
            with contextlib.suppress(OSError):
                remove(self._stored.path)

    def _watch(self) -> None:
        while not self._ended.wait(PERIOD):
            for future, job in [*self._jobs.items()]:
                if future.cancelled():
                    with contextlib.suppress(Exception):
                        job.cancel()
                elif not _pass_on(job, future):
                    continue
                del self._jobs[future]


class Stored:
    """A function in a file, which a process reads once."""

    def __init__(self, path: Path) -> None:
        """Read it from ``path`` when it is called."""
        self.path = path

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Exception | None]:
        """Return what the function returns, and what it raises."""
        try:
            return _read(str(self.path))(*args, **kwargs), None
        except Exception as error:
            return None, error


def store(function: Callable, folder: Path) -> Stored:
    """Write a function to a new file in ``folder``."""
    import cloudpickle

    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / f"function-{secrets.token_hex(4)}.pkl"
    atomic_write(path, cloudpickle.dumps(function))
    return Stored(path)


@functools.lru_cache(maxsize=1)
def _read(path: str) -> Callable:
    import cloudpickle

    return cloudpickle.loads(Path(path).read_bytes())


def _pass_on(job: Any, future: Future) -> bool:
    """Give a job's result to a future; False when it has none yet."""
    try:
        if not job.done():
            return False
        result, error = job.result()
    except Exception as lost:
        result, error = None, LostTrialError(_first_line(lost))
    if future.set_running_or_notify_cancel():
        future.set_result(result) if error is None else future.set_exception(error)
    return True


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def submitit_executor(
    name: str, folder: str | Path, workers: int | None = None
) -> Iterator[JobExecutor]:
    """Give submitit's executor for the ``with`` block.

    name: "slurm", or "local-submitit" for processes of this machine. folder: for the files of the
    jobs; all nodes must see it. workers: how many jobs are queued or run at a time. Slurm's options
    are sbatch's environment variables, such as SBATCH_PARTITION, SBATCH_ACCOUNT and
    SBATCH_TIMELIMIT. ValueError for another name, without submitit, or without Slurm.
    """
    if name not in EXECUTORS:
        raise ValueError(f"there is no executor {name!r}; choose from {', '.join(EXECUTORS)}")
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "an executor needs submitit; install it: pip install 'autocnn[slurm]'"
        ) from None
    try:
        executor = submitit.AutoExecutor(Path(folder) / "%j", cluster=EXECUTORS[name])
    except RuntimeError as error:
        raise ValueError(f"{name} cannot be used here: {_first_line(error)}") from None
    executor.update_parameters(name="autocnn-sweep", timeout_min=60, cpus_per_task=1)
    default = MAX_JOBS if name == "slurm" else cores()
    with JobExecutor(executor, folder, workers or default) as jobs:
        yield jobs
