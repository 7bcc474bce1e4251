"""Which kernels run: Numba's where it is installed and the arrays are large enough to repay its start, NumPy's otherwise."""

import importlib.util
import os
from contextlib import contextmanager, nullcontext
from functools import lru_cache

from autocnn.fast import kernels_numpy

__all__ = ["kernels_for", "together", "using"]

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
    from autocnn.fast import kernels_numba

    return kernels_numba


_kind = _known(os.environ.get("AUTOCNN_KERNELS") or "auto")


def kernels_for(size):
    """Return the module of kernels for arrays of ``size`` numbers."""
    if _kind == "numpy" or (_kind == "auto" and (size < SMALL or not _installed())):
        return kernels_numpy
    return _numba()


def together():
    """Return a context for a network's many calls: no BLAS wakes threads of its own between kernels that have theirs."""
    return _numba().crew.together() if _kind != "numpy" and _numba.cache_info().currsize else nullcontext()


@contextmanager
def using(kind):
    """Use "numpy" or "numba" kernels, or choose by size ("auto"), inside a ``with`` block: for tests and measurements."""
    global _kind
    before, _kind = _kind, _known(kind)
    try:
        yield
    finally:
        _kind = before
