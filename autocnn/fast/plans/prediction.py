"""Prediction: a network's output in evaluation, its kernels packed once."""

import threading
import weakref
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from autocnn.fast.norm import fold_batch_norm
from autocnn.fast.plans.bounds import Overflow, checks, gain, is_small, run_looking
from autocnn.fast.plans.forward import Builder, forward
from autocnn.fast.plans.graph import Node
from autocnn.fast.plans.primitives import Layout, plain
from autocnn.fast.plans.program import (
    ALIGNMENT,
    Program,
    Value,
    aligned,
    arena,
    openmp_threads,
)

__all__ = ["Prediction", "Weights", "at"]


class _Kernels(NamedTuple):
    """A convolution's kernels: as given and packed, to the program that packs, and as used."""

    node: Node
    given: Value
    packed: Value
    used: Value
    offset: int


class Prediction:
    """The plan of a network's output for batches of one shape, on ``threads`` threads.

    nodes, last: the graph of the network in evaluation. Raises OneDNNError where oneDNN has no
    fast implementation.
    """

    def __init__(self, nodes: list[Node], last: Node, shape: tuple[int, ...], threads: int):
        self.threads, self.turn, self._loaded = threads, threading.Lock(), _nothing
        self.packing, self.kernels, self.packed_size = Program(), [], 0
        self._shape = (shape[0], *last.shape)
        with openmp_threads(threads):
            b = Builder(shape[0], False, self._pack)
            self._program = b.program
            self._x = nodes[0].value = b.external("x", (), "", plain(shape))
            self._y = b.external("y", (), "", plain(self._shape))
            forward(b, nodes)
            b.program.in_layout(b.shaped(last.value, self._shape), self._y.layout, self._y)
            b.program.finish()
            self.packing.finish()
        self.nodes, self._n = nodes, shape[0]
        self.direct = [item for item in b.externals.items() if item[0][0] in ("param", "state")]

    def _pack(self, node: Node, layout: Layout) -> Value:
        given = plain(layout.shape)
        given, packed = (self.packing.value(a, external=True) for a in (given, layout))
        self.packing.in_layout(given, layout, packed)
        used = self._program.value(layout, external=True)
        self.kernels.append(_Kernels(node, given, packed, used, self.packed_size))
        self.packed_size += -(-used.size // ALIGNMENT) * ALIGNMENT
        return used

    def gain(self, node: Node, params: dict, state: dict) -> tuple[float, float]:
        """Return a node's (factor, offset) as ``checks`` asks for it."""
        return gain(node, self._n, False, params, state)

    def run(self, weights: "Weights", x: ndarray) -> ndarray:
        """Return the output for a batch x of the plan's shape. Raises Overflow or MemoryError."""
        if not is_small(x):
            raise Overflow
        x, y = np.ascontiguousarray(x), np.empty(self._shape, x.dtype)
        program = self._program
        with self.turn, openmp_threads(self.threads), arena(program.size) as memory:
            if self._loaded() is not weights:
                self._loaded = _nothing
                for value, address in weights.addresses:
                    program.bind(value, address)
                self._loaded = weakref.ref(weights)
            program.bind_all([(self._x, x), (self._y, y)])
            program.place(memory)
            run_looking(program, weights.checks)
        return y


class Weights:
    """Parameters and state as a plan reads them: kernels packed, with the batch normalizations
    behind them; everything else where it is, so the arrays may not change while this is used.

    Raises Overflow or MemoryError.
    """

    def __init__(self, plan: Prediction, params, state):
        packed, gains, shifts = aligned(plan.packed_size), {}, {}
        base, self.addresses = packed.ctypes.data, []
        self._keep = [packed]
        with plan.turn, openmp_threads(plan.threads), arena(plan.packing.size) as memory:
            plan.packing.place(memory)
            for i, (node, given, kernels, used, offset) in enumerate(plan.kernels):
                own = at(params, node.path)
                if node.norm is not None:
                    path, eps = node.norm
                    own = _folded(own, at(params, path), at(state, path), eps)
                    shifts[node.path] = own["b"]
                gains[node] = plan.gain(node, own, {})
                w = np.ascontiguousarray(own["w"])
                plan.packing.bind(given, w.ctypes.data)
                plan.packing.bind(kernels, base + offset)
                plan.packing.run(i, i + 1)
                self.addresses.append((used, base + offset))
        for (role, path, name), value in plan.direct:
            tree = params if role == "param" else state
            a = shifts[path] if path in shifts else at(tree, path)[name]
            self._keep.append(np.ascontiguousarray(a))
            self.addresses.append((value, self._keep[-1].ctypes.data))

        def gain_of(node):
            if node not in gains:
                gains[node] = plan.gain(node, at(params, node.path), at(state, node.path))
            return gains[node]

        self.checks = checks(plan.nodes, gain_of)


def _folded(own, params, state, eps):
    """Return a convolution's parameters that do the batch normalization behind it as well."""
    scale, shift = fold_batch_norm(own.get("b"), params, state, eps)
    return {"w": own["w"] * scale[:, None, None, None], "b": shift}


def _nothing():
    """A reference to no weights."""


def at(tree, path: tuple):
    """Return the branch of a tree at a path."""
    return reduce(lambda branch, step: branch[step], path, tree)
