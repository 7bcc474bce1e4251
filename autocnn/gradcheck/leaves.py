"""Which arguments of a function are differentiated, and the Problem made of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.outputs import plain_form, subclass_of
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.state import generators

__all__ = ["make_problem"]


def make_problem(
    label: str,
    call: Callable,
    arguments: dict[str, Any],
    lifted: Callable | None = None,
    functions: tuple = (),
    wrt: tuple[str, ...] | str | None = None,
    **known: Any,
) -> Problem:
    """Decide which arguments are differentiated: the float arrays, numpy scalars and Python
    floats held in arrays, or those of them that `wrt` names.
    """
    for name, value in arguments.items():
        if subclass_of(value):
            raise ValueError(
                f"{name} is a {subclass_of(value)}, which computes otherwise than a plain array: "
                f"pass {name}={plain_form(value, name)}"
            )
    floats = tuple(name for name, value in arguments.items() if _is_float(value))
    leaves = _chosen(floats, arguments, wrt, label)
    if not leaves:
        got = (
            ", ".join(f"{n}: {getattr(v, 'dtype', type(v).__name__)}" for n, v in arguments.items())
            or "no arguments"
        )
        raise ValueError(
            f"nothing to differentiate in {label}: it needs at least one float array, got {got}"
            + (_narrow(arguments, label) or _as_array(arguments))
        )
    for name in leaves:
        value = np.asarray(arguments[name])
        if value.size == 0:
            raise ValueError(f"{name} is empty (shape {value.shape}): give it at least one entry")
        if not np.all(np.isfinite(value)):
            raise ValueError(
                f"{name} holds inf or nan: a gradient there means nothing, give finite values"
            )
    known.setdefault("restore", generators(functions))
    return Problem(
        label,
        call,
        dict(arguments),
        leaves,
        lifted,
        functions=tuple(functions),
        data=frozenset(floats) - set(leaves),
        **known,
    )


def _chosen(floats, arguments: dict, wrt, label: str) -> tuple[str, ...]:
    """The leaves: all floats, or those that `wrt` names (a nested argument stands for its
    leaves)."""
    if wrt is None:
        return floats
    wanted = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    inside = {
        name: [f for f in floats if f == name or f.startswith((f"{name}.", f"{name}["))]
        for name in wanted
    }
    unknown = [n for n, found in inside.items() if not found]
    if unknown:
        raise ValueError(
            f"wrt names {', '.join(unknown)}, which is no float array of {label}; "
            f"those are {', '.join(floats) or 'none'}"
        )
    chosen = {f for found in inside.values() for f in found}
    return tuple(f for f in floats if f in chosen)


def _narrow(arguments: dict, label: str) -> str:
    """The call that would work, where the arrays are of a dtype that NumPy itself has not."""
    kinds = [str(getattr(v, "dtype", "")) for v in arguments.values()]
    kind = next((k for k in kinds if k.startswith(("bfloat", "float8"))), None)
    if kind is None:
        return ""
    given = ", ".join(f"{n}={n}" for n in arguments)
    return (
        f"; check_kernel({label}, reference, {given}) compares in {kind}"
        if kind == "bfloat16"
        else (f"; pass {next(iter(arguments))}.astype(float)")
    )


def _as_array(arguments: dict) -> str:
    """The call that would work, where lists or numbers were given."""
    numbers = [n for n, v in arguments.items() if isinstance(v, list | tuple | float | int)]
    integers = [
        n for n, v in arguments.items() if getattr(getattr(v, "dtype", None), "kind", "") in "iu"
    ]
    if numbers:
        return f"; pass {numbers[0]}=np.array({numbers[0]}, dtype=float)"
    if integers:
        return f"; pass {integers[0]}={integers[0]}.astype(float)"
    return (
        "; give real and imaginary parts as two float arrays"
        if any(map(np.iscomplexobj, arguments.values()))
        else ""
    )


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.floating) and np.asarray(value).dtype.kind == "f"
