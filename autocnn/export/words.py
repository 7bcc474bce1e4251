"""The words in ONNX: one function a word that adds its nodes to the graph.

Each takes (graph, name of the output, options, params, state, name of the input, shape of one
input) and returns the name of its output.
"""

import math

import numpy as np

__all__ = ["FIRST_OPSET", "WORDS"]

FIRST_OPSET = {"layer_norm": 17}  # of words that need a later one than all others


def _conv(graph, name, o, params, state, x, shape):
    return _convolution(
        graph,
        name,
        x,
        params["w"],
        params.get("b"),
        o["stride"],
        o["padding"],
        o["dilation"],
        o["groups"],
    )


def _convolution(graph, name, x, w, b, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    inputs = [x, graph.constant(f"{name}.w", w)] + (
        [] if b is None else [graph.constant(f"{name}.b", b)]
    )
    windows = dict(
        kernel_shape=w.shape[2:], strides=stride, pads=(*padding, *padding), dilations=dilation
    )
    return graph.node("Conv", inputs, name, group=groups, **windows)


def _table_conv(graph, name, o, params, state, x, shape):
    """A convolution whose kernels (F, C, kh, kw) are 0 where the table connects nothing."""
    pairs = [(f, c) for f, row in enumerate(o["table"]) for c in row]
    w = np.zeros((len(o["table"]), shape[0], *o["kernel"]), np.float32)
    for (f, c), kernel in zip(pairs, params["w"], strict=True):
        w[f, c] = kernel
    return _convolution(graph, name, x, w, params["b"])


def _subsample(graph, name, o, params, state, x, shape):
    """A convolution, channel by channel, with a kernel of equal weights."""
    w = np.broadcast_to(
        params["w"].reshape(-1, 1, 1, 1), (len(params["w"]), 1, o["size"], o["size"])
    )
    return _convolution(graph, name, x, w, params["b"], (o["size"],) * 2, groups=len(w))


def _dense(graph, name, o, params, state, x, shape):
    inputs = [x, graph.constant(f"{name}.w", params["w"])]
    return graph.node(
        "Gemm", inputs + ([graph.constant(f"{name}.b", params["b"])] if "b" in params else []), name
    )


def _batch_norm(graph, name, o, params, state, x, shape):
    statistics = {"w": params["w"], "b": params["b"], "mean": state["mean"], "var": state["var"]}
    inputs = [x, *(graph.constant(f"{name}.{leaf}", a) for leaf, a in statistics.items())]
    return graph.node("BatchNormalization", inputs, name, epsilon=float(o["eps"]))


def _local_response_norm(graph, name, o, params, state, x, shape):
    """ONNX's own, which divides alpha by the size as torch does; runtimes know it for odd sizes
    only.

    For an even size the sum over neighbouring channels is a 1x1 convolution of the squares with a
    band matrix.
    """
    size, alpha = o["size"], float(o["alpha"])
    if size % 2:
        return graph.node(
            "LRN", [x], name, size=size, alpha=alpha, beta=float(o["beta"]), bias=float(o["k"])
        )
    c = np.arange(shape[0])
    near = (-(size // 2) <= c - c[:, None]) & (c - c[:, None] <= (size - 1) // 2)  # (C, C')
    squares = graph.node("Mul", [x, x], f"{name}.squares")
    band, k = alpha / size * near[:, :, None, None], np.full(len(c), o["k"], float)
    strength = _convolution(graph, f"{name}.strength", squares, band, k)
    power = graph.node(
        "Pow", [strength, graph.constant(f"{name}.power", np.float32(-o["beta"]))], f"{name}.scale"
    )
    return graph.node("Mul", [x, power], name)


def _pool(op, **attributes):
    def add(graph, name, o, params, state, x, shape):
        windows = dict(
            kernel_shape=o["size"], strides=o["stride"], pads=(*o["padding"], *o["padding"])
        )
        return graph.node(op, [x], name, **windows, **attributes)

    return add


def _global_avg_pool(graph, name, o, params, state, x, shape):
    return graph.node(
        "Flatten", [graph.node("GlobalAveragePool", [x], f"{name}.mean")], name, axis=1
    )


def _scaled_tanh(graph, name, o, params, state, x, shape):
    inner = graph.node(
        "Mul", [x, graph.constant(f"{name}.slope", np.float32(o["slope"]))], f"{name}.inner"
    )
    squashed = graph.node("Tanh", [inner], f"{name}.tanh")
    return graph.node(
        "Mul", [squashed, graph.constant(f"{name}.amplitude", np.float32(o["amplitude"]))], name
    )


def _rbf(graph, name, o, params, state, x, shape):
    row = graph.node(
        "Unsqueeze", [x, graph.constant(f"{name}.row", np.array([1]))], f"{name}.x"
    )  # (N, 1, D)
    away = graph.node(
        "Sub",
        [row, graph.constant(f"{name}.codes", np.array(o["codes"], np.float32))],
        f"{name}.away",
    )
    squares = graph.node("Mul", [away, away], f"{name}.squares")  # (N, K, D)
    total = graph.node(
        "ReduceSum",
        [squares, graph.constant(f"{name}.axis", np.array([2]))],
        f"{name}.sum",
        keepdims=0,
    )
    return graph.node("Neg", [total], name)


def _plain(op, **attributes):
    return lambda graph, name, o, params, state, x, shape: graph.node(op, [x], name, **attributes)


def _activation(*steps):
    """A chain of nodes (op, second input or None); "x" as second input is the word's own input."""

    def add(graph, name, o, params, state, x, shape):
        y = x
        for i, (op, other) in enumerate(steps):
            last = i == len(steps) - 1
            out = name if last else f"{name}.{i}"
            more = [x] if other == "x" else []
            if isinstance(other, float):
                more = [graph.constant(f"{out}.constant", np.float32(other))]
            y = graph.node(op, [y, *more], out)
        return y

    return add


_erf_gelu = _activation(
    ("Div", math.sqrt(2)), ("Erf", None), ("Add", 1.0), ("Mul", 0.5), ("Mul", "x")
)


def _gelu(graph, name, o, params, state, x, shape):
    if o["approximate"] == "none":
        return _erf_gelu(graph, name, o, params, state, x, shape)
    # x / 2 (1 + tanh(sqrt(2 / pi) x (1 + 0.044715 x^2)))
    square = graph.node("Mul", [x, x], f"{name}.square")
    scale = math.sqrt(2 / math.pi)
    chain = [("Mul", 0.044715 * scale), ("Add", scale)]
    inner = _activation(*chain)(graph, f"{name}.inner", o, params, state, square, shape)
    inner = graph.node("Mul", [inner, x], f"{name}.argument")
    chain = [("Tanh", None), ("Add", 1.0), ("Mul", 0.5)]
    half = _activation(*chain)(graph, f"{name}.half", o, params, state, inner, shape)
    return graph.node("Mul", [half, x], name)


def _leaky_relu(graph, name, o, params, state, x, shape):
    return graph.node("LeakyRelu", [x], name, alpha=float(o["negative_slope"]))


def _relu6(graph, name, o, params, state, x, shape):
    limits = [graph.constant(f"{name}.{n}", np.float32(n)) for n in (0, 6)]
    return graph.node("Clip", [x, *limits], name)


def _conv_transpose(graph, name, o, params, state, x, shape):
    leaves = [graph.constant(f"{name}.{leaf}", a) for leaf, a in params.items()]
    windows = dict(
        kernel_shape=o["kernel"], strides=o["stride"], pads=(*o["padding"], *o["padding"]),
        dilations=o["dilation"], output_padding=o["output_padding"],
    )  # fmt: skip
    return graph.node("ConvTranspose", [x, *leaves], name, group=o["groups"], **windows)


def _layer_norm(graph, name, o, params, state, x, shape):
    leaves = [graph.constant(f"{name}.{leaf}", params[leaf]) for leaf in "wb"]
    return graph.node("LayerNormalization", [x, *leaves], name, axis=1, epsilon=float(o["eps"]))


def _group_norm(graph, name, o, params, state, x, shape):
    """Instance normalisation of the groups as channels, then a scale and shift a channel."""
    groups, column = o["groups"], (-1, *(1,) * (len(shape) - 1))
    rows = graph.node(
        "Reshape", [x, graph.constant(f"{name}.groups", np.array([0, groups, -1]))], f"{name}.rows"
    )
    one, zero = (graph.constant(f"{name}.{n}", np.full(groups, n, float)) for n in (1, 0))
    z = graph.node("InstanceNormalization", [rows, one, zero], f"{name}.z", epsilon=float(o["eps"]))
    back = graph.constant(f"{name}.shape", np.array([0, *shape]))
    z = graph.node("Reshape", [z, back], f"{name}.image")
    w, b = (graph.constant(f"{name}.{leaf}", params[leaf].reshape(column)) for leaf in "wb")
    return graph.node("Add", [graph.node("Mul", [z, w], f"{name}.scaled"), b], name)


def _nothing(graph, name, o, params, state, x, shape):
    return x


WORDS = {
    "avg_pool": _pool("AveragePool", count_include_pad=1),
    "batch_norm": _batch_norm,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "dense": _dense,
    "dropout": _nothing,
    "flatten": _plain("Flatten", axis=1),
    "gelu": _gelu,
    "global_avg_pool": _global_avg_pool,
    "group_norm": _group_norm,
    "identity": _nothing,
    "layer_norm": _layer_norm,
    "leaky_relu": _leaky_relu,
    "local_response_norm": _local_response_norm,
    "max_pool": _pool("MaxPool"),
    "rbf": _rbf,
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "scaled_tanh": _scaled_tanh,
    "sigmoid": _plain("Sigmoid"),
    "silu": _activation(("Sigmoid", None), ("Mul", "x")),
    "subsample": _subsample,
    "table_conv": _table_conv,
    "tanh": _plain("Tanh"),
}
