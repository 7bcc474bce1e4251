"""The author's functions in a form that can be rebuilt around instrumented copies."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import adapters
from autocnn.gradcheck.problem import Problem

__all__ = ["Program", "closure", "instance", "pair", "vjp"]


class Program(NamedTuple):
    """A problem and `build(transform)`, which makes its `call` with every function of the author's
    passed through `transform` first. `modules` says which modules are
    seen as others by instrumented copies."""

    problem: Problem
    build: Callable[[Callable[[Any], Any]], Callable[[dict[str, Any]], tuple]]
    modules: dict[int, Any] | None = None


def closure(f: Callable, **arrays: Any) -> Program:
    """f(**arrays) -> (y, backward)."""

    def build(transform):
        def call(arguments):
            y, backward = transform(f)(**arguments)
            if callable(backward):
                return y, transform(backward), dict
            return y, lambda dy: adapters._times(dy, backward), dict

        return call

    return Program(adapters.closure(f, arrays), build)


def pair(forward: Callable, backward: Callable, **arrays: Any) -> Program:
    """forward(**arrays) -> (y, cache) with backward(dy, cache)."""

    def build(transform):
        def call(arguments):
            y, cache = transform(forward)(**arguments)
            return y, lambda dy: transform(backward)(dy, cache), dict

        return call

    return Program(adapters.pair(forward, backward, arrays), build)


def vjp(fun: Callable, back: Callable, *args: Any) -> Program:
    """fun(*args) with back(dy, *args)."""
    problem = adapters.vjp(fun, back, args)

    def build(transform):
        def call(arguments):
            inputs = list(arguments.values())
            return transform(fun)(*inputs), lambda dy: transform(back)(dy, *inputs), dict

        return call

    return Program(problem, build)


def instance(layer: Any, x: np.ndarray, **others: Any) -> Program:
    """layer.forward(x) with layer.backward(dy)."""
    problem = adapters.instance(layer, x, others)
    parameters = [n for n in problem.arguments if n != "x" and n not in others]

    def build(transform):
        def call(arguments):
            mine = copy.deepcopy(layer)
            for name in parameters:
                adapters._set(mine, name, arguments[name])
            y = transform(mine.forward)(arguments["x"], **{n: arguments[n] for n in others})

            def backward(dy):
                dx = transform(mine.backward)(dy)
                dx = dx[0] if isinstance(dx, tuple | list) else dx
                return {"x": dx, **{n: adapters._gradient(mine, n) for n in parameters}}

            return y, backward, dict

        return call

    return Program(problem, build)
