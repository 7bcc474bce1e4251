"""One line on what the given arguments cannot show: settings that hide a whole kind of mistake."""

import inspect
from typing import Any

import numpy as np

from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.ranks import hidden_by_rank

__all__ = ["blind_spots"]

_WINDOWS = ("k", "kernel", "kernel_size", "size", "pool", "pool_size", "window", "ksize")
_STRIDES = ("stride", "strides", "step")
_GROUPS = ("groups", "n_groups", "num_groups")
_DILATIONS = ("dilation", "dilations", "rate")


def blind_spots(problem: Problem) -> str | None:
    """A sentence that names the settings and the call of `stress` that varies them, or None."""
    options = _options(problem)
    found, vary = [], []
    stride, window = _first(options, _STRIDES), _first(options, _WINDOWS)
    if stride and window and options[stride] >= options[window]:
        found.append(f"windows that do not overlap ({stride} >= {window})")
        vary.append(f"{stride}=range(1, {options[window] + 1})")
    elif stride and options[stride] == 1 and window is None and "padding" in options:
        found.append(f"{stride} = 1")
        vary.append(f"{stride}=range(1, 4)")
    for names, what in ((_GROUPS, "one group"), (_DILATIONS, "no dilation")):
        name = _first(options, names)
        if name and options[name] == 1:
            found.append(what)
            vary.append(f"{name}=[1, 2]")
    arrays = {n: np.shape(problem.arguments[n]) for n in problem.leaves}
    single = next((n for n, s in arrays.items() if len(s) > 1 and s[0] == 1 and max(s) > 1), None)
    if single:
        found.append(f"a first axis of length 1 in {single}")
        letters = ", ".join(f'"{a}"' for a in "NCHWDEFG"[: len(arrays[single])])
        vary.append(f"{single}=({letters})")
    if not found:
        return _rank(problem)
    return (
        f"{' and '.join(found)} can hide mistakes: gradcheck.stress(f, {', '.join(vary)}, ...) "
        "varies it"
    )


def _rank(problem: Problem) -> str | None:
    hidden = hidden_by_rank(problem)
    if hidden is None:
        return None
    name, what = hidden
    return (
        f"rank 2 of {name} hides a mistake: forward takes further axes in front, and with one "
        f'{what}: gradcheck.stress(f, {name}=("N", "T?", "D"), ...) varies it'
    )


def _options(problem: Problem) -> dict[str, int]:
    """Integers among the arguments and the defaults of the checked functions."""
    found: dict[str, Any] = {}
    for function in problem.functions:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):
            continue
        found |= {p.name: p.default for p in parameters if p.default is not p.empty}
    found |= problem.arguments
    return {n: v for n, v in found.items() if isinstance(v, int) and not isinstance(v, bool)}


def _first(options: dict[str, int], names: tuple[str, ...]) -> str | None:
    return next((n for n in names if n in options), None)
