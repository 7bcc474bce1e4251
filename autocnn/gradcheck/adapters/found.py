"""Which arrays of an object are parameters, and where a trial has left their gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import places
from autocnn.gradcheck.adapters.methods import Methods
from autocnn.gradcheck.adapters.parameters import (
    Parameter,
    Spot,
    gradient_path,
    is_parameter_name,
    leaf_names,
)
from autocnn.gradcheck.adapters.running import copy_of, run_forward, same_bytes
from autocnn.gradcheck.problem import CallError

__all__ = [
    "candidates",
    "input_gradient",
    "looks_like_gradient",
    "made_at_first_forward",
    "moved_by_backward",
    "named_parameters",
    "with_gradients",
]

_INPUT_GRADIENTS = (
    "dinputs", "dinput", "dx", "dX", "d_x", "d_input", "d_inputs", "grad_input", "grad_inputs",
    "input_grad", "input_gradient", "gradInput", "x_grad", "grad_x", "dout", "grad", "gradient",
)  # fmt: skip


def candidates(
    born: list[Spot], existing: dict, snapshot: dict, settled: list[Spot], made: set
) -> list[Spot]:
    """Arrays that forward leaves alone: those of the object as it came, and those made by the first
    forward."""
    steady = [
        s for s in born
        if all(p in snapshot and same_bytes(snapshot[p], existing[p]) for p in s.paths)
    ]  # fmt: skip
    return steady + [
        s for s in settled if s.path in made and not any(p in existing for p in s.paths)
    ]


def moved_by_backward(spots: list[Spot], trial: Any, snapshot: dict) -> list[Spot]:
    """Those arrays that backward has changed."""
    return [
        s
        for s in spots
        for known in [[p for p in s.paths if p in snapshot]]
        if any(not same_bytes(snapshot[p], np.asarray(places.get(trial, p))) for p in known)
    ]


def with_gradients(
    trial: Any, candidates: list[Spot], written: list[Spot], moved: list[Spot]
) -> tuple[list[tuple[Spot, Any]], set[str]]:
    """(candidates with the path of their gradient, names of those that backward updates)."""
    paths = {p for s in candidates for p in s.paths}
    taken: set = set()
    found: list[tuple[Spot, Any]] = []
    by_name: list[tuple[Spot, Any]] = []
    for spot in candidates:
        path = gradient_path(trial, spot, [], taken)
        by_name.append((spot, path))
        if path is not None:
            taken.add(path)
    gradients = {path for _, path in by_name if path}
    for spot, path in by_name:
        if set(spot.paths) & gradients:
            continue  # itself another's gradient
        if path is None:
            own = [s for s in written if not set(s.paths) & paths]
            path = gradient_path(trial, spot, own, taken)
            if path is not None:
                taken.add(path)
        found.append((spot, path))
    updated = [s for s, _ in found if any(s is m for m in moved)]
    found = [(s, None if any(s is u for u in updated) else path) for s, path in found]
    names = dict(zip([id(s) for s, _ in found], leaf_names([s for s, _ in found]), strict=True))
    return found, {names[id(s)] for s in updated}


def named_parameters(found: list[tuple[Spot, Any]]) -> list[Parameter]:
    """The arrays as parameters, by names that no two share."""
    names = leaf_names([s for s, _ in found])
    return [
        Parameter("params_x" if n == "x" else n, s, path, is_parameter_name(s.path))
        for n, (s, path) in zip(names, found, strict=True)
    ]


def looks_like_gradient(spot: Spot, gradients: set) -> bool:
    """Does an array lie in the same container as a parameter's gradient?"""
    holders = {g[:-1] for g in gradients if len(g) > 1}
    return any(p[:-1] in holders for p in spot.paths if len(p) > 1)


def input_gradient(trial: Any, methods: Methods, x: Any, written: list[Spot]) -> str | None:
    """The attribute in which backward left the input's gradient."""
    own = vars(trial) if hasattr(trial, "__dict__") else {}
    first = methods.names[0] if methods.names else "x"
    wanted = [f"d{first}", f"d_{first}", f"grad_{first}", f"{first}_grad", *_INPUT_GRADIENTS]
    for name in wanted:
        if places.array_of(own.get(name)) is not None:
            return name
    fits = [
        s.path[0][1]
        for s in written
        if len(s.path) == 1
        and s.array.shape == np.shape(x)
        and str(s.path[0][1]).startswith(("d", "g"))
    ]
    return fits[0] if len(fits) == 1 else None


def made_at_first_forward(
    settled: list[Spot], existing: dict, trial: Any, methods: Methods, flat: dict, nest: Callable
) -> set[tuple]:
    """Paths of arrays that the first forward made and that another input does not change."""
    fresh = [s for s in settled if not any(p in existing for p in s.paths)]
    given = [v for v in flat.values() if isinstance(v, np.ndarray)]
    fresh = [s for s in fresh if not any(np.shares_memory(v, s.array) for v in given)]
    if not fresh:
        return set()
    before = {s.path: s.array.copy() for s in fresh}
    other = {
        n: v * 1.25 + 0.125 if getattr(getattr(v, "dtype", None), "kind", "") == "f" else v
        for n, v in flat.items()
    }
    again = copy_of(trial)
    try:
        run_forward(again, methods, other, nest)
    except CallError:
        return set()
    kept = set()
    for path, array in before.items():
        try:
            now = places.get(again, path)
        except LookupError:
            continue
        if isinstance(now, np.ndarray) and same_bytes(now, array):
            kept.add(path)
    return kept
