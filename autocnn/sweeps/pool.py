"""Run trials in worker processes: each trial returns exactly once, even if workers die.

By default loky provides the processes. Unlike those of the standard library they start fresh (they
do not fork a process that has threads), and they accept functions from notebooks and scripts
without a main guard.
"""

import asyncio
import contextlib
import functools
import logging
import os
import pickle
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from multiprocessing import resource_tracker
from typing import Any

from tqdm import tqdm

from autocnn.ops.arguments import integer
from autocnn.processes import end_with_parent, stop_signals_blocked

__all__ = ["MAX_DEATHS", "cores", "dask", "run_all"]

Result = tuple[int, Any]

MAX_DEATHS = 3  # give up on a trial after so many of its workers died
ONE_THREAD = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


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
            yield from _run_on(executor, function, left, list(left), set(), len(left))
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
        with _processes(workers) as pool:
            try:
                chosen = suspects or list(left)
                yield from _run_on(pool, function, left, chosen, running, 2 * workers)
            except BrokenExecutor:
                deaths.update(running)
        for i in [i for i in left if deaths[i] >= MAX_DEATHS]:
            del left[i]
            error = f"its worker process died, {MAX_DEATHS} times over; is there enough memory?"
            yield i, {"error": error}


def _run_on(
    executor: Executor,
    function: Callable[[Any], Any],
    left: dict[int, Any],
    chosen: list[int],
    running: set[int],
    max_running: int,
) -> Iterator[Result]:
    """Yield the results of the ``chosen``, and remove them from ``left``. ``running`` holds those
    that are submitted, at most ``max_running``. Raises BrokenExecutor.
    """
    waiting, futures = iter(chosen), {}
    try:
        while True:
            for i in waiting:
                running.add(i)
                with stop_signals_blocked():  # loky's processes start here
                    futures[executor.submit(function, left[i])] = i
                if len(futures) >= max_running:
                    break
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
                del left[i]
                if error is None:
                    yield i, future.result()
                else:
                    yield i, {"error": f"{type(error).__name__}: {error}"}
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
def _processes(workers: int) -> Iterator[Executor]:
    """Give loky's processes. They stay for the next sweep, but not after an exception."""
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
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


@contextlib.contextmanager
def dask(address: str, workers: int | None = None) -> Iterator[Executor]:
    """Give an executor on a Dask cluster for the ``with`` block.

    address: of the scheduler, or "local" for a cluster of ``workers`` processes on this machine.
    ValueError, within 10 seconds, when dask is not installed or no scheduler answers.
    """
    try:
        import distributed
    except ImportError:
        raise ValueError(
            "a scheduler needs Dask; install it: pip install 'autocnn[dask]'"
        ) from None
    with contextlib.ExitStack() as stack:
        if address == "local":
            cluster = distributed.LocalCluster(
                n_workers=workers or cores(), threads_per_worker=1, dashboard_address=None
            )
            address = stack.enter_context(cluster).scheduler_address
        _ping(address)
        client = distributed.Client(address, timeout="5s", set_as_default=False)
        yield stack.enter_context(client).get_executor(pure=False)


def _ping(address: str) -> None:
    """Raise ValueError unless a scheduler answers. Another program that listens there can send
    anything, so that any exception counts.
    """
    from distributed.comm import connect
    from distributed.security import Security

    async def greet() -> None:
        comm = await asyncio.wait_for(
            connect(address, timeout=3, **Security().get_connection_args("client")), 3.5
        )
        comm.abort()

    try:
        # In a thread of its own, since this one may run an event loop, as a notebook's does.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(greet())).result()
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"no Dask scheduler answers at {address} ({reason}); start one with `dask scheduler`, "
            "or use --scheduler local"
        ) from None
