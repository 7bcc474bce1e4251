"""The functions of the pairs as functions of NumPy arrays, whatever they are written in."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.wild.pairs import Pair

__all__ = ["applied", "as_numpy"]


def as_numpy(pair: Pair, function: Any) -> Callable:
    """`function` as f(**arrays) -> (y, backward) of NumPy arrays, with one output."""
    if pair.library == "numpy":
        return _one_output(function)
    if pair.library == "tape":
        return _of_tape(*function)
    if pair.library == "torch pair":
        return _of_closure(function)
    return _of_torch(function)


def _one_output(function: Callable) -> Callable:
    """Several outputs become one, laid end to end."""

    def f(**arrays):
        *outputs, backward = function(**arrays)
        if len(outputs) == 1:
            return outputs[0], backward
        ends = np.cumsum([o.size for o in outputs])[:-1]

        def joined(dy):
            parts = np.split(dy, ends)
            return backward(*(p.reshape(o.shape) for p, o in zip(parts, outputs, strict=True)))

        return np.concatenate([o.ravel() for o in outputs]), joined

    return f


def _of_tape(node: type, function: Callable) -> Callable:
    def f(**arrays):
        def record():
            nodes = {n: node(float(a)) for n, a in arrays.items()}
            return nodes, function(**nodes)

        def backward(dy):
            nodes, y = record()
            y.backward()
            return {n: np.array(float(dy) * v.grad) for n, v in nodes.items()}

        return np.array(record()[1].data), backward

    return f


def _of_closure(function: Callable) -> Callable:
    import torch

    def f(**arrays):
        y, backward = function(**{n: torch.from_numpy(a) for n, a in arrays.items()})

        def numpy_backward(dy):
            grads = backward(torch.from_numpy(np.array(dy)))
            grads = grads if isinstance(grads, tuple) else (grads,)
            return {n: g.numpy() for n, g in zip(arrays, grads, strict=True)}

        return y.numpy(), numpy_backward

    return f


def _of_torch(function: Any) -> Callable:
    import torch

    def f(**arrays):
        given = {n: torch.from_numpy(a) for n, a in arrays.items()}
        for t in given.values():
            t.requires_grad_(t.is_floating_point())
        with torch.enable_grad():
            y = applied(function, given)

        def backward(dy):
            names = [n for n, t in given.items() if t.requires_grad]
            grads = torch.autograd.grad(
                y, [given[n] for n in names], torch.from_numpy(np.array(dy)), retain_graph=True
            )
            return {n: g.numpy() for n, g in zip(names, grads, strict=True)}

        return y.detach().numpy(), backward

    return f


def applied(function: Any, given: dict[str, Any]) -> Any:
    return function.apply(*given.values()) if isinstance(function, type) else function(**given)
