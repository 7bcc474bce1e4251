"""Which kernels run: Numba's where it is installed and the arrays are large enough to repay its start, NumPy's otherwise."""

import importlib.util
import os
import pickle
from contextlib import contextmanager
from functools import lru_cache, wraps

from autocnn.fast import numpy_kernels

__all__ = ["kernels_for", "using"]

# Numba takes half a second to load. Arrays of fewer numbers than this go through NumPy, so that a run of a tiny network is
# over before Numba would have been there. The rule looks at sizes alone: what ran before never changes a result.
SMALL = 2**15

_KINDS = ("auto", "numba", "numpy")


def _known(kind):
    if kind not in _KINDS:
        raise ValueError(f"AUTOCNN_KERNELS must be one of {', '.join(_KINDS)}; got {kind!r}")
    if kind == "numba" and not _installed():
        raise ValueError("AUTOCNN_KERNELS=numba needs Numba: pip install 'autocnn[fast]'")
    return kind


@lru_cache(maxsize=1)
def _installed():
    return importlib.util.find_spec("numba") is not None


@lru_cache(maxsize=1)
def _numba():
    from autocnn.fast import numba_kernels

    for kernel in vars(numba_kernels).values():
        _spare_cache(kernel)
    return numba_kernels


def _spare_cache(kernel):
    """Let a compiled kernel do without its file on disk, where the disk is full or the file damaged or out of reach."""
    cache = getattr(kernel, "_cache", None)
    for name in ("load_overload", "save_overload"):
        method = getattr(cache, name, None)
        if method is not None:
            setattr(cache, name, _spared(method))


def _spared(method):
    @wraps(method)
    def attempt(*args, **options):
        try:
            return method(*args, **options)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None  # which stands for a kernel that is not in the cache

    return attempt


_kind = _known(os.environ.get("AUTOCNN_KERNELS") or "auto")


def kernels_for(size):
    """Return the module of kernels for arrays of ``size`` numbers."""
    if _kind == "numpy" or (_kind == "auto" and (size < SMALL or not _installed())):
        return numpy_kernels
    return _numba()


@contextmanager
def using(kind):
    """Use "numpy" or "numba" kernels, or choose by size ("auto"), inside a ``with`` block: for tests and measurements."""
    global _kind
    before, _kind = _kind, _known(kind)
    try:
        yield
    finally:
        _kind = before
