"""One image through one network, forward and backward, with every gradient computed twice.

seen = look(networks(model), params, state, x, label)
seen.stages[1].auto, seen.stages[1].manual, seen.stages[1].digits
"""

from typing import Any, NamedTuple

import autograd.numpy as anp
import numpy as np

from autocnn import autodiff, layers
from autocnn.inspection.walk import Path, named_layers, rebuild, run_with_taps, walk
from autocnn.layers.layer import batch_loss
from autocnn.models.interpretations import interpretation
from autocnn.ops import softmax
from reference import vocabulary
from reference.layer import Layer
from reference.loss import Loss, cross_entropy, loss_and_gradient

__all__ = [
    "EXACT",
    "Both",
    "Look",
    "Stage",
    "Weight",
    "at",
    "both",
    "digits",
    "interpreted",
    "look",
]

EXACT = 16.0  # digits of agreement of equal arrays, about as many as float64 has


class Weight(NamedTuple):
    """One array of parameters: its values, dL/dw by both paths, their difference and digits."""

    values: np.ndarray
    auto: np.ndarray | None = None
    manual: np.ndarray | None = None
    difference: np.ndarray | None = None
    digits: float | None = None


class Stage(NamedTuple):
    """The input, the output of one layer, or the probabilities.

    name: as in ``trace``, "input" and "probabilities". word, options: of the layer. values:
    (C, H, W) or (D,). auto, manual: dL/d(values) by autograd and by hand, None without a label.
    difference: manual - auto. digits: to which they agree. ties: True where the layer takes the
    first of equal maxima, or its input is at a kink; None for layers without ties.
    """

    name: str
    word: str
    options: dict[str, Any]
    values: np.ndarray
    auto: np.ndarray | None
    manual: np.ndarray | None
    difference: np.ndarray | None
    digits: float | None
    ties: np.ndarray | None
    weights: dict[str, Weight]


class Look(NamedTuple):
    """The loss (None without a label), the probabilities (K,), and the stages in order."""

    loss: float | None
    probabilities: np.ndarray
    stages: list[Stage]


class Both(NamedTuple):
    """A network in ``autocnn.layers`` and in ``reference``, and the loss of the second."""

    automatic: Layer
    by_hand: Layer
    loss: Loss = cross_entropy


def interpreted(model: Layer, nn: Any) -> Layer:
    """Build a network again in the interpretation ``nn``.

    ValueError for a layer of your own, which has no word in the vocabulary.
    """
    if not hasattr(vocabulary, model.name):
        raise ValueError(
            f"the page shows networks of the vocabulary; {model.name!r} is not a word of it"
        )
    parts = [interpreted(part, nn) for part in model.parts]
    return getattr(nn, model.name)(*parts, **model.options)


def both(model: Layer) -> Both:
    """Return a network of any interpretation in the two that are compared."""
    return Both(interpreted(model, layers), interpreted(model, interpretation("reference")))


def digits(a: np.ndarray, b: np.ndarray) -> float:
    """Return -log10(max |a - b| / max |b|), in [0, EXACT]; 0 where numbers are not finite."""
    scale = float(np.abs(b).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        apart = float(np.abs(a - b).max(initial=0.0))
    if apart == 0.0:
        return EXACT
    if not np.isfinite(apart) or scale == 0.0:
        return 0.0
    return float(np.clip(-np.log10(apart / scale), 0.0, EXACT))


def look(nets: Both, params: Any, state: Any, x: np.ndarray, label: int | None = None) -> Look:
    """Follow one image through a network in evaluation mode, and back if ``label`` is given.

    nets: from ``both``; its network by hand may hold a broken layer. params, state: its trees, in
    float64. x: (C, H, W), float64. Nothing is checked. Without a label there are no gradients.
    """
    targets = None if label is None else np.array([label])
    hand = _by_hand(nets, params, state, x[None], targets)
    auto = _by_autograd(nets, params, state, x[None], targets, hand)
    stages = [_stage("input", "input", {}, x, (auto.dx, hand.dx), None, {})]
    for (path, name), (_, layer) in zip(
        named_layers(nets.automatic), walk(nets.automatic), strict=True
    ):
        weights = {}
        if not layer.parts:
            given, a, b = (at(tree, path) for tree in (params, auto.grads, hand.grads))
            weights = {key: _weight(given[key], a and a[key], b and b[key]) for key in given}
        dy = auto.cotangents.get(path), hand.cotangents.get(path)
        ties = _ties(layer, hand.inputs[path])
        y = auto.outputs[path][0]
        stages.append(_stage(name, layer.name, layer.options, y, dy, ties, weights))
    probabilities = softmax(auto.logits)[0]
    dp = _slopes_of_log(probabilities, label)
    stages.append(_stage("probabilities", "softmax", {}, probabilities, dp, None, {}))
    return Look(auto.loss, probabilities, stages)


def _slopes_of_log(p: np.ndarray, label: int | None) -> tuple:
    """dL/dp of L = -log p[label]: by autograd and by hand, -1 / p[label] at the label."""
    if label is None:
        return None, None
    _, _, backward = autodiff.vjp(lambda p: (-anp.log(p[label]), None), p)
    by_hand = np.zeros_like(p)
    by_hand[label] = -1 / p[label]
    return backward(np.float64(1))[0], by_hand


def at(tree: Any, path: Path) -> Any:
    """Return the part of a tree at a path; None of None."""
    for step in path:
        tree = None if tree is None else tree[step]
    return tree


class _Pass:
    """What one path of the two found: arrays by the layers' paths in the network."""

    def __init__(self) -> None:
        self.inputs: dict[Path, np.ndarray] = {}
        self.outputs: dict[Path, np.ndarray] = {}
        self.cotangents: dict[Path, np.ndarray] = {}
        self.loss: float | None = None
        self.logits: Any = None
        self.dx: Any = None
        self.grads: Any = None


def _by_hand(nets: Both, params: Any, state: Any, x: np.ndarray, targets: Any) -> _Pass:
    found = _Pass()

    def observed(path: Path, layer: Layer) -> Layer:
        if layer.name == "serial":
            return layer

        def backprop(params, state, x, train, key):
            y, after, back = layer.pullback(params, state, x, train, key)
            found.inputs[path], found.outputs[path] = x, y

            def backward(dy):
                found.cotangents[path] = dy
                return back(dy)

            return y, after, backward

        return layer.replace(forward=None, backprop=backprop)

    model = rebuild(nets.by_hand, observed)
    found.logits, _, backward = model.pullback(params, state, x, False, None)
    if targets is not None:
        loss, dy = loss_and_gradient(nets.loss, found.logits, targets)
        dx, found.grads = backward(dy)
        found.loss, found.dx = float(loss), dx[0]
    return found


def _by_autograd(
    nets: Both, params: Any, state: Any, x: np.ndarray, targets: Any, hand: _Pass
) -> _Pass:
    """dL/dy of a layer is the gradient with respect to zeros that are added to its output y."""
    found, paths = _Pass(), list(hand.outputs)

    def forward(params, x, zeros):
        def add(tap):
            y = tap.y if zeros is None else tap.y + zeros[paths.index(tap.path)]
            found.outputs[tap.path] = autodiff.getval(y)
            return y

        return run_with_taps(nets.automatic, params, state, x, add)[0]

    if targets is None:
        found.logits = forward(params, x, None)
        return found

    def run(params, x, zeros):
        y = forward(params, x, zeros)
        return batch_loss(cross_entropy, y, targets, None), autodiff.getval(y)

    zeros = [np.zeros(hand.outputs[path].shape) for path in paths]
    loss, found.logits, backward = autodiff.vjp(run, params, x, zeros)
    found.grads, dx, cotangents = backward(np.float64(1))
    found.loss, found.dx = float(loss), dx[0]
    found.cotangents = dict(zip(paths, cotangents, strict=True))
    return found


def _weight(values: np.ndarray, auto: Any, manual: Any) -> Weight:
    if auto is None:
        return Weight(values)
    return Weight(values, auto, manual, manual - auto, digits(manual, auto))


def _stage(
    name: str, word: str, options: dict, values: np.ndarray, dy: tuple, ties: Any, weights: dict
) -> Stage:
    auto, manual = (None if d is None else d.reshape(values.shape) for d in dy)
    if auto is None or manual is None:
        return Stage(name, word, options, values, None, None, None, None, ties, weights)
    apart, agreed = manual - auto, digits(manual, auto)
    return Stage(name, word, options, values, auto, manual, apart, agreed, ties, weights)


def _ties(layer: Layer, x: np.ndarray) -> np.ndarray | None:
    """True where the gradient is a convention: the first of equal maxima, or the slope at a kink.

    x: the layer's input (1, ...). Returns an array of the shape of its output for one image.
    """
    if layer.name in ("relu", "leaky_relu"):
        return x[0] == 0
    if layer.name == "relu6":
        return (x[0] == 0) | (x[0] == 6)
    if layer.name != "max_pool":
        return None
    (ph, pw), (sh, sw) = layer.options["padding"], layer.options["stride"]
    padded = np.pad(x[0], ((0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, layer.options["size"], (1, 2))
    windows = windows[:, ::sh, ::sw]
    best = windows.max(axis=(3, 4), keepdims=True)
    return (windows == best).sum(axis=(3, 4)) > 1
