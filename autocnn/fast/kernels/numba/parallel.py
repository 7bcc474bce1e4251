"""Kernels on several threads: each kernel is one call, whose blocks a pool of threads shares.

A kernel runs without the interpreter's lock from its first block to its last, products included:
Numba calls SciPy's BLAS directly. Between two kernels OpenMP's threads stay awake for a moment, so
that the next one starts within microseconds, where a sleeping thread takes a tenth of a millisecond
to wake. BLAS is held at one thread meanwhile: its own threads would also stay awake, and compete
with the kernels' for the same cores.
"""

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numba
import numpy as np
from numba import types

from autocnn.fast import threadpool
from autocnn.fast.kernels.numba.compiler import CompiledFunction, has_reentrant_threads, jit

__all__ = ["jit", "num_threads", "parallel_kernel", "thread_context"]

threadpool.starts_openmp()


def parallel_kernel(f: Callable) -> Callable:
    """Make the kernel ``k(*args)`` of ``f(thread, num_threads, *args)``, which does one thread's
    share of the work.

    ``args`` are contiguous arrays, ints and bools. A kernel that is given an array with one part a
    thread must be called with ``num_threads=`` their number: another thread of Python may change
    ``num_threads()`` between the array's creation and the call.
    """
    compiled = {}

    @functools.wraps(f)
    def kernel(*args, num_threads=None):
        key = tuple(map(_signature_key, args))
        share = compiled.get(key)
        if share is None:
            signature = types.void(types.int64, types.int64, *map(numba.typeof, args))
            share = compiled[key] = CompiledFunction(f, signature)
        if _local.ready:
            _run(share, args, num_threads)
        else:
            with thread_context():
                _run(share, args, num_threads)

    signature = inspect.signature(f)
    kernel.__signature__ = signature.replace(parameters=[*signature.parameters.values()][2:])
    return kernel


def _run(share, args, n):
    n = num_threads() if n is None else n
    run = _on_threads if n > 1 else _on_caller
    run(n, share, *args)


def _signature_key(value):
    """Return what decides how a value is compiled; quicker than Numba's ``typeof``."""
    if type(value) is np.ndarray:
        return value.dtype.char, value.ndim, value.flags.writeable, value.flags.c_contiguous
    return type(value)


def _on_caller(num_threads, share, *args):
    for thread in range(num_threads):
        share(thread, num_threads, *args)


def _on_threads(num_threads, share, *args):
    for thread in numba.prange(num_threads):
        share(np.int64(thread), num_threads, *args)


_on_caller, _on_threads = jit(_on_caller), jit(_on_threads, parallel=True)


class _Local(threading.local):
    ready = False  # whether this thread of Python is inside thread_context()


_local = _Local()


@contextmanager
def thread_context() -> Iterator[None]:
    """Hold BLAS at one thread and set Numba's number of threads to ours; contexts nest."""
    if _local.ready:
        yield
        return
    with threadpool.single_threaded_blas():
        before = numba.get_num_threads()
        numba.set_num_threads(min(num_threads(), numba.config.NUMBA_NUM_THREADS))
        _local.ready = True
        try:
            yield
        finally:
            _local.ready = False
            numba.set_num_threads(before)


def num_threads() -> int:
    """Return how many threads share a kernel: 1 where several callers could not use Numba's threads
    at a time, and in a forked process, which has none.
    """
    if threadpool.lost_openmp() or not has_reentrant_threads():
        return 1
    return threadpool.num_threads()
