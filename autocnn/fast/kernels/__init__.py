"""Which kernels run: Numba's where it is installed and the arrays are large enough to repay its
start, NumPy's otherwise.
"""

import importlib.util
import os
import warnings
from contextlib import contextmanager, nullcontext
from functools import lru_cache

from autocnn.fast import threadpool as workers
from autocnn.fast.kernels import numpy as kernels_numpy

__all__ = ["kernels_for", "together", "using"]

# Numba takes half a second to load. Arrays of fewer numbers than this go through NumPy, so that a
# run of a tiny network is over before Numba would have been there. The rule looks at sizes alone:
# what ran before never changes a result.
SMALL = 2**15

_KINDS = ("auto", "numba", "numpy")


def _known(kind):
    if kind not in _KINDS:
        raise ValueError(f"AUTOCNN_KERNELS must be one of {', '.join(_KINDS)}; got {kind!r}")
    if kind == "numba" and not _installed():
        if _disabled():
            raise ValueError(
                "AUTOCNN_KERNELS=numba needs Numba's compiler, which NUMBA_DISABLE_JIT turns off: unset that"
            )
        raise ValueError("AUTOCNN_KERNELS=numba needs Numba: pip install 'autocnn[fast]'")
    return kind


def _disabled():
    return os.environ.get("NUMBA_DISABLE_JIT", "").strip() not in ("", "0")


@lru_cache(maxsize=1)
def _installed():
    try:
        return not _disabled() and importlib.util.find_spec("numba") is not None
    except ImportError:  # something in this process forbids it
        return False


@lru_cache(maxsize=1)
def _numba():
    try:
        from autocnn.fast.kernels import numba as kernels_numba
    except ImportError as error:  # a Numba that is older than NumPy, for instance
        if _kind == "numba":
            raise ValueError(
                f"AUTOCNN_KERNELS=numba needs Numba, which cannot be imported: {error}"
            ) from error
        slower = "NumPy's kernels run in its place, which takes longer"
        warnings.warn(
            f"Numba is installed, but cannot be imported ({error}); {slower}",
            RuntimeWarning,
            stacklevel=2,
        )
        return kernels_numpy
    return kernels_numba


_kind = _known(os.environ.get("AUTOCNN_KERNELS") or "auto")


def kernels_for(size):
    """Return the module of kernels for arrays of ``size`` numbers."""
    if _kind == "numpy" or (_kind == "auto" and (size < SMALL or not _installed())):
        return kernels_numpy
    return _numba()


def together():
    """Return a context for a network's many calls: no BLAS wakes threads of its own between kernels
    that have theirs.

    It does so whether or not Numba has been loaded by then: what ran before never changes a result.
    """
    if _kind == "numpy" or not _installed():
        return nullcontext()
    loaded = _numba() if _numba.cache_info().currsize else None
    return loaded.crew.together() if hasattr(loaded, "crew") else workers.held()


@contextmanager
def using(kind):
    """Use "numpy" or "numba" kernels, or choose by size ("auto"), inside a ``with`` block: for
    tests and measurements.
    """
    global _kind
    before, _kind = _kind, _known(kind)
    try:
        yield
    finally:
        _kind = before
