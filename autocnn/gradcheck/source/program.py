"""The author's functions in a form that can be rebuilt around instrumented copies."""

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
    return _program(adapters.closure(f, arrays))


def pair(forward: Callable, backward: Callable, **arrays: Any) -> Program:
    """forward(**arrays) -> (y, cache) with backward(dy, cache)."""
    return _program(adapters.pair(forward, backward, arrays))


def vjp(fun: Callable, back: Callable, *args: Any) -> Program:
    """fun(*args) with back(dy, *args)."""
    return _program(adapters.vjp(fun, back, args))


def instance(layer: Any, x: np.ndarray, **others: Any) -> Program:
    """layer.forward(x) with layer.backward(dy)."""
    return _program(adapters.instance(layer, (x,), others))


def _program(problem: Problem) -> Program:
    assert problem.build is not None
    return Program(problem, problem.build)
