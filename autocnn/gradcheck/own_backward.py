"""Functions of torch tensors or jax arrays that return `(y, backward)` of their own."""

from collections.abc import Callable
from typing import Any

from autocnn.gradcheck import pytrees

__all__ = ["own_backward", "with_own_backward"]


def own_backward(result: Any) -> bool:
    """Is it (y, backward), or (y1, y2 ..., backward)?"""
    return isinstance(result, tuple) and len(result) > 1 and callable(result[-1])


def with_own_backward(result: tuple, to_array: Callable, to_numpy: Callable) -> tuple:
    """(y, backward, held) in NumPy of a function that returned its own backward."""
    *outputs, backward = result
    y = outputs[0] if len(outputs) == 1 else tuple(outputs)

    def back(dy: Any) -> Any:
        return pytrees.tree_map(to_numpy, backward(pytrees.tree_map(to_array, dy)))

    return pytrees.tree_map(to_numpy, y), back, dict
