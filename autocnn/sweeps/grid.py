"""The grid of a sweep: its argument checks and its points."""

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.ops.arguments import integer
from autocnn.sweeps.store import json_line
from autocnn.sweeps.trial import METRICS, TRAINING
from autocnn.text import did_you_mean

__all__ = ["check_seeds", "grid_points"]

EXAMPLE = "such as {'filters': [1, 2, 3]}"
RESERVED = (*METRICS, "seed", "error", "nn")  # columns of the results; nn is not a plain value


def grid_points(build: Callable[..., Any], grid: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all points of a grid, each a dict {option: value}; the last option varies fastest.

    ValueError for an empty grid, an option that ``build`` does not take, a value that JSON cannot
    store, or a value given twice.
    """
    if not callable(build):
        raise ValueError(
            "a sweep needs a function that returns a network, such as ac.models.tiny_cnn; "
            f"got {build!r}"
        )
    if not isinstance(grid, dict) or not grid:
        raise ValueError(
            f"the grid must name at least one option with its values, {EXAMPLE}; got {grid!r}"
        )
    for name in grid:
        _check_option(build, name)
    values = [_option_values(name, given) for name, given in grid.items()]
    return [dict(zip(grid, point, strict=True)) for point in itertools.product(*values)]


def check_seeds(seeds: Any) -> list[int]:
    """Return the seeds 0, 1, ... for a number of seeds, or a list of given seeds; ValueError if
    there are none, or one occurs twice.
    """
    given = seeds if np.iterable(seeds) else range(integer(seeds, "seeds"))
    result = [integer(seed, "a seed", least=0) for seed in given]
    if not result or len(set(result)) < len(result):
        raise ValueError(
            f"seeds must be a number of seeds, or different seeds such as range(20); got {seeds!r}"
        )
    return result


def _check_option(build: Callable[..., Any], name: str) -> None:
    parameters = inspect.signature(build).parameters.values()
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    known = [option for option in (*named, *TRAINING) if option != "nn"]
    if name in RESERVED or not (takes_any or name in known):
        raise ValueError(
            f"{_display_name(build)} has no option {name!r}{did_you_mean(name, known)} "
            f"Its options: {', '.join(known)}"
        )


def _option_values(name: str, given: Any) -> list[Any]:
    if isinstance(given, str) or not np.iterable(given):
        raise ValueError(f"the grid needs a list of values for {name}, {EXAMPLE}; got {given!r}")
    values = [value.item() if isinstance(value, np.generic) else value for value in given]
    if not values:
        raise ValueError(f"the grid is empty: it has no values for {name}; give some, {EXAMPLE}")
    try:
        lines = {json_line(value) for value in values}
    except TypeError:
        raise ValueError(
            f"values of {name} must be numbers, strings, None or tuples of them; got {values!r}"
        ) from None
    if len(lines) < len(values):
        raise ValueError(f"the grid names a value of {name} twice: {values!r}")
    return values


def _display_name(build: Any) -> str:
    """The name that a user knows a builder by: a partial has its function's, unless given one."""
    if hasattr(build, "__name__"):
        return str(build.__name__)
    return _display_name(build.func) if hasattr(build, "func") else type(build).__name__
