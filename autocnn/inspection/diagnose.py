"""Where a network's numbers first stop being finite: in which layer, parameter or gradient; and
which of its units are dead.

Nothing here runs while training goes well: a network that has failed is run again, layer by layer.
"""

from typing import Any, NamedTuple

import numpy as np

from autocnn.inspection.walk import Tap, run_with_taps
from autocnn.trees import leaves

__all__ = [
    "DeadUnits",
    "Diverged",
    "dead_units",
    "explain_evaluation",
    "explain_loss",
    "explain_update",
    "first_nonfinite_layer",
    "first_nonfinite_leaf",
]


RELUS = ("relu", "relu6")


class Diverged(ValueError):
    """The loss, the parameters or the state became infinite or NaN."""


def first_nonfinite_layer(
    model: Any, params: Any, state: Any, x: np.ndarray, train: bool = False, key: Any = None
) -> tuple[str | None, np.ndarray]:
    """Return (name of the first layer whose output is not finite, or None; the network's output).

    x: a batch (N, C, H, W). train, key: as in the call that failed. A name is such as "layer
    3.main.1 (conv)"; a model that is not made of layers is named as a whole.
    """
    nonfinite = []

    def note(tap: Tap) -> None:
        if not np.isfinite(tap.y).all():
            nonfinite.append(tap)

    with np.errstate(all="ignore"):
        if not hasattr(model, "children"):
            y = model.apply(params, state, x, train, key)[0]
            return (None if np.isfinite(y).all() else "the network"), y
        y, _ = run_with_taps(model, params, state, x, note, train, key)
    if not nonfinite:
        return None, y
    return _place(nonfinite[0]), y


def first_nonfinite_leaf(tree: Any, last: bool = False) -> tuple[str, float] | None:
    """Return (path, value) of the first leaf that is not finite, or the last one; None if all are.

    value: the first number of the leaf that is infinite or NaN.
    """
    pairs = leaves(tree)
    for path, leaf in reversed(pairs) if last else pairs:
        bad = ~np.isfinite(leaf)
        if bad.any():
            return path, (leaf[bad][0] if np.ndim(leaf) else leaf)
    return None


def explain_loss(
    model: Any, params: Any, state: Any, x: np.ndarray, train: bool = False, key: Any = None
) -> str:
    """Say why the loss of the batch x (N, C, H, W) is not finite.

    train, key: as in the call that failed.
    """
    layer, y = first_nonfinite_layer(model, params, state, x, train, key)
    return _layer_text(layer) if layer else _loss_text(float(np.abs(y).max()))


def explain_evaluation(
    model: Any, params: Any, state: Any, x: np.ndarray, batch_size: int = 512
) -> str:
    """Say why the loss of images x (N, C, H, W) in evaluation mode is not finite.

    Names the layer for the first batch in which there is one.
    """
    largest = 0.0
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        layer, y = first_nonfinite_layer(model, params, state, batch)
        if layer:
            return _layer_text(layer)
        largest = max(largest, float(np.abs(y).max()))
    return _loss_text(largest)


def explain_update(params: Any, state: Any, grads: Any) -> str | None:
    """Say which leaf of params or state is not finite after a step with gradients ``grads``.

    Of the gradients that are not finite, the last leaf is named, since the backward pass begins
    with it. Returns None when all leaves are finite.
    """
    if bad := first_nonfinite_leaf(grads, last=True):
        return (
            f"the gradient of params leaf '{bad[0]}' became {bad[1]}, the first in the backward "
            "pass"
        )
    if bad := first_nonfinite_leaf(params):
        return (
            f"params leaf '{bad[0]}' became {bad[1]}: its gradient was finite, the update "
            "overflowed"
        )
    if bad := first_nonfinite_leaf(state):
        return f"state leaf '{bad[0]}' became {bad[1]}"
    return None


class DeadUnits(NamedTuple):
    """Units of one layer that are 0 for every image.

    layer: such as "layer 1 (relu)". dead: their indices, which for images are channels. units: how
    many the layer has.
    """

    layer: str
    dead: tuple[int, ...]
    units: int

    def __str__(self) -> str:
        return f"{self.layer}: {len(self.dead)} of {self.units} units are 0 for every image"


def dead_units(
    model: Any, params: Any, state: Any, x: np.ndarray, batch_size: int = 512
) -> list[DeadUnits]:
    """Return the dead units of the layers ``relu`` and ``relu6``, one entry a layer that has any.

    A unit (a channel, for images) is dead that is 0 for each of the images x (N, C, H, W): its
    slope is 0 as well, so that no step moves the weights that lead to it. Units can be dead before
    training begins. An empty list for a network that is not made of layers.
    """
    alive: dict[str, np.ndarray] = {}

    def note(tap: Tap) -> None:
        if tap.layer.name in RELUS and tap.y.ndim > 1:
            lit = np.any(tap.y != 0, axis=tuple(a for a in range(tap.y.ndim) if a != 1))
            name = _place(tap)
            alive[name] = alive.get(name, False) | lit

    if hasattr(model, "children"):
        for start in range(0, len(x), batch_size):
            run_with_taps(model, params, state, x[start : start + batch_size], note)
    return [
        DeadUnits(name, tuple(map(int, np.flatnonzero(~lit))), len(lit))
        for name, lit in alive.items()
        if not lit.all()
    ]


def _place(tap: Tap) -> str:
    place = f"layer {'.'.join(map(str, tap.path))}" if tap.path else "the network"
    return f"{place} ({tap.layer.name})"


def _layer_text(layer: str) -> str:
    return f"{layer} is the first whose output is not finite"


def _loss_text(largest: float) -> str:
    return (
        f"every layer's output is finite, but the loss of logits as large as {largest:.3g} is not"
    )
