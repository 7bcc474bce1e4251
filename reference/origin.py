"""Which network drew an array of parameters: a note beside the array, never inside it.

Parameters are plain trees of plain arrays, so they cannot say where they come from. ``init`` of a
layer notes it here, by the identity of each array, for as long as that array lives. Equal numbers
are no evidence, since networks of equal shapes draw equal numbers from equal keys: a copy of an
array, or one that was read from a file, has no origin until someone notes it.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from reference.warn import warn

__all__ = ["draw", "origin_of", "remember"]

_SEVERAL = object()  # networks that return one and the same array
_notes: dict[int, tuple[weakref.ref, Any]] = {}
_running = threading.local()  # how many ``init`` are inside one another in this thread


def draw(model: Any, init: Callable, key: Any, shape: Any, dtype: Any) -> tuple:
    """Return ``init(key, shape, dtype)`` and note that ``model`` drew its parameters.

    Where a network's ``init`` calls that of its parts, the network is noted, not the parts. The key
    None draws nothing and notes nothing. A shape that looks like (H, W, C) is told: in the error
    where it does not fit, by a UserWarning where it does.
    """
    depth = getattr(_running, "depth", 0)
    _running.depth = depth + 1
    try:
        drawn = init(key, shape, dtype)
    except ValueError as error:
        if depth == 0 and (hint := _channels_last(shape)):
            raise ValueError(f"{error}; {hint}") from error
        raise
    finally:
        _running.depth = depth
    if depth == 0 and (hint := _channels_last(shape)):
        warn(hint)
    if depth == 0 and key is not None and isinstance(drawn, tuple) and len(drawn) == 3:
        for leaf in _arrays(drawn[1]):
            known = _look_up(leaf)
            _note(leaf, model if known is None or known is model else _SEVERAL)
    return drawn


def _channels_last(shape: tuple[int, ...]) -> str:
    if len(shape) != 3 or shape[2] not in (1, 3) or not shape[0] == shape[1] >= 16:
        return ""
    return (
        f"the shape {shape} looks like channels last; shapes are (C, H, W): pass "
        f"{(shape[2], *shape[:2])}, and images as x.transpose(0, 3, 1, 2)"
    )


def remember(tree: Any, model: Any) -> None:
    """Note that the arrays of ``tree`` are parameters of ``model``; what is noted stays."""
    for leaf in _arrays(tree):
        if _look_up(leaf) is None:
            _note(leaf, model)


def origin_of(tree: Any) -> Any:
    """Return the network whose parameters these are; None where not every array says the same."""
    found = [_look_up(leaf) for leaf in _arrays(tree)]
    if not found or found[0] is _SEVERAL or any(model is not found[0] for model in found):
        return None
    return found[0]


def _arrays(tree: Any) -> Iterator[Any]:
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        for part in tree:
            yield from _arrays(part)
    else:
        yield tree


def _look_up(leaf: Any) -> Any:
    note = _notes.get(id(leaf))
    # An array of the past may have had this id: the reference tells them apart.
    return None if note is None or note[0]() is not leaf else note[1]


def _note(leaf: Any, model: Any) -> None:
    if not isinstance(leaf, np.ndarray):
        return
    number = id(leaf)

    def forget(reference: weakref.ref) -> None:
        if _notes.get(number, (None,))[0] is reference:
            del _notes[number]

    _notes[number] = weakref.ref(leaf, forget), model
