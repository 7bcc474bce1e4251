"""Compiled kernels are kept on disk where that is possible; where it is not, they are compiled
anew in each process.
"""

import contextlib
import functools
import pickle
from pathlib import Path

import numba
from numba.core import event

from autocnn.fast import compiling

__all__ = ["callback", "forget_older", "spared"]

# A RuntimeError is Numba's "no folder can be written to", or "no compiled object yet": Ctrl-C fell
# into an earlier attempt, and this process goes on.
OUT_OF_REACH = OSError, EOFError, pickle.UnpicklingError, RuntimeError


class _Notice(event.Listener):
    """Tells that something is being compiled: what comes from disk goes through no pass of the
    compiler.
    """

    def on_start(self, event):
        compiling.notify()

    def on_end(self, event):
        """Not asked for."""


event.register("numba:run_pass", _Notice())


def callback(f, signature, **options):
    """Compile ``f`` for callers that know its address and ``signature``, from its file if there
    is one.
    """
    try:
        return numba.cfunc(signature, cache=True, **options)(f)
    except OUT_OF_REACH:
        return numba.cfunc(signature, **options)(f)


def forget_older(folder):
    """Drop what was compiled before the newest file of ``folder`` was written.

    Numba compares a kernel with its own file alone, but a kernel holds code of other files as well:
    that of what it calls.
    """
    folder = Path(folder)
    with contextlib.suppress(OSError):
        newest = max((path.stat().st_mtime for path in folder.glob("*.py")), default=0)
        for index in (folder / "__pycache__").glob("*.nbi"):
            if index.stat().st_mtime < newest:
                index.unlink()


def spared(kernel):
    """Let a compiled kernel do without its file, should the disk be full or the file damaged or
    out of reach. Returns it.
    """
    cache = getattr(kernel, "_cache", None)
    for name in ("load_overload", "save_overload"):
        if hasattr(cache, name):
            setattr(cache, name, _forgiving(getattr(cache, name)))
    return kernel


def _forgiving(method):
    @functools.wraps(method)
    def attempt(*args, **options):
        try:
            return method(*args, **options)
        except OUT_OF_REACH:
            return None  # which stands for a kernel that is not on disk

    return attempt
