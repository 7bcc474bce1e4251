"""Number of threads, one setting for BLAS and for the compiled kernels."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from autocnn.ops.arguments import integer

__all__ = [
    "lost_openmp",
    "num_threads",
    "refresh",
    "single_threaded",
    "single_threaded_blas",
    "starts_openmp",
    "threads",
]

_lock = threading.RLock()
_count = None  # what threads() returns, once it is known
_holders = 0  # how many single_threaded_blas() blocks are open, in all threads of Python
_openmp = False  # whether a library may have started OpenMP's threads in this process
_lost_openmp = False
_restore: list = []  # (library, its number of threads) for when the last of them closes


class _Local(threading.local):
    single_threaded = False


_local = _Local()


def threads(n: int | None = None) -> int:
    """Return how many threads the kernels and BLAS use; with ``n``, set it for the process.

    The default is the environment's AUTOCNN_THREADS, else the number that BLAS was given
    (OPENBLAS_NUM_THREADS and its like). Equal numbers give equal results, to the bit. Raises
    ValueError for an ``n`` or an AUTOCNN_THREADS that is not a whole number, 1 or more.
    """
    global _count
    if n is None and _count is not None:
        return _count
    with _lock:
        if n is None and _count is None:
            n = _from_environment()
        if n is not None:
            n = integer(n, "threads")
            _blas.cache_clear()
            _set_blas(_blas(), n)
            _count = n
        elif _count is None:
            _count = max([library.get_num_threads() for library in _blas()], default=1)
        return _count


def _from_environment():
    value = os.environ.get("AUTOCNN_THREADS", "").strip()
    if not value:
        return None
    if not value.isdigit() or int(value) == 0:
        raise ValueError(
            f"AUTOCNN_THREADS must be a number of threads, 1 or more, such as 2; got {value!r}"
        )
    return int(value)


def num_threads() -> int:
    """Return how many threads a kernel called from this thread of Python may use."""
    return 1 if _local.single_threaded else threads()


def starts_openmp() -> None:
    """Note that a library with OpenMP's threads is loaded: Numba's kernels, or oneDNN."""
    global _openmp
    _openmp = True


def lost_openmp() -> bool:
    """Return whether this process was forked from one with OpenMP's threads: GNU's OpenMP does not
    survive that, and asking for threads would never end.
    """
    return _lost_openmp


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run this Python thread's kernels single-threaded, e.g. in a sweep worker."""
    before = _local.single_threaded
    with single_threaded_blas():
        _local.single_threaded = True
        try:
            yield
        finally:
            _local.single_threaded = before


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread in the whole process, for kernels that multiply on threads of their
    own; then restore its number. Blocks nest, and may overlap in several threads of Python.
    """
    global _holders, _restore
    threads()  # while BLAS still says how many it has been given
    with _lock:
        _holders += 1
        if _holders == 1:
            _restore = [(library, library.get_num_threads()) for library in _blas()]
            for library, _ in _restore:
                library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                for library, count in _restore:
                    library.set_num_threads(count)


def refresh() -> None:
    """Apply the number of threads to BLAS libraries loaded since the last look, such as SciPy's."""
    with _lock:
        known = {library.filepath for library in _blas()}
        _blas.cache_clear()
        for library in _blas():
            if library.filepath not in known:
                _set_blas([library], library.get_num_threads() if _count is None else _count)


def _set_blas(libraries, n):
    """Give libraries n threads; inside ``single_threaded_blas``, as soon as the last block ends."""
    global _restore
    if _holders:
        new = {library.filepath for library in libraries}
        _restore = [pair for pair in _restore if pair[0].filepath not in new]
        _restore += [(library, n) for library in libraries]
        n = 1
    for library in libraries:
        library.set_num_threads(n)


@lru_cache(maxsize=1)
def _blas():
    """Return this process's BLAS libraries; cached, since finding them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def _after_fork():
    """A forked child has none of its parent's threads, and a lock that nobody will release."""
    global _lock, _holders, _lost_openmp
    _lost_openmp = _lost_openmp or _openmp
    if _holders:
        for library, count in _restore:
            library.set_num_threads(count)
    _lock, _holders = threading.RLock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
