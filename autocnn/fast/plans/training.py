"""Training: a batch's loss and its gradient, forward and backward in one program."""

import math
import sys
import threading

import numpy as np
from numpy import ndarray

from autocnn import layers
from autocnn.fast.loss import loss_and_gradient
from autocnn.fast.plans.backward import backward
from autocnn.fast.plans.bounds import Overflow, checks, gain, is_small, run_looking
from autocnn.fast.plans.forward import Builder, forward
from autocnn.fast.plans.graph import Node
from autocnn.fast.plans.prediction import at
from autocnn.fast.plans.primitives import Layout, plain
from autocnn.fast.plans.program import ALIGNMENT, Value, arena, openmp_threads
from autocnn.keys import child
from autocnn.trees import leaves, unflatten, untracked_tree_map

__all__ = ["Step"]


class Step:
    """The plan of a training step for batches of one shape, on ``threads`` threads.

    nodes, last: the graph of the network in training. Raises OneDNNError where oneDNN has no fast
    implementation.
    """

    def __init__(self, nodes: list[Node], last: Node, shape: tuple[int, ...], threads: int):
        self.threads, self._turn, self._shape = threads, threading.Lock(), (shape[0], *last.shape)
        with openmp_threads(threads):
            b = Builder(shape[0], True, self._packed)
            self._b, program = b, b.program
            self._x = nodes[0].value = b.external("x", (), "", plain(shape))
            self._y = b.external("y", (), "", plain(self._shape))
            dy = b.external("dy", (), "", plain(self._shape))
            forward(b, nodes)
            program.in_layout(b.shaped(last.value, self._shape), self._y.layout, self._y)
            self._middle = len(program)
            last.dys.append(dy)
            backward(b, nodes)
            program.finish()
        self._program, self._dy, self._nodes, self._n = program, dy, nodes, shape[0]
        self._params = [
            (path, name, v) for (role, path, name), v in b.externals.items() if role == "param"
        ]
        self._grads = _Consecutive(b, "grad", ALIGNMENT)
        self._moved = _Consecutive(b, "moved", 1)
        self._masks = [
            (node, b.externals["mask", node.key, ""]) for node in nodes if node.word == "dropout"
        ]
        self._norms = [node for node in nodes if node.word == "batch_norm"]
        del self._b

    def _packed(self, node: Node, layout: Layout) -> Value:
        given = self._b.external("param", node.path, "w", plain(layout.shape))
        return self._b.program.in_layout(given, layout)

    def run(self, params, state, x: ndarray, targets, weights, loss, key):
        """Return (loss, grads, state) as ``Layer.loss_and_grad`` does; the arguments are checked.

        Raises Overflow or MemoryError.
        """

        def gains(node):
            return gain(node, self._n, True, at(params, node.path), at(state, node.path))

        looks = checks(self._nodes, gains)
        if not is_small(x):
            raise Overflow
        program, x, y = self._program, np.ascontiguousarray(x), np.empty(self._shape, x.dtype)
        arrays = [(self._x, x), (self._y, y), *self._draw(key)]
        for path, name, value in self._params:
            arrays.append((value, np.ascontiguousarray(at(params, path)[name])))
        with self._turn, openmp_threads(self.threads), arena(program.size) as memory:
            grads, moved = self._grads.new(), self._moved.new()
            program.place(memory)
            program.bind_all(arrays)
            self._grads.bind(program, grads)
            self._moved.bind(program, moved)
            run_looking(program, looks, self._middle)
            found, dy = loss_and_gradient(loss, y, targets, weights)
            program.bind_all([(self._dy, np.ascontiguousarray(dy, x.dtype))])
            program.run(self._middle)
        return found, self._grads.tree(params, grads), self._after(state, moved)

    def _draw(self, key):
        """Return the mask of each dropout, as (value, array)."""
        for node, value in self._masks:
            ones = np.broadcast_to(np.float32(1), (self._n, *node.inputs[0].shape))
            dropout = layers.dropout(node.options["p"])
            mask, _ = dropout.forward({}, {}, ones, True, child(key, *node.key))
            yield value, np.ascontiguousarray(mask)

    def _after(self, state, moved):
        """Return the running statistics after the batch's, ``moved``."""
        if not self._norms:
            return untracked_tree_map(lambda leaf: leaf, state)
        old, share, scale = [], [], []
        for node in self._norms:
            own, m = at(state, node.path), self._n * math.prod(node.shape[1:])
            old += [own["mean"], own["var"]]
            share += [node.options["momentum"]] * 2
            scale += [1.0, m / (m - 1)]
        sizes = [len(a) for a in old]
        share, scale = np.repeat(share, sizes), np.repeat(scale, sizes)
        after = (1 - share) * np.concatenate(old) + share * scale * moved
        return self._moved.tree(state, after.astype(moved.dtype))


class _Consecutive:
    """The external values of one role, as parts of one array, each at a multiple of some bytes."""

    def __init__(self, b: Builder, role: str, step: int):
        self._places, size = {}, 0
        for (kind, path, name), value in b.externals.items():
            if kind == role:
                self._places[".".join(map(str, (*path, name)))] = value, size
                size += -(-value.size // step) * step
        self._count, self._kept = size // 4, []

    def new(self) -> ndarray:
        """Return an array for all of them: the one before, if nothing refers to it any more, since
        the pages of a new one would have to be cleared.
        """
        found = self._kept.pop() if self._kept else None
        if found is None or sys.getrefcount(found) > 2:  # this function's, and the question's own
            found = np.empty(self._count, np.float32)
        self._kept.append(found)
        return found

    def bind(self, program, array: ndarray) -> None:
        """Let a program write into such an array."""
        base = array.ctypes.data
        for value, offset in self._places.values():
            program.bind(value, base + offset)

    def tree(self, like, array: ndarray):
        """Return a tree like another with the parts of such an array as leaves."""
        parts = []
        for path, leaf in leaves(like):
            start = self._places[path][1] // 4
            parts.append(array[start : start + leaf.size].reshape(leaf.shape))
        return unflatten(like, parts)
