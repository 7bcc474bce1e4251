"""Names for functions and data sets: the same in every process, and different for those that may
give other results.
"""

import dis
import functools
import hashlib
import types

import numpy as np

__all__ = ["fingerprint", "name_of"]


def name_of(build):
    """Return a builder's name. A partial's arguments are part of it, as is what an object that can
    be called holds.

    A function from a notebook, a script or another function may be another one the next time, under
    the same name. So a hash of what it does is part of its name: its code, its defaults, what it
    closes over and the global values it reads.
    """
    return _name(build, ())


def fingerprint(data):
    """Return what tells one data set from another: a name, or a sha256 of the four arrays."""
    if data is None or isinstance(data, str):
        return data or "patterns"
    if callable(data):
        return name_of(data)
    arrays = [np.ascontiguousarray(a) for a in (data.x_train, data.y_train, data.x_val, data.y_val)]
    digest = hashlib.sha256(repr([(a.shape, str(a.dtype)) for a in arrays]).encode())
    for a in arrays:
        digest.update(a)
    return digest.hexdigest()


def _name(build, above):
    if isinstance(build, functools.partial):
        given = [_plain(v, above) for v in build.args]
        given += [f"{k}={_plain(v, above)}" for k, v in build.keywords.items()]
        return f"{_name(build.func, above)}({', '.join(given)})"
    if isinstance(build, types.MethodType):
        return f"{_plain(build.__self__, above)}.{_name(build.__func__, above)}"
    if not hasattr(build, "__qualname__"):  # an object with __call__
        return _plain(build, above)
    name, code, module = (
        build.__qualname__,
        getattr(build, "__code__", None),
        getattr(build, "__module__", None),
    )
    if (
        module and module != "__main__" and module.partition(".")[0] != "autocnn"
    ):  # two files may have a function of one name
        name = f"{module}.{name}"
    if code is not None and (
        "<" in f"{name} {code.co_qualname}" or build.__globals__.get("__name__") == "__main__"
    ):
        if build in above:  # it calls itself
            return name
        name += f" {hashlib.sha256(_does(build, code, (*above, build)).encode()).hexdigest()[:8]}"
    return name


def _does(function, code, above):
    """What a function does, in words that are equal for equal functions only."""
    cells = [_cell(cell, above) for cell in function.__closure__ or ()]
    reads = {
        name: function.__globals__[name]
        for name in sorted(_globals(code))
        if name in function.__globals__
    }
    return _plain((code, function.__defaults__, function.__kwdefaults__, cells, reads), above)


def _cell(cell, above):
    try:
        return _plain(cell.cell_contents, above)
    except ValueError:  # nothing has been put there yet
        return "empty"


def _globals(code):
    """The names of the globals that a function's code reads, that of the functions within it
    included.
    """
    found = {
        step.argval
        for step in dis.get_instructions(code)
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    return found.union(
        *(_globals(part) for part in code.co_consts if isinstance(part, types.CodeType))
    )


def _plain(value, above):
    """A value in words that hold no address and do not depend on the order of a set."""
    if any(value is one for one in above):
        return "..."
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return (
            f"array {value.shape} {value.dtype} {hashlib.sha256(value.tobytes()).hexdigest()[:16]}"
        )
    inside = (*above, value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_plain(k, inside)}: {_plain(v, inside)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({', '.join(_plain(v, inside) for v in value)})"
    if isinstance(value, (set, frozenset)):
        return f"{type(value).__name__}({', '.join(sorted(_plain(v, inside) for v in value))})"
    if isinstance(value, types.CodeType):
        return _plain((value.co_code, value.co_names, value.co_consts), inside)
    if isinstance(value, (functools.partial, types.MethodType)) or hasattr(value, "__code__"):
        return _name(value, above)
    if name := getattr(value, "__name__", None):  # a module, a class, a builtin
        return str(name)
    if type(value).__repr__ is object.__repr__:
        return f"{type(value).__qualname__}{_plain(getattr(value, '__dict__', {}), inside)}"
    return repr(value)
