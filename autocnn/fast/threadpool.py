"""Threads: one knob, for BLAS and for the compiled kernels alike."""

import os
import threading
from contextlib import contextmanager
from functools import lru_cache

from autocnn.ops.arguments import whole

__all__ = ["num_threads", "refresh", "single_threaded", "single_threaded_blas", "threads"]

_lock = threading.RLock()
_count = None
_holders = 0
_before: list = []


class _Here(threading.local):
    alone = False


_here = _Here()


def threads(n=None):
    """Return how many threads the kernels and BLAS use; with ``n``, set it for the process.

    The default is the environment's AUTOCNN_THREADS, or else what BLAS has been given
    (OPENBLAS_NUM_THREADS and its like). Equal numbers give equal results, to the bit.
    """
    global _count
    if n is None and _count is not None:
        return _count
    with _lock:
        if n is not None:
            n = whole(n, "threads")
            _blas.cache_clear()
            _give(_blas(), n)
            _count = n
        elif _count is None:
            asked = os.environ.get("AUTOCNN_THREADS", "").strip()
            if asked:
                if not asked.isdigit() or int(asked) == 0:
                    raise ValueError(
                        f"AUTOCNN_THREADS must be a number of threads, 1 or more, such as 2; got {asked!r}"
                    )
                threads(int(asked))
            else:
                _count = max([library.get_num_threads() for library in _blas()], default=1)
        return _count


def refresh():
    """Take notice of a BLAS library that was loaded since the last look: SciPy, for instance,
    brings one of its own.
    """
    with _lock:
        known = {library.filepath for library in _blas()}
        _blas.cache_clear()
        for library in _blas():
            if library.filepath not in known:
                _give([library], library.get_num_threads() if _count is None else _count)


def _give(libraries, n):
    """Let libraries have n threads; those that are held, as soon as they are not."""
    global _before
    if _holders:
        given = {library.filepath for library in libraries}
        _before = [pair for pair in _before if pair[0].filepath not in given] + [
            (library, n) for library in libraries
        ]
        n = 1
    for library in libraries:
        library.set_num_threads(n)


@contextmanager
def single_threaded_blas():
    """Hold BLAS at one thread, for the kernels that multiply on threads of their own; and give
    it back its number.
    """
    global _holders, _before
    threads()  # while BLAS still says how many it has been given
    with _lock:
        _holders += 1
        if _holders == 1:
            _before = [(library, library.get_num_threads()) for library in _blas()]
            for library, _ in _before:
                library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if _holders == 0:
                for library, count in _before:
                    library.set_num_threads(count)


@contextmanager
def single_threaded():
    """Let whatever this thread of Python computes have one thread: where there are many of its
    kind, as in a sweep.
    """
    before = _here.alone
    with single_threaded_blas():
        _here.alone = True
        try:
            yield
        finally:
            _here.alone = before


def num_threads():
    """Return how many threads a kernel may have that is called from here."""
    return 1 if _here.alone else threads()


@lru_cache(maxsize=1)
def _blas():
    """The BLAS libraries in this process, as threadpoolctl finds them; kept, since finding them
    takes milliseconds.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas").lib_controllers


def _forget():
    """A forked child has none of its parent's threads, and a lock that nobody will release."""
    global _lock, _holders
    if _holders:
        for library, count in _before:
            library.set_num_threads(count)
    _lock, _holders = threading.RLock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
