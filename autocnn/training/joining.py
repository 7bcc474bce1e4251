"""The start of MPI, in which every rank waits for all others: none waits for one that is gone.

A rank may end before it comes to this point, by an import that fails, data that it cannot read or a
mistake in its command line. mpiexec of MPICH then lets the others wait for ever. So a thread looks
twice a second which ranks of this machine are alive, as Linux shows it; of those on other machines
it knows nothing, and waits for ten minutes.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autocnn.processes import STOP_SIGNALS
from autocnn.training import agreement

__all__ = ["join"]

PERIOD = 0.5  # seconds between two looks at the other ranks
PATIENCE = 600  # seconds, for ranks that cannot be seen
HEAD_START = 5.0  # seconds in which the rank that speaks ends first: mpiexec then kills the others
RANK, SIZE, HERE = "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"  # as MPICH calls them
PROC = Path("/proc")


def join() -> Any:
    """Return ``mpi4py.MPI``, started. If another rank has ended already, end this process with exit
    code 1 and one line on stderr.

    Raises ImportError or RuntimeError when mpi4py is missing, or finds no MPI library.
    """
    import mpi4py

    if "mpi4py.MPI" not in sys.modules and mpi4py.rc.initialize is not False:
        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
    from mpi4py import MPI

    if MPI.Is_initialized():
        return MPI
    try:  # mpi4py's own call would stop all threads of this process
        start = ctypes.CDLL(MPI.__file__).MPI_Init_thread
    except (OSError, AttributeError):
        MPI.Init_thread()
        return MPI
    with _watched():
        start(None, None, MPI.THREAD_MULTIPLE, ctypes.byref(ctypes.c_int()))
    return MPI


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Watch the other ranks during the ``with`` block, in which signals have their default action:
    Python's handlers would have to wait for its end, and nothing is there yet to be saved.
    """
    joined, handlers = threading.Event(), {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        handlers = {n: handler for n, handler in handlers.items() if callable(handler)}
    threading.Thread(target=_watch, args=(joined,), daemon=True).start()
    for number in handlers:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        joined.set()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _watch(joined: threading.Event) -> None:
    end, alive = time.monotonic() + PATIENCE, _alive()
    size = os.environ.get(SIZE, "?")
    while not joined.wait(PERIOD):
        before, alive = alive, _alive()
        if _is_missing(before) and _is_missing(alive):  # one look: maybe only about to start
            assert before is not None
            gone = sorted(set(range(int(size))) - before) if os.environ[HERE] == size else []
            who = f"rank {gone[0]}" if len(gone) == 1 else "a rank"
            _end(
                f"{who} of {size} ended before it had joined the others, which end too",
                os.environ[RANK] == str(min(before, default=0)),
            )
        if time.monotonic() > end:
            _end(
                f"not all of the {size} ranks have come within {PATIENCE} seconds; start them at "
                "the same time, and see what they have said",
                os.environ.get(RANK, "0") == "0",
            )


def _is_missing(alive: set[int] | None) -> bool:
    return alive is not None and len(alive) < int(os.environ[HERE])


def _alive() -> set[int] | None:
    """Return the ranks that are alive among those that mpiexec has started on this machine; None
    where that cannot be seen.
    """
    try:
        int(os.environ[HERE])
        parent = os.getppid()
        while _rank(parent) is not None:  # a program between mpiexec and this one
            parent = int((PROC / f"{parent}/stat").read_text().rpartition(")")[2].split()[1])
        children = (PROC / f"{parent}/task/{parent}/children").read_text().split()
    except (OSError, ValueError, KeyError):
        return None
    ranks = set()
    for child in map(int, children):
        with contextlib.suppress(OSError):  # ended in the meantime
            ranks.add(_rank(child))
    return {rank for rank in ranks if rank is not None}


def _rank(process: int) -> int | None:
    """Return the rank that mpiexec has told a process, None if it has told none."""
    start = f"{RANK}=".encode()
    for part in (PROC / f"{process}/environ").read_bytes().split(b"\0"):
        if part.startswith(start):
            return int(part[len(start) :])
    return None


def _end(message: str, is_speaker: bool) -> None:
    if is_speaker:
        with contextlib.suppress(OSError):
            os.write(2, f"autocnn: {message}\n".encode())
    else:
        time.sleep(HEAD_START)
    agreement.drain()
    os._exit(1)
