"""Overflow: where numbers could leave float32's range, and the few places to be looked at.

oneDNN's ReLU turns NaN into 0 and its pools leave NaN out, so an overflow could pass unseen where
the layers would answer NaN. A plan therefore computes only what cannot overflow. Bounds of all
numbers follow from those of the parameters; where a bound grows too large, the numbers themselves
are looked at. What may overflow is left to the layers.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy import ndarray

from autocnn.fast.plans.graph import Node
from autocnn.fast.plans.program import Program

__all__ = ["Overflow", "checks", "gain", "is_small", "run_looking"]

SMALL = 1e5  # the largest number in an input, or where numbers are looked at, that is gone on from
_LARGE = 1e30  # a bound from which on numbers are looked at
_LARGE_TO_SQUARE = 1e15  # the same in front of what adds up squares
_LIMIT = 1e37


class Overflow(Exception):
    """Numbers may leave the range of float32."""


def checks(nodes: list[Node], gains: Callable[[Node], tuple[float, float]]) -> list[Node]:
    """Return the nodes in front of which to look whether their input ``is_small``.

    gains: function that returns (factor, offset) of a node: no number of its output exceeds factor
    times the largest of its input, plus offset. Raises Overflow where looking would not help.
    """
    bounds, found = {nodes[0]: SMALL}, []
    for node in nodes[1:]:
        squares = node.word in ("batch_norm", "local_response_norm")
        most = _LARGE_TO_SQUARE if squares else _LARGE
        inputs = [bounds[other] for other in node.inputs]
        before = sum(inputs) if node.word == "add" else max(inputs)
        factor, offset = gains(node)
        if max(before, before * factor + offset) > most and len(inputs) == 1:
            found.append(node)
            before = SMALL
        after = before * factor + offset + (bounds[node.add] if node.add else 0)
        if not after < _LIMIT:
            raise Overflow
        bounds[node] = after
    return found


def gain(node: Node, n: int, train: bool, params: dict, state: dict) -> tuple[float, float]:
    """Return (factor, offset) of a node for batches of n, with its own parameters and state."""
    o = node.options
    if node.word in ("conv", "dense"):  # the inequality of Cauchy and Schwarz
        w = params["w"]
        fan_in = w[0].size if node.word == "conv" else len(w)
        return math.sqrt(fan_in) * _norm(w), _norm(params["b"]) if "b" in params else 0.0
    if node.word == "batch_norm":
        scale, shift = params["w"], _norm(params["b"])
        if train:  # of m numbers with variance 1, none exceeds sqrt(m)
            return 0.0, _norm(scale) * math.sqrt(n * math.prod(node.shape[1:])) + shift
        factor = _norm(scale / np.sqrt(state["var"] + o["eps"]))
        return factor, factor * _norm(state["mean"]) + shift
    if node.word == "local_response_norm":
        return (o["k"] ** -o["beta"] if o["k"] > 0 else math.inf), 0.0
    if node.word == "dropout":
        return 1 / (1 - o["p"]), 0.0
    return {"tanh": (0.0, 1.0), "relu6": (0.0, 6.0)}.get(node.word, (1.0, 0.0))


def is_small(a: ndarray) -> bool:
    """Return whether no number of an array exceeds ``SMALL``, or is NaN."""
    return _norm(a) <= SMALL or bool(a.max() <= SMALL and a.min() >= -SMALL)


def _norm(a):
    """The square root of the sum of squares, which no number exceeds."""
    square = float(np.vdot(a, a))
    return math.sqrt(square) if math.isfinite(square) else math.inf


def run_looking(program: Program, looks: list[Node], stop: int | None = None) -> None:
    """Run a program as far as ``stop``; raise Overflow where a number in front of one of the nodes
    is too large.
    """
    start = 0
    for node in looks:
        program.run(start, node.at)
        if not (node.input.base.external or is_small(program.numbers(node.input))):
            raise Overflow
        start = node.at
    program.run(start, stop)
