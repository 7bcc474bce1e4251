"""Arguments of the checked functions: nested ones laid flat, signatures read, mistakes answered."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import places
from autocnn.gradcheck.pytrees import flatten

__all__ = [
    "INPUTS",
    "TARGETS",
    "flatten",
    "is_scalar",
    "label_of",
    "positional",
    "reachable_arrays",
    "require_arguments",
    "require_callable",
]

#: Names of arguments that are data in a loss: not differentiated when no gradient comes for them.
TARGETS = frozenset(
    [
        "t",
        "y",
        "target",
        "targets",
        "label",
        "labels",
        "truth",
        "y_true",
        "ytrue",
        "y_train",
        "one_hot",
        "onehot",
        "mask",
        "masks",
        "sample_weight",
        "weights_of_samples",
        "dropout_mask",
        "gold",
        "gt",
    ]
)
INPUTS = frozenset(
    [
        "x",
        "xs",
        "inputs",
        "input",
        "data",
        "features",
        "batch",
        "images",
        "x_train",
        "train",
        "samples",
    ]
)


def label_of(function: Callable) -> str:
    """Return the name by which a report speaks of a function or callable object."""
    return getattr(function, "__name__", type(function).__name__)


def is_scalar(y: Any) -> bool:
    """True for numbers and arrays of no axes (and of one entry)."""
    return (
        not isinstance(y, str | bytes | dict | tuple | list)
        and np.shape(y) == ()
        and (np.asarray(y).dtype.kind in "fciub")
    )


def require_callable(f: Any, what: str) -> None:
    """Raise ValueError when `f`, which should be `what`, cannot be called."""
    if not callable(f):
        hint = ": pass the function itself, not what it returned" if isinstance(f, tuple) else ""
        raise ValueError(
            f"expected a function {what}, got {type(f).__name__} {str(f)[:40]!r}{hint}"
        )


def require_arguments(f: Callable, arrays: dict[str, Any]) -> None:
    """Raise ValueError when `f` does not take these names."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):  # a builtin: the call itself will tell
        return
    try:
        signature.bind(**arrays)
    except TypeError as error:
        takes = ", ".join(map(str, signature.parameters.values())) or "no arguments"
        given = ", ".join(arrays) or "none"
        raise ValueError(f"{label_of(f)} takes ({takes}), got {given}: {error}") from error


def positional(f: Callable) -> tuple[list[inspect.Parameter], bool] | None:
    """(the positional parameters of f, whether it takes any number), or None for builtins."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    several = any(p.kind == inspect.Parameter.VAR_POSITIONAL for p in parameters)
    return [p for p in parameters if p.kind in kinds], several


def reachable_arrays(functions: tuple, arguments: dict[str, Any]) -> tuple[str, ...]:
    """Names of the float arrays that functions close over or read from their module, the given
    arguments excluded."""
    known = {id(v) for v in arguments.values()}
    found: dict[str, None] = {}
    for f in functions:
        for root in (f, places.globals_of(f)):
            for place in places.walk(root, depth=4):
                if places.is_float_array(place.array) and id(place.array) not in known:
                    found[place.name.removeprefix("self.")] = None
    return tuple(n for n in found if n)
