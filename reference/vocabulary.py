"""The vocabulary: every word's declaration, which all interpretations share.

A declaration checks the word's arguments, makes its parameters and knows its output shape. What
it computes stands in ``reference`` (by hand), ``autocnn.layers`` (by autograd) and
``autocnn.fast`` (for speed). Shapes are those of one example: (C, H, W) or (D,), without the
batch axis. Ints stand for pairs (vertical, horizontal) in kernel, size, stride, padding and
dilation. Initial weights are drawn from N(0, 2 / fan_in) (He et al. 2015), biases are 0.
"""

import math
from typing import Any

import numpy as np

from reference.arguments import check_windows, image_shape, integer, pair, real, window_shape
from reference.initial import count_layers, filled, he_normal, zeros
from reference.keys import layer_key
from reference.layer import Declaration


def _keeps_shape(key, shape, dtype="float64"):
    return tuple(shape), {}, {}


def _elementwise(name: str, **options: Any) -> Declaration:
    """A word without parameters that keeps the shape."""
    return Declaration(name, options, _keeps_shape)


def relu():
    """max(x, 0), with derivative 0 at 0."""
    return _elementwise("relu")


def leaky_relu(negative_slope: float = 0.01):
    """x where x > 0, else negative_slope x; the derivative at 0 is negative_slope."""
    return _elementwise("leaky_relu", negative_slope=real(negative_slope, "leaky_relu: slope"))


def relu6():
    """min(max(x, 0), 6), with derivative 0 at 0 and at 6 (Howard et al. 2017, MobileNets)."""
    return _elementwise("relu6")


def sigmoid():
    """1 / (1 + exp(-x))."""
    return _elementwise("sigmoid")


def silu():
    """x sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""
    return _elementwise("silu")


def gelu(approximate: str = "none"):
    """x Phi(x), Phi being the normal distribution's cumulative function.

    ``approximate="tanh"`` computes x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) instead.
    Hendrycks and Gimpel 2016, Gaussian error linear units.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f'gelu: approximate is "none" or "tanh"; got {approximate!r}')
    return _elementwise("gelu", approximate=approximate)


def tanh():
    """The hyperbolic tangent."""
    return _elementwise("tanh")


def scaled_tanh(amplitude: float = 1.7159, slope: float = 2 / 3):
    """amplitude tanh(slope x); with the defaults f(1) = 1 and f(-1) = -1.

    LeCun et al. 1998, Gradient-based learning applied to document recognition, appendix A.
    """
    amplitude = real(amplitude, "scaled_tanh: amplitude")
    return _elementwise("scaled_tanh", amplitude=amplitude, slope=real(slope, "scaled_tanh: slope"))


def identity():
    """x itself."""
    return _elementwise("identity")


def dropout(p: float):
    """In training, set each number to 0 with probability p and divide the others by 1 - p.

    In evaluation it is the identity. The mask is drawn from the key alone, so equal keys give
    equal masks in every interpretation. Srivastava et al. 2014, JMLR 15.
    """
    if isinstance(p, bool) or not isinstance(p, (int, float, np.number)) or not 0 <= p < 1:
        raise ValueError(f"dropout: p is the probability of dropping, 0 <= p < 1; got {p!r}")
    return Declaration("dropout", dict(p=float(p)), _keeps_shape, draws=p > 0)


def flatten():
    """Reshape each example to one vector, (C, H, W) -> (C H W,), the last axis fastest."""
    return Declaration("flatten", {}, lambda key, shape, dtype: ((math.prod(shape),), {}, {}))


def dense(units: int, bias: bool = True):
    """A linear map, y = x w + b, (D,) -> (units,). Parameters: w (D, units), b (units,)."""
    units = integer(units, "dense: units")

    def init(key, shape, dtype):
        if len(shape) != 1:
            raise ValueError(
                f"dense needs vectors (D,), got shape {tuple(shape)} without the batch; "
                "put flatten() before it"
            )
        params = {"w": he_normal(key, (shape[0], units), shape[0], dtype)}
        return (units,), params | _bias(key, units, bias, dtype), {}

    return Declaration(
        "dense", dict(units=units, bias=bool(bias)), init,
        multiply_adds=lambda shape, out: shape[0] * out[0],
    )  # fmt: skip


def _bias(key, n, bias, dtype):
    return {"b": zeros(key, (n,), dtype)} if bias else {}


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
        return (filters, *out), params | _bias(key, filters, bias, dtype), {}

    options = dict(
        filters=filters, kernel=kernel, stride=stride, padding=padding, dilation=dilation,
        groups=groups, bias=bool(bias),
    )  # fmt: skip
    return Declaration(
        "conv", options, init,
        multiply_adds=lambda shape, out: math.prod(out) * shape[0] // groups * math.prod(kernel),
    )  # fmt: skip


def _check_groups(word, groups, channels, filters):
    if channels % groups or filters % groups:
        raise ValueError(
            f"{word}: groups={groups} must divide both {channels} input channels and {filters} "
            "filters"
        )


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
        return (filters, *out), params | _bias(key, filters, bias, dtype), {}

    options = dict(
        filters=filters, kernel=kernel, stride=stride, padding=padding,
        output_padding=output_padding, dilation=dilation, groups=groups, bias=bool(bias),
    )  # fmt: skip
    return Declaration(
        word, options, init,
        multiply_adds=lambda shape, out: math.prod(shape) * filters // groups * math.prod(kernel),
    )  # fmt: skip


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


def _scale_and_shift(key, shape, dtype):
    return {"w": filled(key, shape, 1, dtype), "b": filled(key, shape, 0, dtype)}


def batch_norm(momentum: float = 0.1, eps: float = 1e-5):
    """Normalise each channel over the batch: y = w (x - mean) / sqrt(var + eps) + b.

    For (C, H, W) or (D,); the shape stays. Parameters w and b (C,), state mean and var (C,).
    Training takes mean and variance of the batch and moves the state by ``momentum`` towards
    them (its variance with n / (n - 1)); evaluation takes the state. No gradient flows through the
    state. Training with one value a channel is a ValueError. Ioffe and Szegedy 2015.
    """
    momentum = real(momentum, "batch_norm: momentum", 0, 1)
    eps = real(eps, "batch_norm: eps", 0)

    def init(key, shape, dtype):
        params = _scale_and_shift(key, shape[:1], dtype)
        return tuple(shape), params, {"mean": params["b"].copy(), "var": params["w"].copy()}

    return Declaration("batch_norm", dict(momentum=momentum, eps=eps), init)


def layer_norm(eps: float = 1e-5):
    """Normalise each example over all its numbers: y = w (x - mean) / sqrt(var + eps) + b.

    Parameters w and b of the example's shape; the shape stays, as in torch.nn.LayerNorm(shape).
    Ba, Kiros and Hinton 2016, Layer normalization.
    """

    def init(key, shape, dtype):
        return tuple(shape), _scale_and_shift(key, tuple(shape), dtype), {}

    return Declaration("layer_norm", dict(eps=real(eps, "layer_norm: eps", 0)), init)


def group_norm(groups: int, eps: float = 1e-5):
    """Normalise each example over each of ``groups`` groups of neighbouring channels.

    y = w (x - mean) / sqrt(var + eps) + b with w and b (C,), for (C, H, W) or (C,); the shape
    stays. Wu and He 2018, Group normalization.
    """
    groups = integer(groups, "group_norm: groups")

    def init(key, shape, dtype):
        if shape[0] % groups:
            raise ValueError(f"group_norm: groups={groups} must divide the {shape[0]} channels")
        return tuple(shape), _scale_and_shift(key, shape[:1], dtype), {}

    return Declaration("group_norm", dict(groups=groups, eps=real(eps, "group_norm: eps", 0)), init)


def local_response_norm(size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
    """Divide by the strength of neighbouring channels: y_c = x_c / s_c^beta; shapes stay.

    s_c = k + alpha / size sum_{c'} x_c'^2 over the ``size`` channels around c, cut at the edges,
    as in torch. Krizhevsky et al. 2012, section 3.3, where alpha is not divided by size.
    """
    numbers = {
        name: real(value, f"local_response_norm: {name}")
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k))
    }
    size = integer(size, "local_response_norm: size")
    return Declaration("local_response_norm", dict(size=size, **numbers), _keeps_shape)


def serial(*layers):
    """Layers one after another. Params and state are lists with one entry a layer."""

    def init(key, shape, dtype):
        params, state, used = [], [], 0
        for layer in layers:
            shape, p, s = layer.init(layer_key(key, used), shape, dtype)
            used += count_layers(p)
            params.append(p)
            state.append(s)
        return tuple(shape), params, state

    return Declaration("serial", {}, init, layers, tuple(range(len(layers))))


def residual(main, shortcut=None):
    """The sum of two paths, y = main(x) + shortcut(x); the shortcut is the identity unless given.

    Params and state are {"main": ..., "shortcut": ...}. He et al. 2016, Deep residual learning
    for image recognition, equations 1 and 2.
    """

    def init(key, shape, dtype):
        out, p, s = main.init(key, shape, dtype)
        other, q, t = shortcut.init(layer_key(key, count_layers(p)), shape, dtype)
        if out != other:
            raise ValueError(
                f"residual adds its paths, but main ends in {out} and the shortcut in {other}; "
                f"give shortcut=conv({out[0]}, 1, stride=...)"
            )
        return out, {"main": p, "shortcut": q}, {"main": s, "shortcut": t}

    return Declaration("residual", {}, init, (main, shortcut), ("main", "shortcut"))


def concat(*paths):
    """The outputs of several paths, one after another along the channels.

    y = concatenate(path_0(x), path_1(x), ...), (C, H, W) -> (C_0 + C_1 + ..., Ho, Wo); all paths
    end in one Ho and Wo. Params and state are lists with one entry a path. Huang et al. 2017,
    Densely connected convolutional networks, section 3.
    """
    if not paths:
        raise ValueError("concat needs at least one path, as in concat(identity(), conv(8, 1))")

    def init(key, shape, dtype):
        outs, params, state, used = [], [], [], 0
        for path in paths:
            out, p, s = path.init(layer_key(key, used), shape, dtype)
            used += count_layers(p)
            outs.append(out)
            params.append(p)
            state.append(s)
        if len({out[1:] for out in outs}) > 1:
            raise ValueError(
                f"concat needs paths that end in equal sizes, got {', '.join(map(str, outs))}"
            )
        return (sum(out[0] for out in outs), *outs[0][1:]), params, state

    return Declaration("concat", {}, init, paths, tuple(range(len(paths))))


def table_conv(table, kernel):
    """Convolution with a table of connections, (C, H, W) -> (len(table), Ho, Wo).

    ``table[f]`` lists the input channels that filter f sees. Parameters: w (P, kh, kw), one
    kernel for each of the P connections, row by row, with the fan-in of its filter; b (F,).
    LeCun et al. 1998, Gradient-based learning applied to document recognition, Table I.
    """
    try:
        table = tuple(
            tuple(integer(c, "table_conv: a channel", least=0) for c in row) for row in table
        )
    except TypeError:  # not rows of anything
        table = ()
    if not table or any(not row or len(set(row)) < len(row) for row in table):
        raise ValueError(
            "table_conv: the table needs one row a filter, listing different channels, as in "
            "((0, 1), (1, 2))"
        )
    kernel = pair(kernel, "table_conv: kernel")
    connections, last = sum(map(len, table)), max(map(max, table))

    def init(key, shape, dtype):
        c, *size = image_shape("table_conv", shape)
        if last >= c:
            raise ValueError(
                f"table_conv: the table names channel {last}, the input has 0 to {c - 1} only"
            )
        fan_in = np.array([len(row) * math.prod(kernel) for row in table for _ in row])
        unit = he_normal(key, (connections, *kernel), 2, "float64")  # N(0, 1)
        w = (unit * np.sqrt(2 / fan_in)[:, None, None]).astype(dtype)
        out = window_shape("table_conv", tuple(size), kernel, (1, 1))
        return (len(table), *out), {"w": w} | _bias(key, len(table), True, dtype), {}

    return Declaration(
        "table_conv", dict(table=table, kernel=kernel), init,
        multiply_adds=lambda shape, out: math.prod(out[1:]) * connections * math.prod(kernel),
    )  # fmt: skip


def subsample(size: int = 2):
    """The sum of each size x size block, times w[c] plus b[c]: (C, H, W) -> (C, H//size, W//size).

    Parameters w (C,) = 1 / size^2, so that it begins as the mean, and b (C,). LeCun et al. 1998,
    layers S2 and S4.
    """
    size = integer(size, "subsample: size")

    def init(key, shape, dtype):
        c, *image = image_shape("subsample", shape)
        params = {"w": filled(key, (c,), 1 / size**2, dtype), "b": zeros(key, (c,), dtype)}
        out = window_shape("subsample", tuple(image), (size, size), (size, size))
        return (c, *out), params, {}

    return Declaration(
        "subsample", dict(size=size), init, multiply_adds=lambda shape, out: math.prod(out)
    )


def rbf(codes):
    """Minus the squared distance to each of K fixed codes, (D,) -> (K,).

    y_k = -sum_d (x_d - codes_kd)^2. The paper's output units (equation 7) are the distances; with
    the sign turned they are logits, and cross-entropy is its loss (equation 9) without the
    constant e^-j. LeCun et al. 1998, section II.B.
    """
    try:
        codes = tuple(tuple(float(v) for v in row) for row in codes)
        table = np.array(codes)
    except (TypeError, ValueError):
        table = np.empty(0)
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError("rbf: codes must be K rows of D numbers, as in ((1, -1), (-1, 1))")

    def init(key, shape, dtype):
        if tuple(shape) != table.shape[1:]:
            raise ValueError(
                f"rbf: the codes have {table.shape[1]} numbers each, got inputs of shape "
                f"{tuple(shape)}"
            )
        return (len(table),), {}, {}

    return Declaration(
        "rbf", dict(codes=codes), init, multiply_adds=lambda shape, out: shape[0] * out[0]
    )
