"""ONNX: one more interpretation of the vocabulary, which writes a graph instead of computing.

    # pip install 'autocnn[onnx]'
    export.save_onnx("lenet5.onnx", model, params, state, (1, 28, 28))
    onnxruntime.InferenceSession("lenet5.onnx").run(None, {"images": x})       # logits

A network is walked as ``summary`` walks it, by each layer's word, options and parts, so that models
of every vocabulary export alike. Graphs are those of evaluation, in float32, with any number of
images.
"""

import json
from typing import Any, NamedTuple

import numpy as np

from autocnn.files import atomic_write
from autocnn.inspection.summary import named_parts
from autocnn.runs.preprocessing import Inputs, padded_shape
from autocnn.trees import tree_map
from reference import validate as checks

__all__ = ["save_onnx", "to_onnx"]

OPSET, IR = 17, 8  # of 2022: what nearly every runtime in use reads


def save_onnx(path, model, params, state, shape, classes=None, inputs=None):
    """Write a network as an ONNX file, whole or not at all; arguments as in ``to_onnx``."""
    atomic_write(path, to_onnx(model, params, state, shape, classes, inputs).SerializeToString())


def to_onnx(model, params, state, shape, classes=None, inputs=None):
    """Return a network for images of ``shape`` (C, H, W) as an ``onnx.ModelProto``, in evaluation
    mode.

    Input "images" (N, C, H, W), output "logits" (N, K), both float32, N free. ``classes``, if
    given, go into the metadata as a JSON list. ``inputs``, a run's ``preprocessing.Inputs``, makes its
    padding and grey levels the graph's first nodes; shape is then that of the image before them.
    Raises ValueError when the trees are not the network's or a word is unknown, and ImportError
    when onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ImportError(
            "ONNX graphs need the package onnx: pip install 'autocnn[onnx]'"
        ) from error

    shape, inputs = tuple(shape), Inputs() if inputs is None else inputs
    seen = padded_shape(shape, inputs) if inputs.pad else shape
    _, need_params, need_state = model.init(None, seen)
    params, state = (
        _float32(*tree) for tree in (("params", params, need_params), ("state", state, need_state))
    )
    graph = Graph([], {}, dict(named_parts(model)))
    last, out_shape = _walk(
        graph, model, (), params, state, _prepared(graph, "images", inputs), seen
    )
    graph.nodes.append(("Identity", [last], "logits", {}))  # a network may be nothing but its input

    nodes = [
        helper.make_node(op, ins, [out], name=out, **options)
        for op, ins, out, options in graph.nodes
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", *size))
        for name, size in (("images", shape), ("logits", out_shape))
    )
    constants = [numpy_helper.from_array(a, name) for name, a in graph.constants.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "autocnn", [x], [y], constants),
        producer_name="autocnn",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
    )
    if classes is not None:
        helper.set_model_props(made, {"classes": json.dumps(list(classes))})
    return made


class Graph(NamedTuple):
    """A graph as it grows: nodes (op, inputs, output, attributes), constants by name, and the
    layers' names by path.
    """

    nodes: list[tuple[str, list[str], str, dict[str, Any]]]
    constants: dict[str, np.ndarray]
    names: dict[tuple, str]

    def node(self, op, inputs, output, **attributes):
        """Add a node and return its output's name."""
        self.nodes.append((op, inputs, output, attributes))
        return output

    def constant(self, name, a):
        """Add a constant array, floats as float32, and return its name."""
        a = np.asarray(a)
        self.constants[name] = np.ascontiguousarray(
            a, np.float32 if a.dtype.kind == "f" else a.dtype
        ).reshape(a.shape)
        return name


def _float32(name, tree, need):
    checks.same_layout(name, tree, need)
    return tree_map(lambda leaf: np.asarray(leaf, np.float32), tree)


def _prepared(graph, x, inputs):
    """``preprocessing.prepare`` as nodes: padding, then grey levels."""
    if inputs.pad:
        p = inputs.pad
        x = graph.node(
            "Pad", [x, graph.constant("pads", np.array([0, 0, p, p, 0, 0, p, p]))], "padded"
        )
    if (inputs.low, inputs.high) != (0.0, 1.0):
        x = graph.node(
            "Mul", [x, graph.constant("range", np.float32(inputs.high - inputs.low))], "stretched"
        )
        x = graph.node("Add", [x, graph.constant("low", np.float32(inputs.low))], "prepared")
    return x


def _walk(graph, layer, path, params, state, x, shape):
    """Add a layer's nodes behind the value x of ``shape``, the batch left out; return its
    output's name and shape.
    """
    if layer.name == "serial":
        for i, part in enumerate(layer.parts):
            x, shape = _walk(graph, part, (*path, i), params[i], state[i], x, shape)
        return x, shape
    name, out = graph.names[path], layer.init(None, shape)[0]
    if layer.name == "residual":
        sides = zip(("main", "shortcut"), layer.parts, strict=True)
        ends = [
            _walk(graph, part, (*path, side), params[side], state[side], x, shape)[0]
            for side, part in sides
        ]
        return graph.node("Add", ends, name), out
    if layer.name not in WORDS:
        raise ValueError(
            f"the word '{layer.name}' has no translation to ONNX; there are {', '.join(WORDS)}"
        )
    return WORDS[layer.name](graph, name, layer.options, params, state, x, shape), out


# One function a word: (graph, output's name, options, params, state, input's name, input's shape)
# -> output's name.


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


def _nothing(graph, name, o, params, state, x, shape):
    return x


WORDS = {
    "avg_pool": _pool("AveragePool", count_include_pad=1),
    "batch_norm": _batch_norm,
    "conv": _conv,
    "dense": _dense,
    "dropout": _nothing,
    "flatten": _plain("Flatten", axis=1),
    "global_avg_pool": _global_avg_pool,
    "identity": _nothing,
    "local_response_norm": _local_response_norm,
    "max_pool": _pool("MaxPool"),
    "rbf": _rbf,
    "relu": _plain("Relu"),
    "scaled_tanh": _scaled_tanh,
    "subsample": _subsample,
    "table_conv": _table_conv,
    "tanh": _plain("Tanh"),
}
