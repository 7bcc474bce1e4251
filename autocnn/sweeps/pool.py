"""Run trials in worker processes: each trial returns exactly once, even if workers die.

By default loky provides the processes. Unlike those of the standard library they start fresh (they
do not fork a process that has threads), and they accept functions from notebooks and scripts
without a main guard.
"""

import contextlib
import functools
import logging
import os
import pickle
import threading
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from multiprocessing import resource_tracker
from typing import Any

from tqdm import tqdm

from autocnn.ops.arguments import integer
from autocnn.processes import end_with_parent, stop_signals_blocked

__all__ = [
    "MAX_DEATHS",
    "DisconnectedError",
    "LostTrialError",
    "SchedulerLostError",
    "cores",
    "run_all",
]

Result = tuple[int, Any]
Submit = Callable[..., Future]

MAX_DEATHS = 3  # give up on a trial after so many of its workers died
MAX_CUTS = 20  # or after so many connections broke
ONE_THREAD = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class SchedulerLostError(ConnectionError):
    """What runs the trials does not answer any more, or refuses them."""


class LostTrialError(Exception):
    """An executor lost a trial, for no fault of the trial that is known: it runs again. ``deaths``
    is how many workers died of it, as far as is known.
    """

    def __init__(self, message: str, deaths: int = 1) -> None:
        """Say what happened."""
        super().__init__(message)
        self.deaths = deaths


class DisconnectedError(LostTrialError):
    """The connection to the workers broke, which is not the fault of any trial."""


class Portable:
    """A function that pickles for any executor, including lambdas and functions of notebooks."""

    def __init__(self, f: Callable[..., Any]) -> None:
        self.f = f

    def __call__(self, *args: Any) -> Any:
        return self.f(*args)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (self._pickled,)

    @functools.cached_property
    def _pickled(self) -> bytes:
        import cloudpickle

        return cloudpickle.dumps(self.f)


@functools.lru_cache(maxsize=1)  # a worker unpickles the function, and the data in it, once
def _unpickle(pickled: bytes) -> Portable:
    return Portable(pickle.loads(pickled))


def cores() -> int:
    """Return the number of cores that this process may use."""
    import loky

    return loky.cpu_count()


def run_all(
    function: Callable[[Any], Any],
    arguments: Collection[Any],
    executor: Executor | None = None,
    workers: int | None = None,
) -> Iterator[Result]:
    """Yield (index, function(argument)) for all arguments, as they finish.

    function: must be pure, since it may run again after a worker died. executor: any
    ``concurrent.futures.Executor``; None for ``workers`` processes (None: one per core) with one
    BLAS thread each. An exception of the function, or ``MAX_DEATHS`` dead workers, yields {"error":
    a sentence}.
    """
    function, left = Portable(function), dict(enumerate(arguments))
    deaths: Counter[int] = Counter()
    if executor is not None:
        try:
            at_once = getattr(executor, "at_once", None) or len(left)
            yield from _run_on(executor.submit, function, left, list(left), set(), at_once)
        except BrokenExecutor as error:
            logging.getLogger(__name__).warning(
                "%s broke with %d of %d trials to do (%s); processes of this machine do them",
                type(executor).__name__,
                len(left),
                len(arguments),
                error,
            )
    workers = cores() if workers is None else integer(workers, "workers")
    while left:
        # When a worker dies, nothing says which trial it ran. Each of the trials that were running
        # is then run alone, until the one that kills workers is found.
        suspects = [i for i in left if deaths[i]][:1]
        running: set[int] = set()
        with _processes(workers) as submit:
            try:
                chosen = suspects or list(left)
                yield from _run_on(submit, function, left, chosen, running, 2 * workers)
            except BrokenExecutor:
                deaths.update(running)
        for i in [i for i in left if deaths[i] >= MAX_DEATHS]:
            del left[i]
            error = f"its worker process died, {MAX_DEATHS} times over; is there enough memory?"
            yield i, {"error": error}


def _run_on(
    submit: Submit,
    function: Callable[[Any], Any],
    left: dict[int, Any],
    chosen: list[int],
    running: set[int],
    max_running: int,
) -> Iterator[Result]:
    """Yield the results of the ``chosen``, and remove them from ``left``. ``running`` holds those
    that are submitted, at most ``max_running``. Raises BrokenExecutor.

    A trial that the executor lost or cancelled runs again. Others may be to blame: after
    ``MAX_DEATHS`` losses it waits until it can run alone, and fails if it is lost once more.
    """
    waiting, alone = deque(chosen), deque[int]()
    futures: dict[Future, int] = {}
    losses: Counter[int] = Counter()
    cuts: Counter[int] = Counter()
    try:
        while True:
            if not (waiting or futures) and alone:
                waiting.append(alone.popleft())
            while waiting and len(futures) < max_running:
                i = waiting.popleft()
                running.add(i)
                try:
                    futures[submit(function, left[i])] = i
                except RuntimeError as error:
                    if isinstance(error, BrokenExecutor) or not losses[i]:
                        raise
                    del left[i]  # the executor was shut down, and has cancelled it
                    yield i, {"error": f"{type(error).__name__}: {error}"}
            if not futures:
                return
            broken = None
            for future in sorted(wait(futures, return_when=FIRST_COMPLETED).done, key=futures.get):
                error = _exception(future)
                if isinstance(error, BrokenExecutor):
                    broken = error  # raised after the results that arrived with it
                    continue
                i = futures.pop(future)
                running.discard(i)
                lost = isinstance(error, LostTrialError | CancelledError)
                if isinstance(error, DisconnectedError):
                    cuts[i] += 1
                elif lost:
                    losses[i] += getattr(error, "deaths", 1)
                if lost and losses[i] <= MAX_DEATHS and cuts[i] <= MAX_CUTS:
                    (waiting if losses[i] < MAX_DEATHS else alone).append(i)
                    continue
                del left[i]
                if error is None:
                    yield i, future.result()
                else:
                    times = f", {losses[i] + cuts[i]} times over" if lost else ""
                    yield i, {"error": f"{type(error).__name__}: {error}{times}"}
            if broken is not None:
                raise broken
    finally:
        for future in futures:
            future.cancel()


def _exception(future: Future) -> BaseException | None:
    if future.cancelled():
        return CancelledError("the executor cancelled it")
    return future.exception()


def _initialize_worker(parent: int, is_main_thread: bool) -> None:
    """Let a worker end with its parent. tqdm would make a lock between processes, which a killed
    worker leaves behind.
    """
    end_with_parent(parent, at_once=is_main_thread)
    tqdm.set_lock(threading.RLock())


@contextlib.contextmanager
def _processes(workers: int) -> Iterator[Submit]:
    """Give ``submit`` of loky's processes, which stay for the next sweep unless there is an
    exception.
    """
    import loky

    with stop_signals_blocked():  # for the processes that clean up semaphores, started here
        if os.name == "posix":
            resource_tracker.ensure_running()
        pool = loky.get_reusable_executor(
            max_workers=workers,
            env=ONE_THREAD,
            timeout=60,
            initializer=_initialize_worker,
            initargs=(os.getpid(), threading.current_thread() is threading.main_thread()),
        )

    def submit(*args: Any) -> Future:
        with stop_signals_blocked():  # processes start here
            return pool.submit(*args)

    try:
        yield submit
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise
