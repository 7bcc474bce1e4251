"""Layers that update their parameters inside backward, at a rate of their own (self.lr, or that of
an optimizer that they hold)."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import places
from autocnn.gradcheck.places import Step

__all__ = ["is_plain_descent", "rate_paths", "set_rates"]

_RATES = frozenset(
    ["lr", "learning_rate", "learningrate", "learn_rate", "eta", "step_size", "lrate", "alpha"]
)
_MOMENTA = frozenset(["momentum", "weight_decay", "decay"])

Path = tuple[Step, ...]


def _numbers(root: Any, names: frozenset[str]) -> tuple[Path, ...]:
    return tuple(
        (*path, step)
        for path, value in places.visit(root)
        if not isinstance(value, np.ndarray)
        for step, child in places.children(value)
        if step[0] in ("attr", "key")
        and isinstance(child, float | int)
        and not isinstance(child, bool)
        and str(step[1]).lower().strip("_") in names
    )


def rate_paths(layer: Any) -> tuple[Path, ...]:
    """Where an object keeps its learning rates."""
    return _numbers(layer, _RATES)


def set_rates(layer: Any, paths: tuple[Path, ...], rate: float) -> None:
    """Set every learning rate, and momentum and decay to zero."""
    for path in paths:
        places.put(layer, path, rate)
    for path in _numbers(layer, _MOMENTA) if paths else ():
        places.put(layer, path, 0.0)


def is_plain_descent(
    layer: Any,
    spots: list[Path],
    paths: tuple[Path, ...],
    rate: float,
    run: Callable[[Any, float], None],
    takes_dy: bool = True,
) -> bool:
    """Does `run(layer, factor)`, a forward and a backward from `factor` times some dy, move the
    arrays at `spots` in proportion to the rate and to dy? w - rate x gradient does, Adam does not.
    """

    def steps(at: float, factor: float) -> list[np.ndarray]:
        mine = copy.deepcopy(layer)
        set_rates(mine, paths, at)
        before = [np.array(places.get(mine, s), dtype=np.float64) for s in spots]
        run(mine, factor)
        return [
            np.asarray(places.get(mine, s), dtype=np.float64) - b
            for s, b in zip(spots, before, strict=True)
        ]

    try:
        once, others = steps(rate, 1.0), [steps(2 * rate, 1.0)]
        others += [steps(rate, 2.0)] if takes_dy else []
    except Exception:  # whatever the author's code raises: it is not followed then
        return False
    return all(
        np.allclose(2 * a, b, rtol=1e-6, atol=1e-9 * np.max(np.abs(b), initial=0.0))
        for other in others
        for a, b in zip(once, other, strict=True)
    )
