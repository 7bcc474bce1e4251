"""Convolution and pooling over images (C, H, W).

Ints stand for pairs (vertical, horizontal) in kernel, size, stride, padding and dilation.
"""

import math

from reference.arguments import check_windows, image_shape, integer, pair, window_shape
from reference.initial import he_normal, initial_bias
from reference.layer import Declaration

__all__ = ["avg_pool", "conv", "conv_transpose", "global_avg_pool", "max_pool"]


def conv(filters, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True):
    """Convolution (cross-correlation, as in torch), (C, H, W) -> (filters, Ho, Wo).

    y[f, i, j] = b[f] + sum_{c, u, v} w[f, c, u, v] x[c, i s + u d - p, j s + v d - p], with stride
    s, padding p (zeros) and dilation d; c runs over the channels of f's group. Parameters: w
    (filters, C / groups, kh, kw), b (filters,); fan_in = C / groups kh kw.
    """
    filters, groups = integer(filters, "conv: filters"), integer(groups, "conv: groups")
    kernel, stride = pair(kernel, "conv: kernel"), pair(stride, "conv: stride")
    padding, dilation = pair(padding, "conv: padding", 0), pair(dilation, "conv: dilation")

    def init(key, shape, dtype):
        c, *size = image_shape("conv", shape)
        _check_groups("conv", groups, c, filters)
        out = window_shape("conv", tuple(size), kernel, stride, padding, dilation)
        fan_in = c // groups * math.prod(kernel)
        params = {"w": he_normal(key, (filters, c // groups, *kernel), fan_in, dtype)}
        return (filters, *out), params | initial_bias(key, filters, bias, dtype), {}

    options = dict(
        filters=filters, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        groups=groups, bias=bool(bias),
    )  # fmt: skip
    return Declaration(
        "conv", options, init,
        multiply_adds=lambda shape, out: math.prod(out) * shape[0] // groups * math.prod(kernel),
    )  # fmt: skip


def conv_transpose(
    filters, kernel, stride=1, padding=0, output_padding=0, dilation=1, groups=1, bias=True
):
    """Transposed convolution, the adjoint of ``conv``, (C, H, W) -> (filters, Ho, Wo).

    Each input cell adds its kernel to the output: y[f, i s + u d - p, j s + v d - p] +=
    sum_c x[c, i, j] w[c, f, u, v], and then b[f] is added. Ho = (H - 1) s - 2 p + d (kh - 1) +
    output_padding + 1, as in torch.nn.ConvTranspose2d. Parameters: w (C, filters / groups, kh,
    kw), b (filters,); fan_in = C / groups kh kw. Dumoulin and Visin 2016, A guide to convolution
    arithmetic for deep learning.
    """
    word = "conv_transpose"
    filters, groups = integer(filters, f"{word}: filters"), integer(groups, f"{word}: groups")
    kernel, stride = pair(kernel, f"{word}: kernel"), pair(stride, f"{word}: stride")
    padding, dilation = pair(padding, f"{word}: padding", 0), pair(dilation, f"{word}: dilation")
    output_padding = pair(output_padding, f"{word}: output_padding", 0)
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise ValueError(
            f"{word}: output_padding {output_padding} must be smaller than stride or dilation"
        )

    def init(key, shape, dtype):
        c, *size = image_shape(word, shape)
        _check_groups(word, groups, c, filters)
        geometry = zip(size, kernel, stride, padding, dilation, output_padding, strict=True)
        out = tuple((n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in geometry)
        if min(out) < 1:
            raise ValueError(f"{word}: padding {padding} leaves nothing of the output {out}")
        fan_in = c // groups * math.prod(kernel)
        params = {"w": he_normal(key, (c, filters // groups, *kernel), fan_in, dtype)}
        return (filters, *out), params | initial_bias(key, filters, bias, dtype), {}

    options = dict(
        filters=filters, kernel=kernel, stride=stride, padding=padding,
        output_padding=output_padding, dilation=dilation, groups=groups, bias=bool(bias),
    )  # fmt: skip
    return Declaration(
        word, options, init,
        multiply_adds=lambda shape, out: math.prod(shape) * filters // groups * math.prod(kernel),
    )  # fmt: skip


def _check_groups(word, groups, channels, filters):
    if channels % groups or filters % groups:
        raise ValueError(
            f"{word}: groups={groups} must divide both {channels} input channels and {filters} "
            "filters"
        )


def _pool(word, size, stride, padding):
    size = pair(size, f"{word}: size")
    stride = size if stride is None else pair(stride, f"{word}: stride")
    padding = pair(padding, f"{word}: padding", 0)
    check_windows(word, size, padding)

    def init(key, shape, dtype):
        c, *image = image_shape(word, shape)
        return (c, *window_shape(word, tuple(image), size, stride, padding)), {}, {}

    return Declaration(word, dict(size=size, stride=stride, padding=padding), init)


def max_pool(size, stride=None, padding=0):
    """The maximum of each window, (C, H, W) -> (C, Ho, Wo), rounded down.

    The first of equal maxima, row by row, takes all the gradient; padding never wins. The stride
    is the window's size unless given.
    """
    return _pool("max_pool", size, stride, padding)


def avg_pool(size, stride=None, padding=0):
    """The mean of each window, padding counted as zeros, (C, H, W) -> (C, Ho, Wo), rounded down."""
    return _pool("avg_pool", size, stride, padding)


def global_avg_pool():
    """The mean of each channel over the whole image, (C, H, W) -> (C,)."""

    def init(key, shape, dtype):
        return image_shape("global_avg_pool", shape)[:1], {}, {}

    return Declaration("global_avg_pool", {}, init)
