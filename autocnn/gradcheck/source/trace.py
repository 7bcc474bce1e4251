"""What the taps do while an instrumented function runs: record, disturb, replace, or look at the
variables of a statement."""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.source.effort import Effort
from autocnn.gradcheck.source.values import floats, put_back

__all__ = ["Event", "TimeUp", "Tracer"]


class TimeUp(Exception):
    """A run of the author's code took longer than it was given."""


class Event(NamedTuple):
    """The float arrays that one site yielded, at its `turn`-th time in this phase. `identity`
    tells values that are one object."""

    site: int
    turn: int
    arrays: tuple[np.ndarray, ...]
    identity: int


def _discrete(value: Any) -> bool:
    """A mask, indices or a slice: what decides where numbers go."""
    return isinstance(value, np.ndarray | slice | np.bool_ | list) or (
        hasattr(value, "shape") and hasattr(value, "dtype")
    )


class Tracer:
    """The hooks of instrumented code. At most one of the modes is on during a run.

    `watched` are the sites whose values are looked at (None: all). `change(site, turn, value)`
    returns what takes a value's place; `look(site, turn, value, frame)` sees the frame of the
    statement.
    """

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.reset()

    def reset(self) -> None:
        """No mode, no limit."""
        self.watched: frozenset[int] | set[int] | None = frozenset()
        self.events: list[Event] | None = None
        self.kept: list[Any] = []
        self.change: Callable[[int, int, Any], Any] | None = None
        self.look: Callable[[int, int, Any, Any], Any] | None = None
        self.turns: dict[int, int] = {}
        self.most = self.wall = float("inf")

    def limit(self, steps: int) -> None:
        """Stop what runs after so many statements, or, where it sleeps, after ten seconds."""
        self.most = self.effort.steps + steps
        self.wall = time.perf_counter() + 10.0

    def begin(self) -> None:
        """A new phase: turns are counted from nought."""
        self.turns = {}

    def tap(self, site: int, value: Any) -> Any:
        """Called with every value that an instrumented function computes."""
        self.effort.statement(value)
        if self.effort.steps > self.most or time.perf_counter() > self.wall:
            raise TimeUp
        if self.watched is not None and site not in self.watched:
            return value
        turn = self.turns.get(site, 0)
        self.turns[site] = turn + 1
        if self.look is not None:
            new = self.look(site, turn, value, sys._getframe(1))
            if new is not None:
                value = new
        if self.change is not None:
            value = self.change(site, turn, value)
        if self.events is not None:
            arrays = floats(value)
            if arrays or _discrete(value):
                self.kept.append(value)  # keeps the identity from being used again
                self.events.append(Event(site, turn, tuple(arrays), id(value)))
        return value

    def after(self, site: int, value: Any) -> Any:
        """Called with the array that a statement has written into."""
        new = self.tap(site, value)
        if new is not value and isinstance(value, np.ndarray):
            if np.iscomplexobj(new) and not np.iscomplexobj(value):
                raise TypeError("a buffer of real numbers cannot hold an imaginary step")
            value[...] = new
            return value
        if new is not value and hasattr(value, "copy_"):
            value.copy_(new)
            return value
        return new

    def replace(self, new: dict[tuple[int, int], list[np.ndarray]]) -> None:
        """Put arrays in place of what sites yield at given turns, from now on."""
        self.watched = {site for site, _ in new}

        def change(site: int, turn: int, value: Any) -> Any:
            arrays = new.get((site, turn))
            return value if arrays is None else put_back(value, list(arrays))

        self.change = change

    def shift(self, steps: dict[tuple[int, int], list[np.ndarray]]) -> None:
        """Add arrays to what sites yield at given turns, from now on."""
        self.watched = {site for site, _ in steps}

        def change(site: int, turn: int, value: Any) -> Any:
            step = steps.get((site, turn))
            if step is None:
                return value
            old = floats(value)
            if len(old) != len(step):
                return value
            return put_back(value, [a + s for a, s in zip(old, step, strict=True)])

        self.change = change
