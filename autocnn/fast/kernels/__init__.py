"""What a backend of kernels provides, and which one runs.

There are two backends, the packages ``numpy`` and ``numba``, which export the same functions with
the same signatures. They work on C-contiguous arrays of one dtype, float32 or float64, write into
their output arguments, return sums in float64, and check nothing: callers do. Images are
channels-last, (N, H, W, C); outputs of a convolution or a pool are (N, Ho, Wo, F) or
(N, Ho, Wo, C); matrices are (M, C), one row a pixel. size, stride, padding and dilation are pairs
of ints. Results for equal arguments and equal numbers of threads are equal to the bit.

Matrix products; ``scale`` (F,) may have length 0, for 1; "finish" is y scale + b, then, if
``relu``, max(., 0):

    matmul(x, w, scale, b, y, relu)         y (M, F) = x (M, C) . w (C, F), finished by scale, b
    matmul_nt(x, w, scale, b, y, relu)      y (M, F) = x (M, C) . w^T, w (F, C), finished
    matmul_tn(a, b, out)                    out (A, B) = a^T (A, M) . b (M, B)

Convolutions, finished as a product is:

    conv_patches(x, w, scale, b, y, stride, padding, dilation, relu)
        y = x * w (F, C, kh, kw), not finished for the derivative; returns backward(dy, need_dx) ->
        (dx (N, H, W, C) or None, dw (F, C, kh, kw))
    conv_winograd(x, u, y, scale, b, padding, relu)
        y = x * the 3 x 3 kernels whose transforms are u (16, F, C); padding at most 2
    conv_winograd_backward(dy, x, padding)
        returns du (16, F, C)
    winograd_transform(w, g, swapped, u)
        u (16, F, C) = g (16, 9) . w (F, C, 9); with swapped, u is (16, C, F)
    winograd_transform_backward(du, g, dw)
        dw (F, C, 9) = g^T . du (16, F, C)

Pooling; ``indices``, uint8, is the offset u kw + v of each window's first maximum, and is not
written if its length is 0:

    max_pool(x, y, indices, size, stride, padding)
    max_pool_backward(dy, indices, dx, size, stride, padding)      dx holds zeros before
    avg_pool(x, y, size, stride, padding)                          padding counts as zeros
    avg_pool_backward(dy, dx, size, stride, padding)

Normalization of a matrix; centre, scale and shift are (C,), and with ``relu`` g is dy where y > 0,
else 0; without, g is dy:

    column_sums(x)                          returns sum_m x (C,); for few rows, in x's dtype
    centered_sums(x, centre)                returns sum_m of x - centre and its square, (2, C)
    normalize(x, centre, scale, shift, y, relu)
        y = (x - centre) scale + shift, then, if relu, max(., 0)
    normalize_sums(dy, x, y, centre, relu)
        returns sum_m of g and g (x - centre), (2, C)
    normalize_backward(dy, x, y, centre, s, dx, relu)
        dx = s[0] g + s[1] (x - centre) + s[2], s (3, C)

Elementwise; arrays are flat except where a shape is given:

    add_relu(a, b, y)                       y = max(a + b, 0)
    relu_backward(dy, y, dx)                dx = dy where y > 0, else 0
    relu_bias_backward(dy, y, dx)           the same for (M, F); returns sum_m dx (F,)

Numba's kernels run where Numba is installed and the arrays are large enough to repay its start
(``tuning.NUMBA_MIN_SIZE``), NumPy's otherwise. The environment's AUTOCNN_KERNELS ("numba", "numpy"
or "auto") and ``using`` choose otherwise. The rule looks at sizes alone, so that what ran before
never changes a result.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from types import ModuleType

from autocnn.fast import threadpool
from autocnn.fast.kernels import numpy as numpy_kernels
from autocnn.fast.kernels import tuning
from reference.warn import warn

__all__ = ["is_automatic", "kernels_for", "thread_context", "using", "wants_plans"]

_BACKENDS = ("auto", "numba", "numpy", "onednn")


def _check_backend(kind):
    if kind not in _BACKENDS:
        raise ValueError(f"AUTOCNN_KERNELS must be one of {', '.join(_BACKENDS)}; got {kind!r}")
    if kind == "numba" and not _numba_installed():
        if _jit_disabled():
            raise ValueError(
                "AUTOCNN_KERNELS=numba needs Numba's compiler, which NUMBA_DISABLE_JIT turns off: "
                "unset NUMBA_DISABLE_JIT"
            )
        raise ValueError("AUTOCNN_KERNELS=numba needs Numba: pip install 'autocnn[fast]'")
    return kind


def _jit_disabled():
    return os.environ.get("NUMBA_DISABLE_JIT", "").strip() not in ("", "0")


@lru_cache(maxsize=1)
def _numba_installed():
    try:
        found = (importlib.util.find_spec(name) for name in ("numba", "llvmlite"))
        return not _jit_disabled() and all(spec is not None for spec in found)
    except ImportError:  # an import hook of this process forbids it
        return False


@lru_cache(maxsize=1)
def _numba_kernels():
    try:
        from autocnn.fast.kernels import numba as numba_kernels
    except ImportError as error:  # a Numba that is older than NumPy, for instance
        if _kind == "numba":
            raise ValueError(
                f"AUTOCNN_KERNELS=numba needs Numba, which cannot be imported: {error}"
            ) from error
        warn(
            f"Numba is installed, but cannot be imported ({error}); using the slower NumPy kernels",
            RuntimeWarning,
        )
        return numpy_kernels
    return numba_kernels


_kind = _check_backend(os.environ.get("AUTOCNN_KERNELS") or "auto")


def kernels_for(size: int) -> ModuleType:
    """Return the backend for a call whose largest array has ``size`` numbers."""
    if _kind == "numpy":
        return numpy_kernels
    if _kind != "numba" and (size < tuning.NUMBA_MIN_SIZE or not _numba_installed()):
        return numpy_kernels
    return _numba_kernels()


def wants_plans() -> str:
    """Return when whole networks may be computed by plans: "large" ones, "always", or "" never."""
    return {"auto": "large", "onednn": "always"}.get(_kind, "")


def is_automatic() -> bool:
    """Return whether the kernels are chosen by size and may be compiled: neither NumPy's nor
    Numba's were asked for.
    """
    return _kind == "auto" and _numba_installed()


def thread_context() -> AbstractContextManager:
    """Return a context for all kernel calls of a network's pass, forward or backward.

    BLAS is held at one thread inside, so that its threads do not compete with the kernels' own, and
    the kernels' threads are set up once instead of once a call. BLAS is held even before Numba is
    loaded: what ran before never changes a result. Contexts nest.
    """
    if _kind == "numpy" or not _numba_installed():
        return nullcontext()
    if _numba_kernels.cache_info().currsize and _numba_kernels() is not numpy_kernels:
        return _numba_kernels().thread_context()
    return threadpool.single_threaded_blas()


@contextmanager
def using(kind: str) -> Iterator[None]:
    """Use the "numpy" or "numba" kernels, or choose by size ("auto"), inside a ``with`` block: for
    tests and measurements.
    """
    global _kind
    before, _kind = _kind, _check_backend(kind)
    try:
        yield
    finally:
        _kind = before
