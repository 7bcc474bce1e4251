"""The forward pass of a plan: each operation of the graph as primitives of oneDNN."""

import math
from collections.abc import Callable

from autocnn.fast.plans import primitives as p
from autocnn.fast.plans.graph import Node, Unplannable
from autocnn.fast.plans.primitives import (
    Layout,
    any_layout,
    attributes,
    describe,
    int64s,
    plain,
    strided,
)
from autocnn.fast.plans.program import Program, Value

__all__ = ["Builder", "forward"]


class Builder:
    """What the makers of a program share.

    n: examples in a batch. externals: {(role, path, name): value}, the caller's arrays. kernels:
    function (node, layout) that returns the value of a convolution's kernels in a layout.
    """

    def __init__(self, n: int, train: bool, kernels: Callable[[Node, Layout], Value]):
        self.n, self.train, self.kernels = n, train, kernels
        self.program, self.externals = Program(), {}
        self.kind = p.TRAINING if train else p.INFERENCE

    def external(self, role: str, path: tuple, name: str, layout) -> Value:
        """Return the value of one of the caller's arrays, the same for the same name."""
        key = role, path, name
        if key not in self.externals:
            self.externals[key] = self.program.value(layout, external=True)
        return self.externals[key]

    def vector(self, node: Node, name: str, path: tuple | None = None) -> Value:
        """Return a vector of parameters, one number a channel of the node's output."""
        layout = plain(node.shape[:1])
        return self.external("param", node.path if path is None else path, name, layout)

    def rows(self, value: Value) -> Value:
        """Return a value as a contiguous matrix (N, D)."""
        if len(value.shape) == 2:
            return value
        n, *rest = value.shape
        value = self.program.in_layout(value, plain(value.shape))
        return self.program.view(value, plain((n, math.prod(rest))))

    def shaped(self, value: Value, shape: tuple) -> Value:
        """Return a value, an image or its rows, in one of the two shapes."""
        if len(value.shape) == len(shape):
            return value
        value = self.rows(value)
        return value if len(shape) == 2 else self.program.view(value, plain(shape))

    def channels(self, node: Node) -> Value:
        """Return a node's output as images (N, C, H, W), H = W = 1 for vectors."""
        value, c = node.value, node.shape[0]
        if len(value.shape) == 4 and value.shape[1] == c:
            return value
        return self.program.view(self.rows(value), strided((self.n, c, 1, 1), (c, 1, c, c)))


def forward(b: Builder, nodes: list[Node]) -> None:
    """Emit the forward pass of a graph, whose first node has its value."""
    for node in nodes[1:]:
        node.at, node.input = len(b.program), node.inputs[0].value
        _WORDS[node.word](b, node)
        for used in [*node.inputs, *([node.add] if node.add else [])]:
            used.users -= 1


def conv_layouts(b, node):
    """Return (shape of the kernels, geometry) as oneDNN counts."""
    o, c = node.options, node.inputs[0].shape[0]
    f, g, (kh, kw) = o["filters"], o["groups"], o["kernel"]
    shape = (f, c, kh, kw) if g == 1 else (g, f // g, c // g, kh, kw)
    dilation = int64s([d - 1 for d in o["dilation"]])
    padding = int64s(o["padding"])
    return shape, (int64s(o["stride"]), dilation, padding, padding)


def _conv(b, node):
    x = node.inputs[0].value
    kernels, geometry = conv_layouts(b, node)
    bias = plain(node.shape[:1]) if node.options["bias"] or node.norm else None
    out = (b.n, *node.shape)
    layouts = any_layout(x.shape), any_layout(kernels), bias, any_layout(out)
    attr = attributes(node.relu, node.add is not None)
    made = describe("convolution_forward", b.kind, p.DIRECT, *layouts, *geometry, attr=attr)
    x = b.program.in_layout(x, made.layout("src", x.shape))
    arguments = {"src": x, "weights": b.kernels(node, made.layout("weights", kernels))}
    if bias:
        arguments["bias"] = b.vector(node, "b")
    layout = made.layout("dst", out)
    y = b.program.value(layout) if node.add is None else _summand(b, node.add, layout)
    b.program.emit(made, **arguments, dst=y)
    node.value, node.primitive = y, made


def _summand(b, node, layout):
    """Return a value that holds a node's output, and that may be added to."""
    value = b.shaped(node.value, layout.shape)
    found = b.program.in_layout(value, layout)
    if found.base is node.value.base and (node.users > 1 or found.base.external):
        return b.program.in_layout(value, layout, b.program.value(layout))
    return found


def _dense(b, node):
    x, units = b.rows(node.inputs[0].value), node.shape[0]
    layout = matrix(x.shape[1], units)
    out, bias = plain((b.n, units)), plain((units,)) if node.options["bias"] else None
    layouts = x.layout, layout, bias, out
    made = describe("inner_product_forward", b.kind, *layouts, attr=attributes(node.relu))
    # Packing the matrix would take longer than the product, and saves nothing where it is kept.
    arguments = {"src": x, "weights": b.external("param", node.path, "w", layout)}
    if bias:
        arguments["bias"] = b.vector(node, "b")
    node.value, node.primitive, node.source = b.program.value(out), made, x
    b.program.emit(made, **arguments, dst=node.value)


def matrix(d: int, units: int):
    """Return the layout of a dense map's matrix (D, units), which oneDNN reads as (units, D)."""
    return strided((units, d), (1, units))


def _batch_norm(b, node):
    if b.train and b.n * math.prod(node.shape[1:]) == 1:
        raise Unplannable("one value has no variance, which the layer says")
    x = b.channels(node.inputs[0])
    flags = p.SCALE | p.SHIFT | (p.FUSED_RELU if node.relu else 0)
    flags |= 0 if b.train else p.GLOBAL_STATISTICS
    eps = node.options["eps"]
    made = describe("batch_normalization_forward", b.kind, x.layout, x.layout, eps, flags)
    y = b.program.value(x.layout)
    role = "moved" if b.train else "state"
    arguments = {
        "mean": b.external(role, node.path, "mean", plain(node.shape[:1])),
        "variance": b.external(role, node.path, "var", plain(node.shape[:1])),
        "scale": b.vector(node, "w"),
        "shift": b.vector(node, "b"),
    }
    _add_workspace(b, node, made, arguments)
    b.program.emit(made, src=x, dst=y, **arguments)
    node.value, node.primitive, node.source = y, made, x


def _elementwise(b, node):
    x = node.inputs[0].value
    made = elementwise(node.word, b.kind, x.layout)
    node.value, node.primitive = b.program.value(x.layout), made
    b.program.emit(made, src=x, dst=node.value)


def elementwise(word, kind, layout):
    """Return the primitive of an elementwise word."""
    algorithm = {"relu": p.RELU, "tanh": p.TANH, "relu6": p.CLIP}[word]
    return describe("eltwise_forward", kind, algorithm, layout, layout, 0.0, limit(word))


def limit(word):
    """Return the second number of an elementwise function: where it ends."""
    return 6.0 if word == "relu6" else 0.0


def _add_workspace(b, node, made, arguments):
    """Add to a primitive's arguments what it keeps for the backward pass, if it keeps anything."""
    layout = made.layout("workspace")
    if layout.size:
        node.workspace = arguments["workspace"] = b.program.value(layout)


def window(node, shape):
    """Return a pool's stride, window, dilation and padding as oneDNN counts."""
    if node.word == "global_avg_pool":
        size = stride = shape[2:]
        padding = (0, 0)
    else:
        size, stride, padding = (node.options[k] for k in ("size", "stride", "padding"))
    return [int64s(a) for a in (stride, size, (0, 0), padding, padding)]


def _pool(b, node):
    x = node.inputs[0].value
    algorithm = p.MAX if node.word == "max_pool" else p.MEAN
    out = (b.n, *node.shape, *(1, 1) * (len(node.shape) == 1))
    geometry = window(node, x.shape)
    made = describe("pooling_forward", b.kind, algorithm, x.layout, any_layout(out), *geometry)
    node.value, node.primitive = b.program.value(made.layout("dst", out)), made
    arguments = {"src": x, "dst": node.value}
    _add_workspace(b, node, made, arguments)
    b.program.emit(made, **arguments)


def _response_norm(b, node):
    o, x = node.options, b.channels(node.inputs[0])
    numbers = o["size"], o["alpha"], o["beta"], o["k"]
    made = describe("lrn_forward", b.kind, p.ACROSS_CHANNELS, x.layout, x.layout, *numbers)
    node.value, node.primitive, node.source = b.program.value(x.layout), made, x
    arguments = {"src": x, "dst": node.value}
    _add_workspace(b, node, made, arguments)
    b.program.emit(made, **arguments)


def _dropout(b, node):
    x = node.inputs[0].value
    mask = b.external("mask", node.key, "", plain(x.shape))
    node.mask = b.program.in_layout(mask, x.layout)
    node.value = b.program.value(x.layout)
    made = describe("binary", p.MULTIPLY, x.layout, x.layout, x.layout)
    b.program.emit(made, src=x, src1=node.mask, dst=node.value)


def _flatten(b, node):
    node.value = node.inputs[0].value  # its rows are made where they are needed


def _add(b, node):
    main, shortcut = (other.value for other in node.inputs)
    shortcut = b.program.in_layout(b.shaped(shortcut, main.shape), main.layout)
    layout = main.layout
    made = describe("binary", p.ADD, layout, layout, layout, attr=attributes(node.relu))
    node.value = b.program.value(layout)
    b.program.emit(made, src=main, src1=shortcut, dst=node.value)


def _concat(b, node):
    out = (b.n, *node.shape)
    parts = [b.shaped(other.value, (b.n, *other.shape)) for other in node.inputs]
    made = p.concat(any_layout(out), [part.layout for part in parts])
    node.value = b.program.value(made.layout("dst", out))
    sources = [(p.ARG.source + i, part) for i, part in enumerate(parts)]
    b.program.emit_numbered(made, [*sources, (p.ARG.dst, node.value)])


_WORDS = {
    "conv": _conv, "dense": _dense, "batch_norm": _batch_norm, "relu": _elementwise,
    "relu6": _elementwise, "tanh": _elementwise, "max_pool": _pool, "avg_pool": _pool,
    "global_avg_pool": _pool, "local_response_norm": _response_norm, "dropout": _dropout,
    "flatten": _flatten, "add": _add, "concat": _concat,
}  # fmt: skip
