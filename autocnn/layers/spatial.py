"""Convolution and pooling layers over images (C, H, W)."""

from autocnn import ops
from autocnn.layers.initial import he_normal, zeros
from autocnn.layers.layer import Layer
from autocnn.ops.arguments import pair, whole, window_shape

__all__ = ["avg_pool", "conv", "global_avg_pool", "max_pool"]


def conv(filters, kernel, stride=1, padding=0, dilation=1, groups=1, bias=True):
    """Convolve with learned kernels: (C, H, W) -> (filters, Ho, Wo); see ``ops.conv2d`` for the
    formula.

    Parameters w (filters, C / groups, kh, kw) ~ N(0, 2 / fan_in) with fan_in = C / groups * kh *
    kw, and b (filters,) = 0. Ints stand for pairs in kernel, stride, padding and dilation.
    """
    filters, groups = whole(filters, "conv: filters"), whole(groups, "conv: groups")
    kh, kw = pair(kernel, "conv: kernel")
    stride, dilation = pair(stride, "conv: stride"), pair(dilation, "conv: dilation")
    padding = pair(padding, "conv: padding", least=0)

    def init(key, shape, dtype="float64"):
        c, h, w = image_shape("conv", shape)
        if c % groups or filters % groups:
            raise ValueError(
                f"conv: groups={groups} must divide both {c} input channels and {filters} filters"
            )
        size = window_shape((h, w), (kh, kw), stride, padding, dilation, op="conv")
        params = {"w": he_normal(key, (filters, c // groups, kh, kw), c // groups * kh * kw, dtype)}
        if bias:
            params["b"] = zeros(key, (filters,), dtype)
        return (filters, *size), params, {}

    def forward(params, state, x, train, key):
        return ops.conv2d(x, params["w"], params.get("b"), stride, padding, dilation, groups), state

    options = dict(filters=filters, kernel=(kh, kw), stride=stride, padding=padding)
    return Layer("conv", options | dict(dilation=dilation, groups=groups, bias=bias), init, forward)


def max_pool(size, stride=None, padding=0):
    """Take each window's maximum; the first of equal maxima takes all the gradient. (C, H, W) ->
    (C, Ho, Wo), rounded down.
    """
    return _pool("max_pool", ops.max_pool2d, size, stride, padding)


def avg_pool(size, stride=None, padding=0):
    """Average each window, padding counted as zeros. (C, H, W) -> (C, Ho, Wo), rounded down."""
    return _pool("avg_pool", ops.avg_pool2d, size, stride, padding)


def global_avg_pool():
    """Average each channel over the whole image: (C, H, W) -> (C,)."""

    def init(key, shape, dtype="float64"):
        return image_shape("global_avg_pool", shape)[:1], {}, {}

    def forward(params, state, x, train, key):
        return ops.flatten(ops.adaptive_avg_pool2d(x, 1), 1), state

    return Layer("global_avg_pool", {}, init, forward)


def _pool(name, op, size, stride, padding):
    size = pair(size, f"{name}: size")
    stride = size if stride is None else pair(stride, f"{name}: stride")
    padding = pair(padding, f"{name}: padding", least=0)
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ValueError(f"{name}: padding {padding} must be at most half the window {size}")

    def init(key, shape, dtype="float64"):
        c, h, w = image_shape(name, shape)
        return (c, *window_shape((h, w), size, stride, padding, op=name)), {}, {}

    def forward(params, state, x, train, key):
        return op(x, size, stride, padding), state

    return Layer(name, dict(size=size, stride=stride, padding=padding), init, forward)


def image_shape(name, shape):
    """Return ``shape`` as (C, H, W); ValueError when it is not an image's."""
    if len(shape) != 3:
        raise ValueError(
            f"{name} needs images (C, H, W), got shape {tuple(shape)} (no batch); a grey image is (1, H, W)"
        )
    return shape
