"""The same numbers in other memory layouts: what a cotangent or an input looks like in real
programs, and what a backward pass that reads memory as if it were contiguous gets wrong.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["misread", "numpy_layouts", "torch_layouts"]

FILL = 1234.5  # what lies between the entries of a slice: reading it shows


def numpy_layouts(array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) with the values of `array`: a slice of a larger array, the transpose of a
    contiguous one, reversed strides, read-only.
    """
    if array.ndim:
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), FILL, dtype=array.dtype)
        wide[..., ::2] = array
        yield "a slice of a larger array", wide[..., ::2]
        yield "reversed strides", np.ascontiguousarray(array[..., ::-1])[..., ::-1]
    if array.ndim > 1:
        yield "Fortran order", np.asfortranarray(array)
    frozen = array.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen


def torch_layouts(tensor: Any) -> Iterator[tuple[str, Any]]:
    """Like `numpy_layouts` for a torch tensor (which has neither negative strides nor read-only
    memory).
    """
    if tensor.ndim:
        wide = tensor.new_full((*tensor.shape[:-1], 2 * tensor.shape[-1]), FILL)
        wide[..., ::2] = tensor
        yield "a slice of a larger tensor", wide[..., ::2]
    if tensor.ndim > 1:
        axes = tuple(reversed(range(tensor.ndim)))
        yield (
            "the transpose of a contiguous tensor",
            tensor.permute(axes).contiguous().permute(axes),
        )


def misread(array: np.ndarray) -> np.ndarray:
    """What a kernel sees that reads the memory of `array` from its first entry on in C order,
    whatever its strides: for naming the mistake.
    """
    base = array
    while isinstance(base.base, np.ndarray):
        base = base.base
    memory = base.ravel(order="K")
    start = (
        array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    ) // array.itemsize
    return memory[start : start + array.size].reshape(array.shape).copy()
