"""Layers and functions that compute with torch tensors and differentiate by hand: arrays go in as
tensors, tensors come out as arrays."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import devices, pytrees

__all__ = [
    "Library",
    "alike",
    "as_arrays",
    "as_tensors",
    "has_tensors",
    "library_of",
    "with_tensors",
]


def alike(values: dict[str, Any]) -> dict[str, Any]:
    """The values with every float array complex where one is: torch multiplies no complex matrix by
    a real one."""
    if not any(isinstance(v, np.ndarray) and v.dtype.kind == "c" for v in values.values()):
        return values
    return {
        n: v.astype(complex) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for n, v in values.items()
    }


def has_tensors(value: Any) -> bool:
    """Is a torch tensor among the leaves of a tree?"""
    return any(devices.is_tensor(v) for _, v in pytrees.leaves(value))


def as_arrays(value: Any) -> Any:
    """The tree with an array in place of each tensor, and a number in place of one without axes."""
    if devices.is_tensor(value):
        return devices.to_numpy(value)
    return pytrees.tree_map(devices.to_numpy, value) if has_tensors(value) else value


def as_tensors(value: Any) -> Any:
    """The tree with a tensor in place of each array or NumPy number; one that holds anything else
    besides (a cache of the author's) as it is."""
    kinds = {isinstance(v, np.ndarray | np.generic) for _, v in pytrees.leaves(value)}
    return pytrees.tree_map(devices.to_tensor, value) if kinds == {True} else value


def with_tensors(function: Callable, *arguments: Any) -> Any:
    """function(*arguments) with arrays as tensors. What it writes into them is written into the
    arrays. Returns arrays."""
    tensors = {
        k: devices.to_tensor(a) if isinstance(a, np.ndarray) else as_tensors(a)
        for k, a in enumerate(arguments)
    }
    result = function(*tensors.values())
    flat = dict(enumerate(v for a in arguments for _, v in pytrees.leaves(a)))
    made = dict(enumerate(v for t in tensors.values() for _, v in pytrees.leaves(t)))
    devices.write_back(made, flat)
    return as_arrays(result)


class Library(NamedTuple):
    """How a function and its backward are called: as they are, or with arrays as tensors."""

    forward: Callable[[Callable], Callable]
    backward: Callable[[Callable], Callable]
    alike: Callable[[dict], dict]


def library_of(arrays: dict[str, Any], cached: bool = False) -> tuple[Library, dict[str, Any]]:
    """How functions of these arguments are called, and the arguments as arrays. With `cached`,
    forward returns a cache after its outputs, which is passed on as it is."""
    names = {n for n, v in arrays.items() if has_tensors(v)}
    if not names:
        return Library(_same, _same, _same), arrays

    def forward(function: Callable) -> Callable:
        def call(*values: Any, **given: Any) -> Any:
            if values:
                return as_arrays(with_tensors(function, *values))
            tensors = {n: _tree_of_tensors(v) if n in names else v for n, v in given.items()}
            result = function(**tensors)
            for name in names:
                pairs = zip(pytrees.leaves(tensors[name]), pytrees.leaves(given[name]), strict=True)
                for (_, tensor), (_, array) in pairs:
                    devices.write_back({name: tensor}, {name: array})
            if cached and isinstance(result, tuple | list):
                return tuple(devices.to_numpy(part) for part in result)
            return as_arrays(result)

        return call

    def backward(function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            count = len(arguments)
            return with_tensors(
                lambda *v: function(*v[:count], **dict(zip(named, v[count:], strict=True))),
                *arguments,
                *named.values(),
            )

        return call

    return Library(forward, backward, alike), {n: as_arrays(v) for n, v in arrays.items()}


def _tree_of_tensors(value: Any) -> Any:
    return pytrees.tree_map(lambda v: devices.to_tensor(v) if _is_array(v) else v, value)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic)


def _same(given: Any) -> Any:
    return given
