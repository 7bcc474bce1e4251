"""The backward pass of a plan: each operation's derivative as primitives of oneDNN."""

from autocnn.fast.plans import primitives as p
from autocnn.fast.plans.forward import Builder, conv_layouts, elementwise, limit, matrix, window
from autocnn.fast.plans.graph import Node
from autocnn.fast.plans.library import OneDNNError
from autocnn.fast.plans.primitives import any_layout, describe, plain
from autocnn.fast.plans.program import Value

__all__ = ["backward"]


def backward(b: Builder, nodes: list[Node]) -> None:
    """Emit the way back through a graph, whose last node's ``dys`` holds the gradient.

    Gradients of parameters are externals with the role "grad".
    """
    for node in reversed(nodes[1:]):
        if node.needs:
            dys = [b.shaped(dy, node.value.shape) for dy in node.dys]
            dys[1:] = [b.program.in_layout(dy, dys[0].layout) for dy in dys[1:]]
            _WORDS[node.word](b, node, _total(b, dys))


def _total(b, values):
    if len(values) == 1:
        return values[0]
    total = b.program.value(values[0].layout)
    sources = [(p.ARG.source + i, value) for i, value in enumerate(values)]
    made = p.total([value.layout for value in values])
    b.program.emit_numbered(made, [*sources, (p.ARG.dst, total)])
    return total


def _through(b, node, word, dy):
    """Return the gradient in front of an elementwise function of a node's output."""
    y = node.value
    dy = b.program.in_layout(dy, y.layout)
    hint = elementwise(word, b.kind, y.layout)
    algorithms = {"relu": p.RELU_BY_OUTPUT, "tanh": p.TANH_BY_OUTPUT, "relu6": p.CLIP_BY_OUTPUT}
    layouts = y.layout, y.layout, y.layout
    made = describe("eltwise_backward", algorithms[word], *layouts, 0.0, limit(word), hint)
    dx = b.program.value(y.layout)
    b.program.emit(made, dst=y, diff_dst=dy, diff_src=dx)
    return dx


def _gradient(b, node, name, layout) -> Value:
    """Return the external value of the gradient of one of a node's parameters."""
    return b.external("grad", node.path, name, layout)


def _conv(b, node, dy):
    if node.relu:
        dy = _through(b, node, "relu", dy)
    kernels, geometry = conv_layouts(b, node)
    bias = plain(node.shape[:1]) if node.options["bias"] else None
    x = node.inputs[0]
    layouts = any_layout(x.value.shape), any_layout(kernels), bias, any_layout(dy.shape)
    made = describe("convolution_backward_weights", p.DIRECT, *layouts, *geometry, node.primitive)
    layout, given = made.layout("diff_weights", kernels), plain(kernels)
    target = _gradient(b, node, "w", given)
    dw = target if layout == given else b.program.value(layout)
    arguments = {"diff_bias": _gradient(b, node, "b", bias)} if bias else {}
    b.program.emit(
        made,
        src=b.program.in_layout(x.value, made.layout("src", x.value.shape)),
        diff_dst=b.program.in_layout(dy, made.layout("diff_dst", dy.shape)),
        diff_weights=dw,
        **arguments,
    )
    if dw is not target:
        b.program.in_layout(dw, given, target)
    if x.needs:
        layouts = any_layout(x.value.shape), any_layout(kernels), any_layout(dy.shape)
        made = describe("convolution_backward_data", p.DIRECT, *layouts, *geometry, node.primitive)
        dx = b.program.value(made.layout("diff_src", x.value.shape))
        weights = b.kernels(node, made.layout("weights", kernels))
        dy = b.program.in_layout(dy, made.layout("diff_dst", dy.shape))
        b.program.emit(made, diff_dst=dy, weights=weights, diff_src=dx)
        x.dys.append(dx)


def _dense(b, node, dy):
    if node.relu:
        dy = _through(b, node, "relu", dy)
    x, units = node.source, node.shape[0]
    layout, bias = matrix(x.shape[1], units), plain((units,)) if node.options["bias"] else None
    dy = b.program.in_layout(dy, plain(dy.shape))
    layouts = x.layout, layout, bias, dy.layout
    made = describe("inner_product_backward_weights", *layouts, node.primitive)
    arguments = {"diff_bias": _gradient(b, node, "b", bias)} if bias else {}
    dw = _gradient(b, node, "w", layout)
    b.program.emit(made, src=x, diff_dst=dy, diff_weights=dw, **arguments)
    if node.inputs[0].needs:
        made = describe("inner_product_backward_data", x.layout, layout, dy.layout, node.primitive)
        dx = b.program.value(x.layout)
        weights = b.external("param", node.path, "w", layout)
        b.program.emit(made, diff_dst=dy, weights=weights, diff_src=dx)
        node.inputs[0].dys.append(dx)


def _batch_norm(b, node, dy):
    x, layout, c = node.source, node.source.layout, plain(node.shape[:1])
    flags = p.SCALE | p.SHIFT | (p.FUSED_RELU if node.relu else 0)
    dy = b.program.in_layout(dy, layout)
    layouts = layout, layout, layout
    made = describe(
        "batch_normalization_backward", p.BACKWARD, *layouts, node.options["eps"], flags,
        node.primitive,
    )  # fmt: skip
    dx = b.program.value(layout)
    arguments = {"workspace": node.workspace} if node.workspace else {}
    b.program.emit(
        made, src=x, diff_dst=dy, diff_src=dx, scale=b.vector(node, "w"),
        mean=b.external("moved", node.path, "mean", c),
        variance=b.external("moved", node.path, "var", c),
        diff_scale=_gradient(b, node, "w", c), diff_shift=_gradient(b, node, "b", c), **arguments,
    )  # fmt: skip
    node.inputs[0].dys.append(dx)


def _elementwise(b, node, dy):
    node.inputs[0].dys.append(_through(b, node, node.word, dy))


def _pool(b, node, dy):
    x = node.inputs[0].value
    dy = b.program.in_layout(dy, node.value.layout)
    algorithm = p.MAX if node.word == "max_pool" else p.MEAN
    geometry = window(node, x.shape)
    made = describe("pooling_backward", algorithm, x.layout, dy.layout, *geometry, node.primitive)
    dx = b.program.value(x.layout)
    arguments = {"workspace": node.workspace} if node.workspace else {}
    b.program.emit(made, diff_dst=dy, diff_src=dx, **arguments)
    node.inputs[0].dys.append(dx)


def _response_norm(b, node, dy):
    o, x = node.options, node.source
    dy = b.program.in_layout(dy, x.layout)
    numbers = o["size"], o["alpha"], o["beta"], o["k"]
    layouts = x.layout, x.layout, x.layout
    made = describe("lrn_backward", p.ACROSS_CHANNELS, *layouts, *numbers, node.primitive)
    dx = b.program.value(x.layout)
    arguments = {"workspace": node.workspace} if node.workspace else {}
    b.program.emit(made, src=x, diff_dst=dy, diff_src=dx, **arguments)
    node.inputs[0].dys.append(dx)


def _dropout(b, node, dy):
    layout = node.mask.layout
    dy = b.program.in_layout(dy, layout)
    dx = b.program.value(layout)
    made = describe("binary", p.MULTIPLY, layout, layout, layout)
    b.program.emit(made, src=dy, src1=node.mask, dst=dx)
    node.inputs[0].dys.append(dx)


def _flatten(b, node, dy):
    node.inputs[0].dys.append(dy)


def _add(b, node, dy):
    dy = _through(b, node, "relu", dy) if node.relu else dy
    for other in node.inputs:
        other.dys.append(dy)


def _concat(b, node, dy):
    try:
        p.channels(dy.layout, 0, node.inputs[0].shape[0])
    except OneDNNError:  # channels in blocks, of which a part may end in the midst
        dy = b.program.in_layout(dy, plain(dy.shape))
    start = 0
    for other in node.inputs:
        count = other.shape[0]
        part = b.program.view(dy, p.channels(dy.layout, start, count))
        start += count
        if other.needs:
            target = b.program.value(plain(part.shape))
            other.dys.append(b.program.in_layout(part, target.layout, target))


_WORDS = {
    "conv": _conv, "dense": _dense, "batch_norm": _batch_norm, "relu": _elementwise,
    "relu6": _elementwise, "tanh": _elementwise, "max_pool": _pool, "avg_pool": _pool,
    "global_avg_pool": _pool, "local_response_norm": _response_norm, "dropout": _dropout,
    "flatten": _flatten, "add": _add, "concat": _concat,
}  # fmt: skip
