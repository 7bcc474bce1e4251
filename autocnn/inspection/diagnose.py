"""Where a network's numbers first stop being finite: in which layer, parameter or gradient.

Nothing here runs while training goes well: a network that has failed is run again, layer by layer.
"""

from typing import Any

import numpy as np

from autocnn.inspection.walk import Tap, run_with_taps
from autocnn.trees import leaves

__all__ = [
    "Diverged",
    "explain_evaluation",
    "explain_loss",
    "explain_update",
    "first_nonfinite_layer",
    "first_nonfinite_leaf",
]


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
    path, layer = nonfinite[0].path, nonfinite[0].layer
    place = f"layer {'.'.join(map(str, path))}" if path else "the network"
    return f"{place} ({layer.name})", y


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


def _layer_text(layer: str) -> str:
    return f"{layer} is the first whose output is not finite"


def _loss_text(largest: float) -> str:
    return (
        f"every layer's output is finite, but the loss of logits as large as {largest:.3g} is not"
    )
