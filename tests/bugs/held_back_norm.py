"""Planted bugs: normalisation, held back while the rules were written."""

import numpy as np

from . import bug, normal
from .twins import (
    affine_gradients,
    layer_norm_arrays,
    norm_arrays,
    normalise,
)


@bug("batch-norm", norm_arrays, "missing-path")
def batch_norm_variance_path_missing(x, scale, shift):
    """The gradient through the variance is left out."""
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        return {"x": (d - d.mean(axis=0)) / std, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "axis-scale")
def batch_norm_scale_missing(x, scale, shift):
    """dx without the factor scale: one factor per feature is missing."""
    x_hat, std = normalise(x)

    def backward(dy):
        dx = (dy - dy.mean(axis=0) - x_hat * (dy * x_hat).mean(axis=0)) / std
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "eps", "axis-scale", "missing-path", "wrong-operand")
def batch_norm_eps_missing(x, scale, shift, eps=1e-5):
    """eps is in the forward pass only; the gradient differs in the sixth digit."""
    x_hat, _ = normalise(x, eps)  # nearly a factor per feature; or: the gradient at eps = 0

    def backward(dy):
        std = x.std(axis=0)
        hat, d = (x - x.mean(axis=0)) / std, dy * scale
        dx = (d - d.mean(axis=0) - hat * (d * hat).mean(axis=0)) / std
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "missing-path", "additive")
def batch_norm_variance_twice(x, scale, shift):
    """The variance's route is counted twice: the 2 of the square and the 2 of 0.5 were both
    kept.
    """
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        dx = (d - d.mean(axis=0) - 2 * x_hat * (d * x_hat).mean(axis=0)) / std
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "axis-scale")
def batch_norm_variance_for_std(x, scale, shift):
    """dx is divided by the variance: the square root was forgotten."""
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std**2
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("layer-norm", layer_norm_arrays, "missing-path", "wrong-operand", "transposed")
def layer_norm_scale_left_out_of_the_means(x, scale, shift):
    """scale multiplies at the end; here it differs along the row, so it belongs inside the
    means.
    """
    # scale P dy for P scale dy, with a symmetric P: that is the Jacobian applied where its
    # transpose belongs
    x_hat, std = normalise(x, axis=1)

    def backward(dy):
        m1, m2 = dy.mean(axis=1, keepdims=True), (dy * x_hat).mean(axis=1, keepdims=True)
        return {"x": scale * (dy - m1 - x_hat * m2) / std, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("layer-norm", normal(x=(5, 7), scale=(7,)), "missing-path")
def rms_norm_rms_as_constant(x, scale, eps=1e-6):
    """The root mean square is treated as a constant."""
    rms = np.sqrt((x * x).mean(axis=1, keepdims=True) + eps)
    return x / rms * scale, lambda dy: {"x": dy * scale / rms, "scale": (dy * x / rms).sum(axis=0)}
