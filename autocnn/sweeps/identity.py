"""Names by which a results file recognises its sweep: of the function that builds the network, and
of the data.

A name must be the same in every process and on every machine, and differ for functions that may
give other results. A function that Python can import is named by its module and qualified name, and
a hash of its source. Anything else (a lambda, a closure, an object) needs ``sweep(..., name=...)``.
"""

import functools
import hashlib
import inspect
import os
import pkgutil
import re
import sysconfig
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autocnn.data.dataset import Dataset

__all__ = ["NeedsName", "data_name", "function_name", "without_hashes"]

OWN_PACKAGES = ("autocnn", "reference")
ATOMS = str | int | float | complex | bool | bytes | None


class NeedsName(ValueError):
    """Nothing tells this function from another one in a later process."""


def function_name(function: Callable, _seen: tuple = ()) -> str:
    """Return the name of a function, class or ``functools.partial``.

    For example "tiny_cnn(nn=reference)", or "nets.build 1f0c93ab" for ``build`` in nets.py. The
    hash covers the function's source and the global values that it reads, functions included.
    Functions of autocnn and of the standard library have no hash. Raises ``NeedsName`` for
    functions that cannot be imported by name, or whose source is unknown.
    """
    if isinstance(function, functools.partial):
        arguments = [_value_name(value, _seen) for value in function.args]
        arguments += [f"{k}={_value_name(v, _seen)}" for k, v in function.keywords.items()]
        return f"{function_name(function.func, _seen)}({', '.join(arguments)})"
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    if not _is_importable(function, module, name):
        shown = name or type(function).__name__
        raise NeedsName(f"{shown} is not a function that Python can import by name")
    if module.partition(".")[0] in OWN_PACKAGES:
        return name
    if module != "__main__":
        name = f"{module}.{name}"
    try:
        source, file = inspect.getsource(function), inspect.getsourcefile(function) or ""
    except (OSError, TypeError):
        raise NeedsName(f"the source of {name} is not known") from None
    standard = file.startswith(sysconfig.get_path("stdlib")) and "site-packages" not in file
    if standard or function in _seen:  # in _seen: it calls itself
        return name
    reads = [(n, _value_name(v, (*_seen, function))) for n, v in _globals_read(function)]
    return f"{name} {hashlib.sha256(repr((source, reads)).encode()).hexdigest()[:8]}"


def without_hashes(name: str) -> str:
    """Return a name as the previous version wrote it: an importable function had no hash."""
    return re.sub(r" [0-9a-f]{8}(?![0-9a-f])", "", name)


def data_name(data: Dataset | str | Callable | None) -> str:
    """Return the name of a sweep's data: a data set's own name, "patterns" for None, a function's
    ``function_name``, or the sha256 of a ``Dataset``'s four arrays with their shapes and dtypes.
    """
    if data is None or isinstance(data, str):
        return data or "patterns"
    if callable(data):
        return function_name(data)
    arrays = [np.ascontiguousarray(a) for a in (data.x_train, data.y_train, data.x_val, data.y_val)]
    digest = hashlib.sha256(repr([(a.shape, str(a.dtype)) for a in arrays]).encode())
    for a in arrays:
        digest.update(a)
    return digest.hexdigest()


def _is_importable(function: Any, module: str, name: str) -> bool:
    try:
        return bool(name) and pkgutil.resolve_name(f"{module}:{name}") is function
    except (ImportError, AttributeError, ValueError):
        return False


def _globals_read(function: Any) -> Iterator[tuple[str, Any]]:
    function = inspect.unwrap(function)
    if isinstance(function, types.FunctionType):
        for name in sorted(_names(function.__code__) & function.__globals__.keys()):
            yield name, function.__globals__[name]


def _names(code: types.CodeType) -> set[str]:
    inner = [_names(part) for part in code.co_consts if isinstance(part, types.CodeType)]
    return set(code.co_names).union(*inner)


def _value_name(value: Any, seen: tuple) -> str:
    """Return the name of an argument or global value, equal in every process."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, list | tuple):
        return f"{type(value).__name__}({', '.join(_value_name(v, seen) for v in value)})"
    if isinstance(value, dict):
        pairs = (f"{_value_name(k, seen)}: {_value_name(v, seen)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, ATOMS | os.PathLike):
        return repr(value)
    if isinstance(value, types.BuiltinFunctionType | np.ufunc):
        return str(value.__name__)
    return function_name(value, seen)
