"""The float arrays inside a value: a number, an array, a tensor, or a tuple, list or dict of
them."""

import sys
from typing import Any

import numpy as np

__all__ = ["close", "floats", "put_back", "size"]


def _tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _jax(value: Any) -> bool:
    return type(value).__module__.startswith("jax") and hasattr(value, "at")


def floats(value: Any) -> list[np.ndarray]:
    """Copies of the float (or complex) arrays in `value`, in order. An integer on its own counts
    as a number: it may be a size by which something is divided."""
    if type(value) is int:
        return [np.array(float(value))]
    return _floats(value)


def _floats(value: Any) -> list[np.ndarray]:
    kind = type(value)
    if kind is np.ndarray or isinstance(value, np.ndarray | np.floating | np.complexfloating):
        return [np.array(value)] if value.dtype.kind in "fc" else []
    if kind is float or kind is complex:
        return [np.array(value)]
    if isinstance(value, tuple | list):
        return [a for item in value for a in _floats(item)]
    if isinstance(value, dict):
        return [a for item in value.values() for a in _floats(item)]
    if _tensor(value):
        real = value.dtype.is_floating_point or value.dtype.is_complex
        return [value.detach().cpu().numpy().copy()] if real else []
    if _jax(value):
        return _floats(np.asarray(value))
    return []


def put_back(value: Any, arrays: list[np.ndarray]) -> Any:
    """`value` with its float arrays exchanged for `arrays` (consumed in order)."""
    if type(value) is int:
        new = arrays.pop(0)[()]
        return int(new.real) if new == int(new.real) else new
    return _put_back(value, arrays)


def _put_back(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fc":
            return value
        new = arrays.pop(0)
        return new.astype(value.dtype) if value.dtype.kind == new.dtype.kind else new
    if isinstance(value, float | complex | np.floating | np.complexfloating):
        return arrays.pop(0)[()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_put_back(item, arrays) for item in value))
    if isinstance(value, tuple | list):
        return type(value)(_put_back(item, arrays) for item in value)
    if isinstance(value, dict):
        return {key: _put_back(item, arrays) for key, item in value.items()}
    if _tensor(value) and value.dtype.is_floating_point:
        torch = sys.modules["torch"]
        new = torch.as_tensor(arrays.pop(0))
        return new if new.dtype.is_complex else new.to(value.dtype)
    if _jax(value) and value.dtype.kind == "f":
        return sys.modules["jax"].numpy.asarray(arrays.pop(0))
    return value


def size(arrays: list[np.ndarray]) -> int:
    """The number of entries in all arrays."""
    return sum(a.size for a in arrays)


def close(a: np.ndarray, b: np.ndarray, tolerance: float = 1e-8) -> bool:
    """True where two arrays of one shape are equal to rounding, relative to their size."""
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    apart = np.max(np.abs(a - b))
    return bool(apart <= tolerance * max(np.max(np.abs(a)), np.max(np.abs(b)), 1e-300))
