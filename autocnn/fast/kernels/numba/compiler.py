"""Compile functions with Numba and keep the results: the one page that uses Numba's private parts.

Numba's own cache (``cache=True``) is not used. It keeps files beside the installed package, where
they outlive an uninstall; it compares a kernel with its own source file alone, though a kernel
holds code of other files too; and its index loses entries when two processes write to it. What
replaces it has the interface of ``numba.core.caching._Cache``. The private parts are that class,
``_cache`` of a dispatcher and of a ``CFunc``, ``CompileResult._reduce`` and ``_rebuild``, and the
names of the threading layers' modules.
"""

import functools
import hashlib
import importlib
import pickle
from collections.abc import Callable
from types import ModuleType

import numba
from numba import types
from numba.core import sigutils
from numba.core.caching import _Cache
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from autocnn.fast import compiling
from autocnn.fast.kernels.numba import cache

__all__ = ["CompiledFunction", "fingerprint", "has_reentrant_threads", "jit"]

OPTIONS = dict(nogil=True, error_model="numpy")


def jit(f: Callable, **options):
    """Compile f for callers in Numba and in Python, at its first call with each signature."""
    dispatcher = numba.njit(**OPTIONS, **options)(f)
    dispatcher._cache = _DiskCache(f, options)
    return dispatcher


class CompiledFunction(types.WrapperAddressProtocol):
    """A function of one signature, compiled, and called by its address.

    Called that way, it is compiled once. Called by its name, it would be compiled into each of its
    callers as well, and into their loops over threads, which takes four times as long.
    """

    def __init__(self, f, signature):
        self._function = CFunc(f, sigutils.normalize_signature(signature), {}, dict(OPTIONS))
        self._function._cache = _DiskCache(f, {})
        self._function.compile()
        self._signature, self._numba_type_ = signature, types.FunctionType(signature)

    def __wrapper_address__(self):
        return self._function.address

    def signature(self):
        return self._signature


@functools.cache
def fingerprint(f: Callable) -> str:
    """Return a hash of what f compiles to: its bytecode and constants, and those of the compiled
    functions that it calls. Docstrings, comments and line numbers do not count.
    """
    code = f.__code__
    constants = list(code.co_consts)
    if f.__doc__ is not None:
        constants[0] = None  # in place of the docstring
    parts = [code.co_code, constants, code.co_varnames, code.co_names]
    for name in code.co_names:
        value = f.__globals__.get(name)
        if hasattr(value, "py_func"):
            parts.append(fingerprint(value.py_func))
        elif isinstance(value, int | float):
            parts.append(value)
        elif isinstance(value, ModuleType) and value.__name__.startswith("autocnn"):
            raise TypeError(
                f"{f.__qualname__} is compiled and reads {name}, a module whose values would not "
                f"be part of its fingerprint: import them by name from {value.__name__}"
            )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


class _DiskCache(_Cache):
    """Entries of one function, in ``cache``."""

    cache_path = None

    def __init__(self, f, options):
        self._function, self._options = f, options

    def load_overload(self, sig, target_context):
        target_context.refresh()
        content = cache.read(self._entry(sig, target_context.codegen()))
        if content is None:
            compiling.notify()
            return None
        return CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, sig, data):
        if data.library.has_dynamic_globals:  # holds addresses of this process
            return
        try:
            content = dumps(data._reduce())
        except RuntimeError:  # "no compiled object yet": Ctrl-C fell into an earlier attempt
            return
        cache.write(self._entry(sig, data.codegen), content)

    def _entry(self, sig, codegen):
        f, options = self._function, OPTIONS | self._options
        return f"{f.__qualname__} {fingerprint(f)} {sig} {options} {codegen.magic_tuple()}"

    def enable(self):
        """Do nothing: required by ``_Cache``."""

    def disable(self):
        """Do nothing: required by ``_Cache``."""

    def flush(self):
        """Do nothing: required by ``_Cache``."""


@functools.cache
def has_reentrant_threads() -> bool:
    """Return whether Numba has threads that several callers can use at a time: OpenMP's or TBB's.

    Its third kind, "workqueue", ends the process when two callers meet.
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
