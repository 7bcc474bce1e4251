"""Trials over workers: whichever executor runs them, each comes back once, also when a worker dies
on the way.

By default the workers are processes of this machine, from loky, which unlike the standard library's
start fresh (no fork of a process that holds threads) and take functions from notebooks and scripts
without a main guard.
"""

import asyncio
import contextlib
import functools
import logging
import pickle
import threading
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, wait

from tqdm import tqdm

from autocnn.ops.arguments import whole

__all__ = ["DEATHS", "cores", "dask", "finished"]

DEATHS = 3  # of its workers until a trial is given up
ONE_THREAD = {
    "NUMBA_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Portable:
    """A function that any executor can take to another process, lambdas and those of notebooks
    included.
    """

    def __init__(self, f):
        """Wrap ``f``."""
        self.f = f

    def __call__(self, *args):
        """Call it."""
        return self.f(*args)

    def __reduce__(self):
        return _unpacked, (self._packed,)

    @functools.cached_property
    def _packed(self):
        import cloudpickle

        return cloudpickle.dumps(self.f)


@functools.lru_cache(maxsize=1)  # a worker unpacks the function, and the data in it, once
def _unpacked(packed):
    return Portable(pickle.loads(packed))


def cores():
    """Return how many cores this process may use."""
    import loky

    return loky.cpu_count()


def finished(work, trials, executor=None, workers=None):
    """Yield (index, work(trial)) in the order in which the trials finish; ``work`` must be a pure
    function.

    executor: any ``concurrent.futures.Executor``; None for ``workers`` processes (one a core) with
    one BLAS thread each. An exception of ``work``, or a trial whose workers died ``DEATHS`` times,
    comes back as {"error": words}.
    """
    work, left, deaths = Portable(work), dict(enumerate(trials)), Counter()
    if executor is not None:
        try:
            yield from _through(executor, work, left, left, set(), len(left))
        except BrokenExecutor as error:
            words = (
                "%s broke with %d of %d trials to do (%s); they go on in processes of this machine"
            )
            logging.getLogger(__name__).warning(
                words, type(executor).__name__, len(left), len(trials), error
            )
    workers = cores() if workers is None else whole(workers, "workers")
    while left:
        # When workers die, no one knows of which trial: each that was under way is then tried
        # alone, to find the one.
        suspects = [i for i in left if deaths[i]][:1]
        running = set()
        with _processes(workers) as pool:
            try:
                yield from _through(pool, work, left, suspects or left, running, 2 * workers)
            except BrokenExecutor:
                deaths.update(running)
        for i in [i for i in left if deaths[i] >= DEATHS]:
            del left[i]
            yield (
                i,
                {"error": f"its worker process died, {DEATHS} times over; is there enough memory?"},
            )


def _through(executor, work, left, chosen, running, most):
    """Yield what the executor finishes of the ``chosen``, taking it off ``left``; at most
    ``most`` are ``running`` at once.
    """
    waiting, futures = iter(list(chosen)), {}
    try:
        while True:
            for i in waiting:
                running.add(i)
                futures[executor.submit(work, left[i])] = i
                if len(futures) >= most:
                    break
            if not futures:
                return
            broken = None
            for future in sorted(wait(futures, return_when=FIRST_COMPLETED).done, key=futures.get):
                error = (
                    CancelledError("the executor gave it up")
                    if future.cancelled()
                    else future.exception()
                )
                if isinstance(error, BrokenExecutor):
                    broken = error  # raised after the results that came in with it
                    continue
                i = futures.pop(future)
                running.discard(i)
                del left[i]
                yield (
                    i,
                    future.result()
                    if error is None
                    else {"error": f"{type(error).__name__}: {error}"},
                )
            if broken is not None:
                raise broken
    finally:
        for future in futures:
            future.cancel()


def _prepare():
    """Begin a worker: tqdm would make a lock for many processes, which a worker that is killed
    leaves behind.
    """
    tqdm.set_lock(threading.RLock())


@contextlib.contextmanager
def _processes(workers):
    """Give loky's processes, kept for the next sweep; whoever stops early leaves none behind."""
    import loky

    pool = loky.get_reusable_executor(
        max_workers=workers, env=ONE_THREAD, timeout=60, initializer=_prepare
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


@contextlib.contextmanager
def dask(address, workers=None):
    """Give an executor on the Dask cluster at ``address``, or for "local" on one of processes of
    this machine.

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
            local = dict(n_workers=workers or cores(), threads_per_worker=1, dashboard_address=None)
            address = stack.enter_context(distributed.LocalCluster(**local))
        _knock(address)
        client = stack.enter_context(
            distributed.Client(address, timeout="5s", set_as_default=False)
        )
        yield client.get_executor(pure=False)


def _knock(address):
    """See whether a scheduler answers. What else may listen there can answer anything, so that
    any error counts.
    """
    from distributed.comm import connect
    from distributed.security import Security

    async def greet():
        comm = await asyncio.wait_for(
            connect(address, timeout=3, **Security().get_connection_args("client")), 3.5
        )
        comm.abort()

    try:
        asyncio.run(greet())
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"no Dask scheduler answers at {address} ({reason}); start one by `dask scheduler`, or use --scheduler local"
        ) from None
