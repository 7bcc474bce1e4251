"""What forward and backward return, brought to one form: flat outputs, gradients by leaf name."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import pytrees
from autocnn.gradcheck.branches import below, gradients_inside
from autocnn.gradcheck.names import argument_of, means

__all__ = [
    "CallError",
    "Structure",
    "VaryingShape",
    "argument_of",
    "means",
    "name_gradients",
    "plain_form",
    "split_output",
    "subclass_of",
]


class CallError(ValueError):
    """The checked function could not be called, or returned something that has no gradient."""


class VaryingShape(CallError):
    """A gradient that had its leaf's shape at the first call has another one at a later call."""

    def __init__(self, leaf: str, message: str):
        super().__init__(message)
        self.leaf = leaf


def subclass_of(value: Any) -> str:
    """ "np.matrix" and the like for arrays that do not compute as plain arrays do, else ""."""
    kind = type(value)
    if not isinstance(value, np.ndarray) or kind in (np.ndarray, np.memmap):
        return ""
    home = kind.__module__.partition(".")[0]
    return f"{'np' if home == 'numpy' else home}.{kind.__name__}"


def plain_form(value: Any, name: str) -> str:
    """The expression that makes a plain array of `value`, called `name`."""
    return f"{name}.filled(0)" if isinstance(value, np.ma.MaskedArray) else f"np.asarray({name})"


class Structure(NamedTuple):
    """How forward's outputs were packed: what a cotangent must look like. It holds no values."""

    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    scalars: tuple[bool, ...]  # outputs that were no arrays
    pack: Callable[[list], Any]

    def of(self, parts: list[np.ndarray]) -> Any:
        """The arrays `parts` packed as the outputs were."""
        given = zip(parts, self.scalars, strict=True)
        return self.pack([part[()] if scalar else part for part, scalar in given])

    def of_flat(self, flat: np.ndarray) -> Any:
        """Fresh arrays with the entries of `flat`, in the outputs' shapes and real dtypes."""
        parts, start = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size = math.prod(shape)
            part = flat[start : start + size].reshape(shape)
            parts.append(np.array(part, dtype=dtype.type(0).real.dtype))
            start += size
        return self.of(parts)


def split_output(y: Any, label: str) -> tuple[list[np.ndarray], Structure]:
    """y's arrays in order, and the structure that they were in."""
    if type(y) is np.ndarray and y.dtype.kind in "fc" and y.size:  # as most often, and quicker
        return [y], Structure((y.shape,), (y.dtype,), (False,), _only)
    named = pytrees.leaves(y)
    frame = pytrees.rebuild(y, iter([None] * len(named)))
    arrays = []
    for path, item in named:
        if subclass_of(item):
            raise CallError(
                f"{label}: forward returned a {subclass_of(item)}{_at(path)}: return a plain "
                f"array, {plain_form(item, 'y')}"
            )
        array = np.asarray(item)
        if array.dtype.kind not in "fc":
            raise CallError(
                f"{label}: forward returned {_describe(item)}{_at(path)}: the output must be a "
                "float array or number (integers and objects have no gradient; return scores or "
                "a loss instead)"
            )
        arrays.append(array)
    if not sum(a.size for a in arrays):
        raise CallError(f"{label}: forward returned nothing to differentiate ({_describe(y)})")
    return arrays, Structure(
        tuple(a.shape for a in arrays),
        tuple(a.dtype for a in arrays),
        tuple(not isinstance(item, np.ndarray) for _, item in named),
        lambda parts: pytrees.rebuild(frame, iter(parts)),
    )


def _only(parts: list) -> Any:
    return parts[0]


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    return f"{type(value).__name__} {str(value)[:40]!r}" if value is not None else "None"


def name_gradients(
    grads: Any, leaves: tuple[str, ...], arguments: dict[str, Any], label: str
) -> dict[str, Any]:
    """Gradients by leaf name, from a dict (x, dx, grad_x ...), a tuple in the arguments' order,
    or one bare array. Nested arguments take nested gradients.

    Gradients of arguments that are no leaves are dropped, except those of Python floats and lists,
    which stay in the result for a remark.
    """
    if isinstance(grads, dict):
        return _from_dict(grads, leaves, arguments, label)
    if isinstance(grads, tuple | list):
        return _from_sequence(list(grads), leaves, arguments, label)
    if len(leaves) > 1:  # one array for several leaves: the first that it fits
        fits = [n for n in leaves if np.shape(arguments[n]) == np.shape(grads)]
        return {fits[0] if fits else leaves[0]: grads}
    return {leaves[0]: grads}


def _from_dict(grads: dict, leaves, arguments: dict, label: str) -> dict[str, Any]:
    found, extra = {}, []
    tops = list(dict.fromkeys(argument_of(n) for n in arguments))
    for key, value in grads.items():
        name = _leaf_called(str(key), leaves)
        top = next((t for t in tops if str(key) == t or means(str(key), t)), None)
        if name:
            found[name] = value
        elif top is not None and below(top, leaves) and value is not None:
            found |= gradients_inside(top, value, leaves)
        elif value is not None and key not in arguments and key not in tops:
            extra.append(str(key))
        elif value is not None and isinstance(arguments.get(key), float | list):
            found[key] = value
    if extra:
        raise CallError(
            f"{label}: backward returned gradients for {', '.join(extra)}, which no argument is "
            f"called; expected a dict with the names {', '.join(leaves)}"
        )
    return found


def _leaf_called(key: str, leaves: tuple[str, ...]) -> str | None:
    """The leaf that a key names: itself, as dx or grad_x, or by its last part (W for params.W)."""
    if key in leaves:
        return key
    exact = [n for n in leaves if means(key, n)]
    if exact:
        return exact[0]
    inner = [n for n in leaves if "." in n and (n.rsplit(".", 1)[1] == key)]
    inner = inner or [n for n in leaves if "." in n and means(key, n.rsplit(".", 1)[1])]
    return inner[0] if len(inner) == 1 else None


def _from_sequence(items: list, leaves, arguments: dict, label: str) -> dict[str, Any]:
    tops = list(dict.fromkeys(argument_of(n) for n in arguments))
    wanted = list(dict.fromkeys(argument_of(n) for n in leaves))
    while len(items) > len(wanted) and len(items) > len(leaves) and items[-1] is None:
        items.pop()
    if len(items) == len(wanted):
        return _spread(dict(zip(wanted, items, strict=True)), leaves)
    if len(items) == len(leaves):
        return dict(zip(leaves, items, strict=True))
    if len(items) == len(tops):
        return _spread(dict(zip(tops, items, strict=True)), leaves)
    if len(items) < len(wanted):
        return _by_shape(items, leaves, arguments)
    raise CallError(
        f"{label}: backward returned {len(items)} gradients for {len(leaves)} float arguments "
        f"({', '.join(leaves)}): return one for each, in this order, or a dict"
    )


def _spread(by_argument: dict[str, Any], leaves: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for top, value in by_argument.items():
        if top in leaves:
            found[top] = value
        elif below(top, leaves) and value is not None:
            found |= gradients_inside(top, value, leaves)
    return found


def _by_shape(items: list, leaves, arguments: dict) -> dict[str, Any]:
    """Fewer gradients than leaves: each goes to the next leaf that it fits, in order."""
    found, start = {}, 0
    for item in items:
        fits = [
            k for k in range(start, len(leaves)) if np.shape(arguments[leaves[k]]) == np.shape(item)
        ]
        if not fits:
            return dict(zip(leaves, items, strict=False))
        found[leaves[fits[0]]] = item
        start = fits[0] + 1
    return found
