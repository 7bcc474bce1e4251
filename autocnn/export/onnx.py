"""From a network to an ONNX graph: the network runs once on values that stand for arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import reference
from autocnn.export.words import FIRST_OPSET, WORDS
from autocnn.files import atomic_write
from autocnn.inspection.walk import named_layers, rebuild, walk
from autocnn.models import rebuild as in_vocabulary
from autocnn.runs.preprocessing import Inputs, padded_shape
from autocnn.text import strict_json
from autocnn.trees import tree_map
from reference import validate

__all__ = ["OPSET", "OPSETS", "save_onnx", "to_onnx"]

OPSET = 17  # of 2022: what nearly every runtime in use reads
OPSETS = range(13, 27)  # of which the tests run every word by onnxruntime


def save_onnx(
    path: str | Path,
    model: Any,
    params: Any,
    state: Any,
    shape: tuple[int, int, int],
    classes: Sequence[Any] | None = None,
    inputs: Inputs | None = None,
    *,
    opset: int = OPSET,
) -> None:
    """Write a network as an ONNX file, whole or not at all; arguments as in ``to_onnx``."""
    made = to_onnx(model, params, state, shape, classes, inputs, opset=opset)
    atomic_write(path, made.SerializeToString())


def to_onnx(
    model: Any,
    params: Any,
    state: Any,
    shape: tuple[int, ...],
    classes: Sequence[Any] | None = None,
    inputs: Inputs | None = None,
    *,
    opset: int = OPSET,
) -> Any:
    """Return a network in evaluation mode as an ``onnx.ModelProto``.

    model, params, state: a network of any interpretation and its trees. shape: of one image,
    (C, H, W). classes: names or numbers of the classes, in the order of the logits. inputs: a
    run's ``preprocessing.Inputs``, whose padding and grey levels become the graph's first nodes;
    ``shape`` is then that of the image before them. opset: version of ONNX's operators, 13 to 26;
    a runtime reads its own and earlier ones. layer_norm needs 17 or later.

    The graph's input is "images" (N, C, H, W), its output "logits" (N, K), both float32, N free.
    Metadata, as JSON: "classes", if given, and "preprocessing", the inputs that the graph applies.
    Raises ValueError when the trees are not the network's, a word has no translation in this
    opset, or classes are not K; ImportError when onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise ImportError(
            "ONNX graphs need the package onnx: pip install 'autocnn[onnx]'"
        ) from error

    _check_opset(opset)
    shape, inputs = tuple(shape), Inputs() if inputs is None else inputs
    seen = padded_shape(shape, inputs) if inputs.pad else shape
    _, need_params, need_state = model.init(None, seen)
    params, state = _float32("params", params, need_params), _float32("state", state, need_state)
    graph = Graph([], {})
    last = _run(graph, model, params, state, Value(graph, _prepare(graph, inputs), seen), opset)
    if classes is not None and last.shape[1:] != (len(classes),):
        raise ValueError(
            f"classes are {len(classes)} names, and the network's output is {last.shape[1:]}; "
            "name each class once, in the order of the logits"
        )
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
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
    )
    about = {} if classes is None else {"classes": strict_json(list(classes))}
    helper.set_model_props(made, about | {"preprocessing": strict_json(inputs)})
    return made


def _check_opset(opset):
    from onnx import defs

    last = min(OPSETS[-1], defs.onnx_opset_version())
    if not isinstance(opset, int) or isinstance(opset, bool) or not OPSETS[0] <= opset <= last:
        raise ValueError(
            f"opset is a version of ONNX's operators, {OPSETS[0]} to {last} with the onnx that is "
            f"installed; got {opset!r}; {OPSET} is what most runtimes read"
        )


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


def _run(graph, model, params, state, x, opset):
    """Run the network on a value: each word adds its nodes, and sums and joins add theirs."""
    for _, layer in walk(model):
        if opset < (first := FIRST_OPSET.get(layer.name, opset)):
            raise ValueError(f"{layer.name} needs opset {first} or later; got opset {opset}")
        if not layer.parts and layer.name not in WORDS:
            raise ValueError(
                f"the layer '{layer.name}' has no translation to ONNX; there are {', '.join(WORDS)}"
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
