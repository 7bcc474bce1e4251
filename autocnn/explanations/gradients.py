"""Explanations by the gradient of a class's score with respect to the image.

x is one image (C, H, W) as it enters the network, of the parameters' dtype; label an int. Each
returns an array (C, H, W).
"""

import numpy as np

from autocnn.keys import rng
from autocnn.typing import Array, Key, Model, Tree

__all__ = [
    "input_gradient",
    "input_x_gradient",
    "integrated_gradients",
    "saliency",
    "score",
    "smooth_grad",
]

BATCH = 16  # images at a time


def score(model: Model, params: Tree, state: Tree, x: Array, label: int) -> Array:
    """Return the logits of class ``label`` for a batch x (N, C, H, W), (N,), in evaluation mode."""
    parts = [x[i : i + BATCH] for i in range(0, len(x), BATCH)]
    return np.concatenate([model.apply(params, state, part)[0][:, label] for part in parts])


def input_gradient(model: Model, params: Tree, state: Tree, x: Array, label: int) -> Array:
    """Return the gradient of ``score`` with respect to each image of a batch, (N, C, H, W)."""
    found = []
    for i in range(0, len(x), BATCH):
        y, _, backward = model.vjp(params, state, x[i : i + BATCH])
        dy = np.zeros_like(y)
        dy[:, label] = 1
        found.append(np.asarray(backward(dy)[0]))
    return np.concatenate(found)


def saliency(model: Model, params: Tree, state: Tree, x: Array, label: int) -> Array:
    """|dS/dx|: how much the score changes with each number of the image.

    Simonyan, Vedaldi and Zisserman 2014, Deep inside convolutional networks, section 3.
    """
    return np.abs(input_gradient(model, params, state, x[None], label)[0])


def input_x_gradient(model: Model, params: Tree, state: Tree, x: Array, label: int) -> Array:
    """x dS/dx: each number's share in a linear model of the score.

    Shrikumar, Greenside, Shcherbina and Kundaje 2016, Not just a black box.
    """
    return x * input_gradient(model, params, state, x[None], label)[0]


def integrated_gradients(
    model: Model,
    params: Tree,
    state: Tree,
    x: Array,
    label: int,
    baseline: float = 0.0,
    steps: int = 50,
) -> Array:
    """(x - b) times the mean of dS/dx on the line from the image b of one value to x.

    The sum over all pixels is S(x) - S(b), up to the error of ``steps`` points of Gauss and
    Legendre. Sundararajan, Taly and Yan 2017, Axiomatic attribution for deep networks, equation 1.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    start = np.full_like(x, baseline)
    at = ((points + 1) / 2).astype(x.dtype).reshape(-1, 1, 1, 1)
    gradients = input_gradient(model, params, state, start + at * (x - start), label)
    return (x - start) * np.tensordot((weights / 2).astype(x.dtype), gradients, 1)


def smooth_grad(
    model: Model,
    params: Tree,
    state: Tree,
    x: Array,
    label: int,
    samples: int = 50,
    noise: float = 0.15,
    seed: Key = 0,
) -> Array:
    """The mean of dS/dx over images with normal noise of ``noise`` times the image's range.

    Smilkov, Thorat, Kim, Viegas and Wattenberg 2017, SmoothGrad: removing noise by adding noise.
    """
    deviation = noise * float(x.max() - x.min())
    noisy = x + deviation * rng(seed).standard_normal((samples, *x.shape))
    return input_gradient(model, params, state, noisy.astype(x.dtype), label).mean(axis=0)
