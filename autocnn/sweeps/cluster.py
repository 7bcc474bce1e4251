"""Dask: an executor whose trials outlive workers, and connections that break for a moment.

The function, with the data in it, goes to the cluster once, and not with every trial. When the
connection to the scheduler breaks, the client looks for it again for ``RECONNECT`` seconds; trials
whose results had not arrived then run again.
"""

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from autocnn.sweeps.pool import (
    MAX_DEATHS,
    DisconnectedError,
    LostTrialError,
    SchedulerLostError,
    cores,
)

__all__ = ["DaskExecutor", "dask", "is_dask"]

RECONNECT = 20.0  # seconds
# A scheduler serves HTTP at port 8787 even without its dashboard, and says so when that is taken.
NO_DASHBOARD: dict[str, Any] = {
    "dashboard_address": "127.0.0.1:0",
    "scheduler_kwargs": {"dashboard": False},
}


def is_dask(executor: Any) -> bool:
    """Whether an executor is a client of Dask, or the executor that such a client gives."""
    return type(executor).__module__.partition(".")[0] == "distributed"


class DaskExecutor(Executor):
    """An executor on the cluster of a ``distributed.Client``, which stays open at its end.

    A future raises ``LostTrialError`` when the cluster lost the trial, ``DisconnectedError`` when
    the connection broke, and ``submit`` raises ``SchedulerLostError`` when the scheduler is gone.
    """

    def __init__(self, client: Any) -> None:
        """Use a ``distributed.Client``, or the executor of its ``get_executor``."""
        self._client = getattr(client, "_client", client)
        self._function: Callable | None = None
        self._sent: Any = None  # the Dask future of the function

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Run ``function(*args)`` on a worker; the function itself is sent when it is a new one."""
        outer: Future = Future()
        while True:
            self._wait_for_connection()
            with contextlib.suppress(OSError, RuntimeError):  # the connection breaks now
                inner = self._submit(_trial, self._send(function), args, kwargs)
                break
        outer.add_done_callback(lambda outer: self._cancel(outer, inner))
        inner.add_done_callback(lambda inner: _pass_on(inner, outer))
        return outer

    def _send(self, function: Callable) -> Any:
        """Return the Dask future of the function.

        It is the result of a task and not scattered: the scheduler keeps the task, and runs it
        again when all workers that hold its result are gone. Scattered data would be lost then, and
        all trials with them.
        """
        is_there = self._sent is not None and self._sent.status in ("pending", "finished")
        if not (is_there and function is self._function):
            self._sent, self._function = self._submit(_hold, function), function
        return self._sent

    def _submit(self, function: Callable, *args: Any) -> Any:
        import dask

        # A warning would say that large arguments slow the scheduler down; these are sent once.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            key = f"{function.__name__.strip('_')}-{uuid.uuid4().hex}"
            return self._client.submit(function, *args, pure=False, key=key)

    def _wait_for_connection(self) -> None:
        while self._client.status in ("connecting", "newly-created"):
            time.sleep(0.05)
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> SchedulerLostError:
        return SchedulerLostError(f"the Dask scheduler at {_address(self._client)} is gone")

    def _cancel(self, outer: Future, inner: Any) -> None:
        if outer.cancelled() and self._client.status == "running":
            client = self._client
            client.loop.add_callback(lambda: client.cancel([inner], asynchronous=True))


def _hold(function: Callable) -> Callable:
    return function


def _trial(function: Callable, args: tuple, kwargs: dict) -> Any:
    return function(*args, **kwargs)


def _pass_on(inner: Any, outer: Future) -> None:
    """Give a Dask future's result or error to the other future."""
    from distributed.scheduler import KilledWorker

    if not outer.set_running_or_notify_cancel():
        return
    if inner.status == "error":
        error = inner.exception()
        if isinstance(error, KilledWorker):
            error = LostTrialError("its worker died; is there enough memory?", MAX_DEATHS)
        outer.set_exception(error)
        return
    try:
        outer.set_result(inner.result())
    except BaseException as error:
        if getattr(error, "reason", None) == "scheduler-connection-lost":
            outer.set_exception(DisconnectedError("the connection to the scheduler broke"))
        else:
            outer.set_exception(LostTrialError(f"the cluster lost it ({type(error).__name__})"))


def _address(client: Any) -> str:
    return str(getattr(client.scheduler, "address", None) or client._start_arg)


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
        stack.enter_context(_silent())
        if address == "local":
            cluster = distributed.LocalCluster(
                n_workers=workers or cores(),
                threads_per_worker=1,
                silence_logs=logging.CRITICAL,
                **NO_DASHBOARD,
            )
            address = stack.enter_context(cluster).scheduler_address
        _ping(address)
        client = distributed.Client(address, timeout=RECONNECT, set_as_default=False)
        stack.callback(_close, client)
        if not client.nthreads():
            logging.getLogger(__name__).warning(
                "the Dask scheduler at %s has no workers yet; the sweep waits for one", address
            )
        yield DaskExecutor(client)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Print nothing that Dask logs: what is lost is said by who called."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    handlers = {h: h.level for name in names for h in logging.getLogger(name).handlers}
    for handler in handlers:
        handler.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for handler, level in handlers.items():
            handler.setLevel(level)


def _close(client: Any) -> None:
    """Close a client, in a thread: of a scheduler that is gone it waits for an answer."""
    closing = threading.Thread(target=client.close, daemon=True)
    closing.start()
    closing.join(5)


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
