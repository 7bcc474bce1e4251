"""The graph of a network of the fast vocabulary's own words, and what of it is computed at once."""

import math
from functools import lru_cache

from autocnn import layers
from reference.validate import layout

__all__ = ["Node", "Unplannable", "graph", "work"]

_ALONE = {
    "conv", "dense", "batch_norm", "relu", "relu6", "tanh", "max_pool", "avg_pool",
    "global_avg_pool", "local_response_norm", "dropout", "flatten", "identity",
}  # fmt: skip


class Node:
    """One operation: ``word`` of ``inputs``, whose trees are at ``path`` in the network's own.

    relu: whether negative outputs become 0. norm: the batch normalization behind a convolution that
    is folded into it. add: a node whose output is added before the ReLU. users: how many nodes read
    its output. needs: whether a gradient flows to its output. shape: of its output, without the
    batch. the others: what the makers of programs note.
    """

    def __init__(self, word, inputs, options, path, key, shape):
        self.word, self.inputs, self.options = word, inputs, options
        self.path, self.key, self.shape = path, key, shape
        self.relu, self.norm, self.add, self.users, self.shared = False, None, None, 0, False
        self.at, self.input, self.value, self.dys = 0, None, None, []
        self.primitive, self.source, self.workspace, self.mask = None, None, None, None
        self.needs = word in ("conv", "dense", "batch_norm") or any(n.needs for n in inputs)
        for node in inputs:
            node.users += 1


class Unplannable(Exception):
    """No plan holds this network."""


def graph(layer, shape: tuple[int, ...], train: bool) -> tuple[list[Node], Node]:
    """Return (nodes, last) of a network for one input's shape: its operations in order, after the
    input, and the one whose output is the network's.

    Raises Unplannable for layers of another vocabulary or of the user's own.
    """
    first = Node("input", [], {}, (), (), tuple(shape))
    nodes = [first]
    last = _trace(layer, first, (), (), train, nodes)
    last.users += 1
    return nodes, last


def _trace(layer, x, path, key, train, nodes):
    name, options = layer.name, layer.options
    if not layer.is_as_declared or layer.word not in (_words().get(name), layers.identity):
        raise Unplannable(name)

    def part(i, x):
        step = layer.steps[i]
        return _trace(layer.parts[i], x, (*path, step), (*key, i), train, nodes)

    def add(word, inputs, options, shape):
        nodes.append(Node(word, inputs, options, path, key, shape))
        return nodes[-1]

    if name == "serial":
        for i in range(len(layer.parts)):
            x = part(i, x)
        return x
    if name in ("residual", "concat"):
        x.shared = True
    if name == "residual":
        shortcut = part(1, x)
        main = part(0, x)
        if not train and main.word == "conv" and _is_open(main) and not main.add:
            main.add = shortcut
            shortcut.users += 1
            return main
        return add("add", [main, shortcut], {}, main.shape)
    if name == "concat":
        paths = [part(i, x) for i in range(len(layer.parts))]
        channels = sum(node.shape[0] for node in paths)
        return add("concat", paths, {}, (channels, *paths[0].shape[1:]))
    if name == "identity" or (name == "dropout" and not (train and options["p"])):
        return x
    if name not in _ALONE:
        raise Unplannable(name)
    if name == "local_response_norm" and options["size"] % 2 == 0:
        raise Unplannable(name)  # of an even size, oneDNN's window lies elsewhere
    if name == "relu" and x.word in ("conv", "dense", "batch_norm", "add") and _is_open(x):
        x.relu = True
        return x
    if (
        name == "batch_norm"
        and not train
        and x.word == "conv"
        and _is_open(x)
        and not (x.norm or x.add)
    ):
        x.norm = (path, options["eps"])
        return x
    return add(name, [x], options, layout(layer.init, x.shape)[0])


@lru_cache(maxsize=1)
def _words():
    """The words of ``autocnn.fast``, which is made of pages that need this one, by name."""
    from autocnn import fast

    return {name: getattr(fast, name) for name in (*_ALONE, "serial", "residual", "concat")}


def _is_open(node):
    """Whether nothing has read the node's output, nor will, before what follows it here."""
    return node.users == 0 and not (node.shared or node.relu)


def work(nodes: list[Node]) -> int:
    """Return the multiply-adds of all convolutions and dense maps for one example."""
    total = 0
    for node in nodes:
        if node.word == "conv":
            o, c = node.options, node.inputs[0].shape[0]
            total += math.prod(node.shape) * c // o["groups"] * math.prod(o["kernel"])
        elif node.word == "dense":
            total += node.inputs[0].shape[0] * node.shape[0]
    return total
