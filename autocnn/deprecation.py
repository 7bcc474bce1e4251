"""Old public names: they keep working for one version, with a DeprecationWarning that names the
new one.

    # in a module whose Moment is now autocnn.training.TrainState
    __getattr__ = renamed_names(__name__, {"Moment": "autocnn.training.TrainState"})

    @renamed_arguments(measured="metric_subset")
    def train(params, data, *, metric_subset=None): ...
"""

import functools
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

from reference.warn import warn

__all__ = ["renamed_arguments", "renamed_names", "renamed_property", "warn_renamed"]


def warn_renamed(old: str, new: str) -> None:
    """Warn that ``old`` is now called ``new``, at the user's line."""
    warn(
        f"{old} is deprecated and will be removed in the next version: use {new}",
        DeprecationWarning,
    )


def renamed_names(module: str, renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module some of whose names are now found elsewhere.

    module: the module's ``__name__``. renamed: {old name: full dotted name of what it is now},
    which may be in the same module, in another one, or be a module. Nothing is imported before an
    old name is used. Any other name is an AttributeError, as usual.
    """

    def __getattr__(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", renamed[name])
        return pkgutil.resolve_name(renamed[name])

    return __getattr__


def renamed_arguments(**renamed: str) -> Callable[[Callable], Callable]:
    """Decorate a function some of whose keyword arguments have new names: ``old="new"``.

    ``help`` and ``inspect.signature`` show the new names only. TypeError when a call gives both.
    """

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            for old in renamed.keys() & kwargs.keys():
                new = renamed[old]
                if new in kwargs:
                    raise TypeError(
                        f"{function.__name__}() got both {new}= and {old}=, its old name"
                    )
                warn_renamed(f"{function.__name__}({old}=...)", f"{new}=")
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def renamed_property(old: str, new: str) -> property:
    """Return a read-only property under the name ``old`` that reads the attribute ``new``."""

    def read(self: Any) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", f".{new}")
        return getattr(self, new)

    return property(read, doc=f"Deprecated: use ``{new}``.")
