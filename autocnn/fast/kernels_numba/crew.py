"""Threads of the compiled kernels: each kernel is one call, whose blocks a crew of threads shares out.

A kernel runs without the interpreter's lock from its first block to its last, products included: Numba calls SciPy's BLAS by
itself. Between two kernels the threads of OpenMP stay awake for a moment, so that the next one starts within microseconds,
where a sleeping thread takes a tenth of a millisecond to wake.

``hands`` is how many threads share a kernel. BLAS is held at one thread each meanwhile: its own threads would also stay awake,
and take turns with ours on the same cores.
"""

import functools
import importlib
import os
import threading
import types
from contextlib import contextmanager

import numba
from numba import njit

from autocnn.fast import workers
from autocnn.fast.kernels_numba.disk import spared

__all__ = ["compiled", "hands", "shared", "together"]

OPTIONS = dict(nogil=True, error_model="numpy")
PRANGE_ALONE = dict(prange=True, comprehension=False, reduction=False, setitem=False, numpy=False, stencil=False, fusion=False)

_forked = False


def compiled(f, **more):
    """Compile a function and keep the result on disk, if that can be."""
    try:
        return spared(njit(cache=True, **OPTIONS, **more)(f))
    except RuntimeError:  # no folder can be written to: compile anew in each process
        return njit(**OPTIONS, **more)(f)


def shared(f):
    """Make a kernel of ``f(*args, hands)``, whose loops ``for hand in prange(hands)`` are shared out among threads.

    The kernel is called without ``hands``. For one thread there is a version of its own, which starts no others.
    """
    alone, on_threads = compiled(f), compiled(_renamed(f, f.__qualname__ + "_on_threads"), parallel=PRANGE_ALONE)

    @functools.wraps(f)
    def kernel(*args):
        n = hands()
        run = alone if n == 1 else on_threads
        if _local.ready:
            return run(*args, n)
        with together():
            return run(*args, n)

    return kernel


class _Local(threading.local):
    ready = False


_local = _Local()


@contextmanager
def together():
    """Hold BLAS at one thread and Numba at ours, for one kernel or for all of a network."""
    if _local.ready:
        yield
        return
    with workers.held():
        before = numba.get_num_threads()
        numba.set_num_threads(min(hands(), numba.config.NUMBA_NUM_THREADS))
        _local.ready = True
        try:
            yield
        finally:
            _local.ready = False
            numba.set_num_threads(before)


def _renamed(f, name):
    """The same function under another name: Numba's files are told apart by it, and not by how a function was compiled."""
    twin = types.FunctionType(f.__code__, f.__globals__, name, f.__defaults__, f.__closure__)
    twin.__qualname__, twin.__module__, twin.__doc__ = name, f.__module__, f.__doc__
    return twin


def hands():
    """Return how many threads share a kernel."""
    return workers.threads() if not _forked and _layer() else 1


@functools.cache
def _layer():
    """Say whether Numba has threads that several callers can use at a time: those of OpenMP or of TBB.

    Its third kind ends the process when two callers meet; where there is no other (or the environment asks for it), kernels
    run on one thread.
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
