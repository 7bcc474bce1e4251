"""Grad-CAM: the feature maps of a layer, weighted by what they mean for the score of a class."""

from typing import Any

import numpy as np

from autocnn import autodiff, layers
from autocnn.inspection.walk import named_layers, rebuild, run_with_taps, walk
from autocnn.text import did_you_mean
from autocnn.typing import Array, Tree
from reference.layer import Layer

__all__ = ["grad_cam", "last_convolution", "layer_gradient", "resized"]

CONVOLUTIONS = ("conv", "table_conv", "conv_transpose")


def grad_cam(
    model: Any, params: Tree, state: Tree, x: Array, label: int, layer: str | None = None
) -> tuple[Array, str]:
    """Return (map (h, w) of the layer's size, name of the layer).

    alpha_k = mean over the pixels of dS/dA_k, map = ReLU(sum_k alpha_k A_k), for the layer's
    feature maps A_k. Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra 2017, Grad-CAM: visual
    explanations from deep networks via gradient-based localization, equations 1 and 2.

    layer: its name in ``trace`` and ``summary``, by default the last convolution. ValueError for a
    name that the network does not have, and for a layer without feature maps.
    """
    name = last_convolution(model) if layer is None else layer
    maps, slopes = layer_gradient(model, params, state, x, label, name)
    if maps.ndim != 3:
        raise ValueError(f"grad-cam needs feature maps; the output of {name} is {maps.shape}")
    weights = slopes.mean(axis=(1, 2))
    return np.maximum(np.tensordot(weights, maps, 1), 0), name


def last_convolution(model: Any) -> str:
    """Return the name of a network's last convolution; ValueError where it has none."""
    words = dict(walk(model))
    found = [name for path, name in named_layers(model) if words[path].name in CONVOLUTIONS]
    if not found:
        raise ValueError(
            "grad-cam needs a network with a convolution; saliency, integrated-gradients and "
            "occlusion work on every network"
        )
    return found[-1]


def layer_gradient(
    model: Any, params: Tree, state: Tree, x: Array, label: int, name: str
) -> tuple[Array, Array]:
    """Return (a layer's output A, dS/dA) for one image x (C, H, W), without the batch axis.

    Networks by hand and fast ones are asked on their way back what reaches the layer. For one by
    autograd, dS/dA is the gradient with respect to zeros that are added to A.
    """
    names = {name: path for path, name in named_layers(model)}
    if name not in names:
        raise ValueError(
            f"there is no layer {name!r}; there are {', '.join(names)}{did_you_mean(name, names)}"
        )
    path = names[name]
    if type(model) is layers.Layer:
        return _by_autograd(model, params, state, x[None], label, path)
    return _on_the_way_back(model, params, state, x[None], label, path)


def _by_autograd(
    model: Layer, params: Tree, state: Tree, x: Array, label: int, path: tuple
) -> tuple[Array, Array]:
    found: list[Array] = []

    def run(zeros: Any) -> tuple[Any, None]:
        def add(tap: Any) -> Any:
            if tap.path != path:
                return None
            found.append(autodiff.getval(tap.y))
            return tap.y if zeros is None else tap.y + zeros

        logits, _ = run_with_taps(model, params, state, x, add)
        return logits[0, label], None

    run(None)
    _, _, backward = autodiff.vjp(run, np.zeros_like(found[0]))
    (slopes,) = backward(x.dtype.type(1))
    return found[0][0], slopes[0]


def _on_the_way_back(
    model: Layer, params: Tree, state: Tree, x: Array, label: int, path: tuple
) -> tuple[Array, Array]:
    found: dict[str, Array] = {}

    def observed(here: tuple, layer: Layer) -> Layer:
        if here != path or layer.name == "serial":
            return layer

        def backprop(params: Tree, state: Tree, x: Array, train: bool, key: Any) -> Any:
            y, after, back = layer.pullback(params, state, x, train, key)
            found["maps"] = np.asarray(y)

            def backward(dy: Array, *more: Any) -> Any:
                found["slopes"] = np.asarray(dy)
                return back(dy, *more) if layer.is_by_hand or _is_fast(layer) else back(dy)

            return y, after, backward

        # Under its own name the fast interpretation would fuse it with its neighbours.
        return layer.replace(name=f"observed {layer.name}", forward=None, backprop=backprop)

    y, _, backward = rebuild(model, observed).vjp(params, state, x)
    dy = np.zeros_like(y)
    dy[0, label] = 1
    backward(dy)
    return found["maps"][0], found["slopes"][0]


def _is_fast(layer: Layer) -> bool:
    from autocnn import fast

    return isinstance(layer, fast.Layer)


def resized(a: Array, size: tuple[int, int]) -> Array:
    """Scale a map (h, w) to ``size`` (H, W), bilinearly between the centres of its pixels."""
    for axis, n in enumerate(size):
        a = np.moveaxis(np.moveaxis(a, axis, -1) @ _weights(a.shape[axis], n, a.dtype), -1, axis)
    return a


def _weights(old: int, new: int, dtype: Any) -> Array:
    """The matrix (old, new) that interpolates a row of numbers."""
    at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    left = np.minimum(at.astype(int), max(old - 2, 0))
    share, matrix = at - left, np.zeros((old, new))
    matrix[left, np.arange(new)] += 1 - share
    matrix[np.minimum(left + 1, old - 1), np.arange(new)] += share
    return matrix.astype(dtype)
