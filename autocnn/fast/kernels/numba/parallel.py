"""Threads of the compiled kernels: each kernel is one call, whose blocks a crew of threads shares
out.

A kernel runs without the interpreter's lock from its first block to its last, products included:
Numba calls SciPy's BLAS by itself. Between two kernels the threads of OpenMP stay awake for a
moment, so that the next one starts within microseconds, where a sleeping thread takes a tenth of a
millisecond to wake.

``num_threads`` is how many threads share a kernel. BLAS is held at one thread each meanwhile: its own
threads would also stay awake, and take turns with ours on the same cores.
"""

import functools
import importlib
import inspect
import os
import threading
from contextlib import contextmanager

import numba
import numpy as np
from numba import njit, types

from autocnn.fast import threadpool
from autocnn.fast.kernels.numba.cache import callback, forget_older, spared

__all__ = ["jit", "num_threads", "parallel_kernel", "thread_context"]

OPTIONS = dict(nogil=True, error_model="numpy")

forget_older(os.path.dirname(__file__))
_forked = False


def jit(f, **more):
    """Compile a function and keep the result on disk, if that can be."""
    try:
        return spared(njit(cache=True, **OPTIONS, **more)(f))
    except RuntimeError:  # no folder can be written to: compile anew in each process
        return njit(**OPTIONS, **more)(f)


def parallel_kernel(f):
    """Make a kernel of ``f(thread, num_threads, *args)``, which does the share of one thread among so many.
    The kernel takes ``args``.

    They are contiguous arrays, ints and bools. An array with a part for each thread says how many
    there are by ``num_threads=``: it may be that somebody sets another number of threads meanwhile.
    """
    shares = {}

    @functools.wraps(f)
    def kernel(*args, num_threads=None):
        kinds = tuple(map(_kind, args))
        share = shares.get(kinds)
        if share is None:
            share = shares[kinds] = _Share(
                f, types.void(types.int64, types.int64, *map(numba.typeof, args))
            )
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
    (_on_threads if n > 1 else _alone)(n, share, *args)


def _kind(value):
    """What decides how a value is compiled; quicker than Numba's ``typeof``."""
    if type(value) is np.ndarray:
        return value.dtype.char, value.ndim, value.flags.writeable, value.flags.c_contiguous
    return type(value)


class _Share(types.WrapperAddressProtocol):
    """A compiled function of one signature, by its address.

    Called that way, it is compiled once. Called by its name, it would be compiled into each of its
    callers as well, and into their loops for threads, which takes four times as long.
    """

    def __init__(self, f, signature):
        self.function = callback(f, signature, **OPTIONS)
        self.types, self._numba_type_ = signature, types.FunctionType(signature)

    def __wrapper_address__(self):
        return self.function.address

    def signature(self):
        return self.types


def _alone(num_threads, share, *args):
    for thread in range(num_threads):
        share(thread, num_threads, *args)


def _on_threads(num_threads, share, *args):
    for thread in numba.prange(num_threads):
        share(np.int64(thread), num_threads, *args)


_alone, _on_threads = jit(_alone), jit(_on_threads, parallel=True)


class _Local(threading.local):
    ready = False


_local = _Local()


@contextmanager
def thread_context():
    """Hold BLAS at one thread and Numba at ours, for one kernel or for all of a network."""
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


def num_threads():
    """Return how many threads share a kernel."""
    return threadpool.num_threads() if not _forked and _layer() else 1


@functools.cache
def _layer():
    """Say whether Numba has threads that several callers can use at a time: those of OpenMP or of
    TBB.

    Its third kind ends the process when two callers meet; where there is no other (or the
    environment asks for it), kernels run on one thread.
    """
    if numba.config.THREADING_LAYER == "workqueue":
        return False
    for layer in ("omppool", "tbbpool"):
        try:
            importlib.import_module(f"numba.np.ufunc.{layer}")
        except ImportError:
            continue
        return True
    return False


def _forget():
    """GNU's OpenMP does not survive a fork: the child's kernels run on one thread."""
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
