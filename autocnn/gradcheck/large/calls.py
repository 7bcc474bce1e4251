"""Calls of a function on arrays that are too large to copy for each call."""

import gc
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.chunks import LARGE, blocks
from autocnn.gradcheck.large.directions import Direction, Measured, measure
from autocnn.gradcheck.problem import COPIED, Call, CallError, Problem, call_once
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.side_effects import raised_at

__all__ = ["FullSize"]


@dataclass
class FullSize:
    """A function at its full size. It is called on read-only views of the caller's arrays; where it
    refuses those, on copies that are compared with the originals afterwards."""

    problem: Problem
    copies: bool = False
    causes: list[Cause] = field(default_factory=list)

    def value(self, name: str) -> np.ndarray:
        """The caller's own array."""
        return np.asarray(self.problem.arguments[name])

    def forward(self, what: str = "forward", **moved: np.ndarray) -> Call:
        """One call, with arrays of ours in place of some arguments."""
        given = self._arguments(moved)
        call = self._allowing_copies(lambda g: call_once(self.problem, g, what), given, moved)
        _collect(call.parts)
        return call

    def gradients(self, *seed: int) -> tuple[list[Direction], Measured, dict[str, Any]]:
        """(a cotangent drawn from `seed`, the outputs as it sees them, the gradients for it)."""
        given = self._arguments({})

        def both(arguments: dict[str, Any]) -> tuple:
            call = call_once(self.problem, arguments, "forward (at full size)")
            structure, backward = call.structure, call.backward
            v = [Direction(s, *seed, k) for k, s in enumerate(structure.shapes)]
            seen = measure(call.parts, v)
            del call  # backward keeps what it needs of the outputs
            dy = [d.array(t) for d, t in zip(v, structure.dtypes, strict=True)]
            return v, seen, dy, backward(structure.of(dy), "backward (at full size)")

        v, seen, dy, grads = self._allowing_copies(both, given, {})
        if not all(d.is_equal(a) for d, a in zip(v, dy, strict=True) if a.ndim):
            message = "backward writes into dy, which belongs to the caller"
            self.add(Cause("mutates-input", None, message))
        if self.copies:
            self._compare(given)
        return v, seen, grads

    def add(self, cause: Cause) -> None:
        """Note a cause once."""
        if cause not in self.causes:
            self.causes.append(cause)

    def _arguments(self, moved: dict[str, np.ndarray]) -> dict[str, Any]:
        found = {}
        for name, value in self.problem.arguments.items():
            if name in moved:
                found[name] = moved[name]
            elif isinstance(value, np.ndarray):
                found[name] = value.copy() if self.copies else _read_only(value)
            else:
                found[name] = deepcopy(value) if isinstance(value, COPIED) else value
        return found

    def _allowing_copies(self, run: Callable, given: dict, moved: dict) -> Any:
        """`run(given)`; where it fails on read-only arrays, again on copies, which it then gets in
        all later calls."""
        try:
            return run(given)
        except CallError as error:
            if self.copies:
                raise
            failure = error
        self.copies = True
        given.update(self._arguments(moved))
        try:
            result = run(given)
        except CallError:
            self.copies = False
            raise
        where = failure.__cause__
        if isinstance(where, ValueError) and "read-only" in str(where):
            which = "backward" if "backward" in str(failure) else "forward"
            message = f"{which} writes into an argument{raised_at(where)}"
            self.add(Cause("mutates-input", None, message))
        return result

    def _compare(self, given: dict[str, Any]) -> None:
        for name, value in self.problem.arguments.items():
            if not isinstance(value, np.ndarray) or name in self.problem.updated:
                continue
            if not all(
                np.array_equal(value[i], given[name][i], equal_nan=value.dtype.kind in "fc")
                for i, _ in blocks(value.shape)
            ):
                message = f"forward or backward writes into {name}"
                if not any(c.code == "mutates-input" and c.leaf is None for c in self.causes):
                    self.add(Cause("mutates-input", name, message))


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _collect(parts: list[np.ndarray]) -> None:
    """Let go of what earlier calls left in reference cycles."""
    if sum(p.size for p in parts) > 4 * LARGE:
        gc.collect()
