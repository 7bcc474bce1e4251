"""Divergence: which layer, parameter or step first made a number that is not finite.

Nothing here runs while training goes well: a network that has failed is asked again, layer by
layer.
"""

import numpy as np

from autocnn.inspection.walk import run_with_taps
from autocnn.trees import leaves
from reference.layer import Layer

__all__ = ["Diverged", "of_evaluation", "of_loss", "of_update"]


class Diverged(ValueError):
    """The loss, the parameters or the state became infinite or NaN."""


def of_loss(model, params, state, x, train, key=None):
    """Say in words which layer's output is the first that is not finite, for the batch x (N, C, H,
    W) whose loss is not.

    ``train`` and ``key`` are those of the call that failed. A model that is not made of layers is
    named as a whole.
    """
    with np.errstate(all="ignore"):
        found, y = _walk(model, params, state, x, train, key)
    if found:
        return f"{found} is the first whose output is not finite"
    largest = float(np.abs(y).max())
    return (
        f"every layer's output is finite, but the loss of logits as large as {largest:.3g} is not"
    )


def of_evaluation(model, params, state, x, batch_size=512):
    """Say the same of images x (N, C, H, W) whose loss was taken in evaluation mode: of the
    first batch that is not finite.
    """
    for start in range(0, len(x), batch_size):
        said = of_loss(model, params, state, x[start : start + batch_size], False)
        if not said.startswith("every layer's"):
            break
    return said


def of_update(params, state, grads):
    """Say in words which leaf of params or state is not finite after a step whose gradients were
    ``grads``, and why.

    None when all are finite. A parameter without a finite gradient is looked for from the network's
    end on, which is where the way back begins.
    """
    bad = (
        []
        if grads is None
        else [(path, g) for path, g in leaves(grads) if not np.isfinite(g).all()]
    )
    if bad:
        path, gradient = bad[-1]
        return f"the gradient of params leaf '{path}' became {_worst(gradient)}, the first on the way back from the loss"
    for name, tree in (("params", params), ("state", state)):
        for path, leaf in leaves(tree):
            if not np.isfinite(leaf).all():
                why = ": its gradient was finite, the update overflowed" if name == "params" else ""
                return f"{name} leaf '{path}' became {_worst(leaf)}{why}"
    return None


def _worst(a):
    """The first of an array's numbers that is not finite, for people."""
    return a[~np.isfinite(a)][0] if np.ndim(a) else a


def _walk(model, params, state, x, train, key):
    """Return (name of the first layer whose output is not finite or None, the network's output).

    A model of one's own, which is not made of layers, is named as a whole.
    """
    first = []

    def tap(tap):
        if not first and not np.isfinite(tap.y).all():
            first.append(tap)

    if not isinstance(model, Layer):
        y = model.apply(params, state, x, train, key)[0]
        return (None if np.isfinite(y).all() else "the network"), y
    y, _ = run_with_taps(model, params, state, x, tap, train, key)
    if not first:
        return None, y
    path, layer = first[0].path, first[0].layer
    place = f"layer {'.'.join(map(str, path))}" if path else "the network"
    return f"{place} ({layer.name})", y
