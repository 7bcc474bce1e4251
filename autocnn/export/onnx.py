"""From a network to an ONNX graph: the network runs once on values that stand for arrays."""

import json
from typing import Any, NamedTuple

import numpy as np

import reference
from autocnn.export.words import WORDS
from autocnn.files import atomic_write
from autocnn.inspection.walk import named_layers, rebuild, walk
from autocnn.models import rebuild as in_vocabulary
from autocnn.runs.preprocessing import Inputs, padded_shape
from autocnn.trees import tree_map
from reference import validate

__all__ = ["save_onnx", "to_onnx"]

OPSET, IR = 17, 8  # of 2022: what nearly every runtime in use reads


def save_onnx(path, model, params, state, shape, classes=None, inputs=None) -> None:
    """Write a network as an ONNX file, whole or not at all; arguments as in ``to_onnx``."""
    atomic_write(path, to_onnx(model, params, state, shape, classes, inputs).SerializeToString())


def to_onnx(model, params, state, shape, classes=None, inputs=None) -> Any:
    """Return a network in evaluation mode as an ``onnx.ModelProto``.

    model, params, state: a network of any interpretation and its trees. shape: of one image,
    (C, H, W). classes: names of the classes, which go into the metadata as a JSON list. inputs: a
    run's ``preprocessing.Inputs``, whose padding and grey levels become the graph's first nodes;
    ``shape`` is then that of the image before them.

    The graph's input is "images" (N, C, H, W), its output "logits" (N, K), both float32, N free.
    Raises ValueError when the trees are not the network's or a word has no translation, and
    ImportError when onnx is not installed.
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
    params, state = _float32("params", params, need_params), _float32("state", state, need_state)
    graph = Graph([], {})
    last = _run(graph, model, params, state, Value(graph, _prepare(graph, inputs), seen))
    graph.node("Identity", [last.name], "logits")  # a network may be nothing but its input

    nodes = [
        helper.make_node(op, ins, [out], name=out, **attrs) for op, ins, out, attrs in graph.nodes
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", *size))
        for name, size in (("images", shape), ("logits", last.shape[1:]))
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
    """A graph as it grows: nodes (op, inputs, output, attributes), and constants by name."""

    nodes: list[tuple[str, list[str], str, dict[str, Any]]]
    constants: dict[str, np.ndarray]

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node and return its output's name."""
        self.nodes.append((op, inputs, output, attributes))
        return output

    def constant(self, name: str, a: Any) -> str:
        """Add a constant array, floats as float32, and return its name."""
        a = np.asarray(a)
        dtype = np.float32 if a.dtype.kind == "f" else a.dtype
        self.constants[name] = np.ascontiguousarray(a, dtype).reshape(a.shape)
        return name


class Value(np.lib.mixins.NDArrayOperatorsMixin):
    """A value of the graph where a network expects an array; sums and joins become nodes."""

    def __init__(self, graph: Graph, name: str, shape: tuple[int, ...]):
        self.graph, self.name, self.shape = graph, name, (1, *shape)

    def _join(self, op, values, axis_size=None, **attributes):
        shape = (self.shape[1] if axis_size is None else axis_size, *self.shape[2:])
        name = f"{op.lower()}{len(self.graph.nodes)}"
        names = [value.name for value in values]
        return Value(self.graph, self.graph.node(op, names, name, **attributes), shape)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if (
            ufunc is not np.add
            or method != "__call__"
            or not all(isinstance(v, Value) for v in inputs)
        ):
            return NotImplemented
        return self._join("Add", inputs)

    def __array_function__(self, function, types, args, options):
        if function is not np.concatenate or options != {"axis": 1}:
            return NotImplemented
        (values,) = args
        return self._join("Concat", values, sum(v.shape[1] for v in values), axis=1)


def _run(graph, model, params, state, x):
    """Run the network on a value: each word adds its nodes, and sums and joins add theirs."""
    for _, layer in walk(model):
        if not layer.parts and layer.name not in WORDS:
            raise ValueError(
                f"the word '{layer.name}' has no translation to ONNX; there are {', '.join(WORDS)}"
            )
    names = dict(named_layers(model))

    def translated(path, layer):
        if layer.name not in WORDS:
            return layer

        def backprop(params, state, x, train, key):
            shape = x.shape[1:]
            out = layer.init(None, shape)[0]
            name = WORDS[layer.name](
                graph, names[path], layer.options, params, state, x.name, shape
            )
            return Value(graph, name, out), state, None

        return layer.replace(forward=None, backprop=backprop)

    model = rebuild(in_vocabulary(model, reference), translated)
    return model.forward(params, state, x, False, None)[0]


def _float32(name, tree, need):
    validate.same_layout(name, tree, need)
    return tree_map(lambda leaf: np.asarray(leaf, np.float32), tree)


def _prepare(graph, inputs):
    """Add ``preprocessing.prepare`` as nodes, padding and grey levels; return the value's name."""
    x = "images"
    if inputs.pad:
        p = inputs.pad
        pads = graph.constant("pads", np.array([0, 0, p, p, 0, 0, p, p]))
        x = graph.node("Pad", [x, pads], "padded")
    if (inputs.low, inputs.high) != (0.0, 1.0):
        spread = graph.constant("range", np.float32(inputs.high - inputs.low))
        x = graph.node("Mul", [x, spread], "stretched")
        x = graph.node("Add", [x, graph.constant("low", np.float32(inputs.low))], "prepared")
    return x
