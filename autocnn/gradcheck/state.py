"""What a checked function remembers between calls, and how to put it back: each forward starts
afresh."""

import copy
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import places
from autocnn.gradcheck.chunks import LARGE, checksum

__all__ = ["Memory", "generators"]

Generators = np.random.Generator | np.random.RandomState | random.Random


def _roots(functions: tuple) -> list[Any]:
    return [*functions, *(places.globals_of(f) for f in functions)]


def generators(functions: tuple) -> tuple[Callable[[], None], ...]:
    """For each generator that the functions can reach, a call that rewinds it to its state now."""
    found: dict[int, Callable[[], None]] = {}
    for root in _roots(functions):
        for _, value in places.visit(root):
            if isinstance(value, np.random.Generator):
                found[id(value)] = _rewinder(value.bit_generator, value.bit_generator.state)
    for root in _roots(functions):
        for value in _shallow(root):
            if isinstance(value, np.random.RandomState):
                state = value.get_state()
                found[id(value)] = lambda g=value, s=state: g.set_state(s)
            elif isinstance(value, random.Random):
                state = value.getstate()
                found[id(value)] = lambda g=value, s=state: g.setstate(s)
    return tuple(found.values())


def _rewinder(bits, state) -> Callable[[], None]:
    def rewind() -> None:
        bits.state = state

    return rewind


def _shallow(root: Any) -> list[Any]:
    """All values one step inside everything that can be reached."""
    return [c for _, v in places.visit(root) for _, c in places.children(v)]


class Memory:
    """The mutable state that functions can reach: arrays, dicts, lists and objects' attributes.

    `changed()` names what differs from the state at construction; `restore()` puts all of it back,
    in place, so that the functions see it, but for arrays of more than LARGE entries, of which
    only a checksum is kept.
    """

    def __init__(self, functions: tuple):
        self._arrays: list[tuple[str, np.ndarray, np.ndarray | int]] = []
        self._holders: list[tuple[str, Any, Any]] = []
        for root in _roots(functions):
            for path, value in places.visit(root):
                name = places.text(path) or getattr(value, "__name__", type(value).__name__)
                if isinstance(value, np.ndarray):
                    kept = value.copy() if value.size <= LARGE else checksum(value)
                    self._arrays.append((name, value, kept))
                elif isinstance(value, dict | list):
                    if value is not root:
                        self._holders.append((name, value, copy.copy(value)))
                elif hasattr(value, "__dict__") and not isinstance(
                    value, types.FunctionType | types.MethodType | type
                ):
                    self._holders.append((name, vars(value), dict(vars(value))))

    def changed(self) -> list[str]:
        """Names of the arrays and holders that are not what they were."""
        found = [n for n, a, kept in self._arrays if not _equal(a, kept)]
        return found + [n for n, now, kept in self._holders if not _same_items(now, kept)]

    def restore(self) -> None:
        """Put everything back as it was."""
        for _, now, kept in self._holders:
            if not _same_items(now, kept):
                if isinstance(now, dict):
                    now.clear()
                    now.update(kept)
                else:
                    now[:] = kept
        for _, array, kept in self._arrays:
            if isinstance(kept, np.ndarray) and not _equal(array, kept):
                array[...] = kept


def _equal(a: np.ndarray, b: np.ndarray | int) -> bool:
    if isinstance(b, int):
        return checksum(a) == b
    return a.shape == b.shape and (a.dtype == object or a.tobytes() == b.tobytes())


def _same_items(now: Any, kept: Any) -> bool:
    if len(now) != len(kept):
        return False
    if isinstance(now, dict):
        return all(k in now and now[k] is v for k, v in kept.items())
    return all(a is b for a, b in zip(now, kept, strict=True))
