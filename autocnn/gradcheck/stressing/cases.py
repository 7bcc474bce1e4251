"""The cases of a stress run: settings and axis lengths as `stress` is given them, and the arguments
that a case stands for.
"""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Case", "Space", "arguments", "first_cases", "make_space"]

SIZES = (1, 2, 3, 4, 5, 7)  # of an axis given by name only
EVERY = 64  # combinations of settings that are all run

Case = dict[str, Any]


class Space(NamedTuple):
    """Arrays by their axes, the values of each setting and axis, arguments passed as they are, and
    which of the names are settings of the function (the others are lengths).
    """

    shapes: dict[str, tuple]
    choices: dict[str, list]
    fixed: dict[str, Any]
    settings: frozenset[str]


def make_space(f: Callable, given: dict[str, Any]) -> Space:
    """Sort what `stress` was given."""
    shapes = {
        n: v
        for n, v in given.items()
        if isinstance(v, tuple) and v and any(isinstance(a, str) for a in v)
    }
    ranges = {
        n: list(v)
        for n, v in given.items()
        if n not in shapes and isinstance(v, range | list | set | frozenset)
    }
    names = _parameters(f)
    axes = [a.split("*") for axes in shapes.values() for a in axes if isinstance(a, str)]
    axes = list(dict.fromkeys(n for factors in axes for n in factors))
    lengths = {}
    for axis in axes:
        base = axis.rstrip("?")
        known = names is not None and base in names
        if known or (base in given and base not in ranges):
            continue
        values = ranges.get(base, list(SIZES))
        lengths[axis] = [0, *values] if axis.endswith("?") else values
    settings = {n: v for n, v in ranges.items() if n not in {a.rstrip("?") for a in lengths}}
    fixed = {n: v for n, v in given.items() if n not in shapes and n not in ranges}
    return Space(shapes, {**settings, **lengths}, fixed, frozenset(settings))


def arguments(f: Callable, case: Case, space: Space, make: Callable | None, seed: int) -> Case:
    """The arguments of f in one case."""
    rng = np.random.default_rng(seed)
    if make is not None:
        return {**space.fixed, **make(rng, **{n.rstrip("?"): v for n, v in case.items()})}
    known = {**space.fixed, **case}
    found = dict(known)
    for name, axes in space.shapes.items():
        lengths = [
            math.prod(known[n] for n in a.split("*")) if isinstance(a, str) else a for a in axes
        ]
        absent = [isinstance(a, str) and a.endswith("?") and not known[a] for a in axes]
        shape = [n for n, gone in zip(lengths, absent, strict=True) if not gone]
        found[name] = np.asarray(rng.standard_normal(shape))
    names = _parameters(f)
    return {
        n: v
        for n, v in found.items()
        if (n in space.settings or n in space.fixed or n in space.shapes)
        and (names is None or n in names)
    }


def _parameters(f: Callable) -> set[str] | None:
    try:
        found = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in found) else {p.name for p in found}


def first_cases(space: Space) -> Iterator[Case]:
    """Settings in full where there are few, at axes of ordinary length, then at the edges."""
    choices, lengths = space.choices, [n for n in space.choices if n not in space.settings]
    settings = {n: v for n, v in choices.items() if n in space.settings}
    ordinary = {a: _ordinary(choices[a], k) for k, a in enumerate(lengths)}
    grid = itertools.product(*settings.values())
    for values in itertools.islice(grid, EVERY):
        yield {**dict(zip(settings, values, strict=True)), **ordinary}
    base = {n: v[0] for n, v in settings.items()}
    for axis in ordinary:
        for n in choices[axis]:
            yield {**base, **ordinary, axis: n}


def _ordinary(lengths: list, k: int) -> Any:
    """A middling length, another one for each axis."""
    inner = [n for n in lengths if n > 1] or lengths
    wanted = (2, 3, 5, 7, 4)[k % 5]
    return min(inner, key=lambda n: abs(n - wanted))
