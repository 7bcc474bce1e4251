"""Planted bugs: normalisation."""

import numpy as np

from . import bug, normal
from .twins import (
    affine_gradients,
    layer_norm_arrays,
    norm_2d_arrays,
    norm_arrays,
    normalise,
)


@bug("batch-norm", norm_arrays, "missing-path")
def batch_norm_statistics_as_constants(x, scale, shift):
    """Mean and variance are treated as constants: dx = dy scale / std."""
    x_hat, std = normalise(x)
    return scale * x_hat + shift, lambda dy: {"x": dy * scale / std, **affine_gradients(x_hat, dy)}


@bug("batch-norm", norm_arrays, "missing-path")
def batch_norm_mean_path_missing(x, scale, shift):
    """The gradient through the mean is left out."""
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        return {"x": (d - x_hat * (d * x_hat).mean(axis=0)) / std, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "missing-path", "wrong-operand")
def batch_norm_bessel(x, scale, shift, eps=1e-5):
    """The variance in backward is taken with N - 1, in forward with N."""
    x_hat, _ = normalise(x, eps)  # the routes with wrong weights; or: right for another variance

    def backward(dy):
        N = len(x)
        std = np.sqrt(x.var(axis=0, ddof=1) + eps)
        d = dy * scale
        hat = (x - x.mean(axis=0)) / std
        dx = (N * d - d.sum(axis=0) - hat * (d * hat).sum(axis=0)) / (N * std)
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "missing-path", "additive")
def batch_norm_sums_for_means(x, scale, shift):
    """The two corrections are sums over the batch, not means: both routes are there, N times too
    strong.
    """
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        dx = (d - d.sum(axis=0) - x_hat * (d * x_hat).sum(axis=0)) / std
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "wrong-operand")
def batch_norm_dscale_from_raw_x(x, scale, shift):
    """dscale = sum dy x for sum dy x_hat."""
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std
        return {"x": dx, "scale": (dy * x).sum(axis=0), "shift": dy.sum(axis=0)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_2d_arrays, "scale")
def batch_norm_2d_dscale_averaged(x, scale, shift):
    """dscale and dshift are means over examples and positions."""
    c = (slice(None), None, None)
    x_hat, std = normalise(x, axis=(0, 2, 3))

    def backward(dy):
        d = dy * scale[c]
        dx = (
            d
            - d.mean((0, 2, 3), keepdims=True)
            - x_hat * (d * x_hat).mean((0, 2, 3), keepdims=True)
        ) / std
        return {
            "x": dx,
            "scale": (dy * x_hat).mean(axis=(0, 2, 3)),
            "shift": dy.mean(axis=(0, 2, 3)),
        }

    return scale[c] * x_hat + shift[c], backward


@bug("batch-norm", norm_2d_arrays, "missing-path", "wrong-operand")
def batch_norm_2d_corrections_over_batch_only(x, scale, shift):
    """Adapted from the dense layer: the two corrections average over the examples, not over the
    positions.
    """
    c = (slice(None), None, None)
    x_hat, std = normalise(x, axis=(0, 2, 3))

    def backward(dy):
        d = dy * scale[c]
        dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std
        return {"x": dx, "scale": (dy * x_hat).sum(axis=(0, 2, 3)), "shift": dy.sum(axis=(0, 2, 3))}

    return scale[c] * x_hat + shift[c], backward


@bug("batch-norm", norm_arrays, "axis-scale")
def batch_norm_std_missing(x, scale, shift):
    """dx is not divided by the standard deviation."""
    x_hat, _ = normalise(x)

    def backward(dy):
        d = dy * scale
        return {
            "x": d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0),
            **affine_gradients(x_hat, dy),
        }

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "wrong-operand", "missing-path")
def batch_norm_raw_x_for_x_hat(x, scale, shift):
    """The variance's route multiplies by x - mean where x_hat belongs."""
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        dx = (d - d.mean(axis=0) - (x - x.mean(axis=0)) * (d * x_hat).mean(axis=0)) / std
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("batch-norm", norm_arrays, "wrong-operand", "additive")
def batch_norm_dscale_from_output(x, scale, shift):
    """dscale = sum dy y: the cached output was taken for x_hat."""
    x_hat, std = normalise(x)
    y = scale * x_hat + shift

    def backward(dy):
        d = dy * scale
        dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std
        return {"x": dx, "scale": (dy * y).sum(axis=0), "shift": dy.sum(axis=0)}

    return y, backward


@bug("batch-norm", norm_arrays, "scale")
def batch_norm_dshift_averaged(x, scale, shift):
    """dshift = dy.mean(axis=0)."""
    x_hat, std = normalise(x)

    def backward(dy):
        d = dy * scale
        dx = (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std
        return {"x": dx, "scale": (dy * x_hat).sum(axis=0), "shift": dy.mean(axis=0)}

    return scale * x_hat + shift, backward


@bug("layer-norm", layer_norm_arrays, "missing-path")
def layer_norm_mean_path_missing(x, scale, shift):
    """The gradient through the row's mean is left out."""
    x_hat, std = normalise(x, axis=1)

    def backward(dy):
        d = dy * scale
        dx = (d - x_hat * (d * x_hat).mean(axis=1, keepdims=True)) / std
        return {"x": dx, **affine_gradients(x_hat, dy)}

    return scale * x_hat + shift, backward


@bug("layer-norm", layer_norm_arrays, "missing-path", "wrong-operand")
def layer_norm_corrections_over_the_batch(x, scale, shift):
    """Copied from batch norm: the corrections average over axis 0."""
    x_hat, std = normalise(x, axis=1)

    def backward(dy):
        d = dy * scale
        return {
            "x": (d - d.mean(axis=0) - x_hat * (d * x_hat).mean(axis=0)) / std,
            **affine_gradients(x_hat, dy),
        }

    return scale * x_hat + shift, backward


@bug("layer-norm", layer_norm_arrays, "shape")
def layer_norm_dscale_over_features(x, scale, shift):
    """dscale and dshift are summed over the features, axis 1, and come out one per example."""
    x_hat, std = normalise(x, axis=1)

    def backward(dy):
        d = dy * scale
        m1, m2 = d.mean(axis=1, keepdims=True), (d * x_hat).mean(axis=1, keepdims=True)
        return {
            "x": (d - m1 - x_hat * m2) / std,
            "scale": (dy * x_hat).sum(axis=1),
            "shift": dy.sum(axis=1),
        }

    return scale * x_hat + shift, backward


@bug("layer-norm", normal(x=(5, 7)), "missing-path")
def l2_normalise_norm_as_constant(x):
    """Rows divided by their length, whose own gradient is left out."""
    length = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return x / length, lambda dy: {"x": dy / length}
