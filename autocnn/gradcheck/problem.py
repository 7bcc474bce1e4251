"""One convention for every way of writing a backward pass: named float arrays in, flat
cotangents back.
"""

import contextlib
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import random_streams

__all__ = [
    "CallError",
    "Output",
    "Problem",
    "guarded",
    "make_problem",
    "name_gradients",
    "observe",
    "run",
    "split_output",
]

COPIED = (np.ndarray, dict, list, np.random.Generator, np.random.RandomState, random.Random)


class CallError(ValueError):
    """The checked function could not be called, or returned something that has no gradient."""


class Output(NamedTuple):
    """What one forward call gave: all outputs in one flat vector, their shapes, and the backward
    of this call.
    """

    flat: np.ndarray
    shapes: tuple[tuple[int, ...], ...]
    backward: Callable[[np.ndarray], dict[str, Any]]
    held: Callable[[], dict[str, np.ndarray]]
    dtypes: tuple[np.dtype, ...]


@dataclass(frozen=True)
class Problem:
    """A function to be checked. `call(arguments) -> (y, backward, held)` is what an adapter makes
    of the user's code:

    y is an array, a scalar, or a tuple, list or dict of them; `backward(dy)` takes a dy of y's
    structure and returns gradients (dict, tuple in the leaves' order, or one bare array); `held()`
    lists the arrays that backward remembers. `lifted`, when not None, is the same call with complex
    buffers (see `lift`), used for the complex step alone.

    `streams` are the global random streams that are rewound before each call, `generators` the
    generator objects with their states at the start, `output_shapes` what a first call returned
    (None: not called yet), `remarks` what the adapter has to say. A Problem never changes:
    `observe` returns a copy that knows more.
    """

    label: str
    call: Callable[[dict[str, Any]], tuple]
    arguments: dict[str, Any]
    leaves: tuple[str, ...]
    lifted: Callable[[dict[str, Any]], tuple] | None = None
    functions: tuple[Callable, ...] = ()
    generators: tuple[tuple[np.random.Generator, dict], ...] = ()
    streams: frozenset[str] = random_streams.ALL
    output_shapes: tuple[tuple[int, ...], ...] | None = None
    remarks: tuple[str, ...] = ()

    def values(self, dtype=np.float64) -> dict[str, np.ndarray]:
        """Copies of the leaves, in `dtype` (None: as they were given)."""
        return {
            n: np.array(self.arguments[n], dtype=dtype or np.asarray(self.arguments[n]).dtype)
            for n in self.leaves
        }

    def at(self, /, **arguments: Any) -> "Problem":
        """The same function with other arguments, of which the shapes may differ."""
        return replace(self, arguments={**self.arguments, **arguments}, output_shapes=None)


def make_problem(
    label: str,
    call: Callable,
    arguments: dict[str, Any],
    lifted: Callable | None = None,
    functions: tuple = (),
    remarks: tuple[str, ...] = (),
) -> Problem:
    """Decide which arguments are differentiated: the float arrays, numpy scalars and Python
    floats held in arrays.
    """
    leaves = tuple(name for name, value in arguments.items() if _is_float(value))
    if not leaves:
        got = (
            ", ".join(f"{n}: {getattr(v, 'dtype', type(v).__name__)}" for n, v in arguments.items())
            or "no arguments"
        )
        raise ValueError(
            f"nothing to differentiate in {label}: it needs at least one float array, got {got}"
            + _as_array(arguments)
        )
    for name in leaves:
        value = np.asarray(arguments[name])
        if value.size == 0:
            raise ValueError(f"{name} is empty (shape {value.shape}): give it at least one entry")
        if not np.all(np.isfinite(value)):
            raise ValueError(
                f"{name} holds inf or nan: a gradient there means nothing, give finite values"
            )
    generators = tuple((g, g.bit_generator.state) for g in _generators(functions))
    return Problem(
        label, call, dict(arguments), leaves, lifted, tuple(functions), generators, remarks=remarks
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


def _is_float(value) -> bool:
    return isinstance(value, np.ndarray | np.floating) and np.asarray(value).dtype.kind == "f"


def _generators(functions):
    """Generators that the functions close over: rewound before each call, so that dropout draws
    the same mask.
    """
    for function in functions:
        code, closure = (
            getattr(function, "__code__", None),
            getattr(function, "__closure__", None) or (),
        )
        cells = [c.cell_contents for c in closure if _filled(c)]
        named = [function.__globals__.get(n) for n in code.co_names] if code else []
        for value in cells + named:
            if isinstance(value, np.random.Generator):
                yield value


def _filled(cell) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a cell of a name that is not bound yet
        return False


def observe(problem: Problem) -> tuple[Problem, Output]:
    """Call forward once on the given arrays. The Problem that comes back knows the random streams
    that forward draws from and its output's shapes."""
    drawn: set[str] = set()
    with random_streams.drawn_from(drawn):
        out = run(
            replace(problem, streams=frozenset()), problem.values(None), "forward (first call)"
        )
    return replace(problem, streams=frozenset(drawn), output_shapes=out.shapes), out


def run(
    problem: Problem,
    values: dict[str, Any],
    what: str = "forward",
    lifted: bool = False,
    fresh: bool = True,
) -> Output:
    """Call the function with `values` in place of the leaves. `what` says in an error which call it
    was.

    Every call sees the same random numbers (global streams and generators are rewound, the caller's
    streams restored) and, unless `fresh` is False, its own copies of the arguments, so that a
    function that writes into them spoils nothing.
    """
    arguments = {name: values.get(name, value) for name, value in problem.arguments.items()}
    if fresh:
        arguments = {n: deepcopy(v) if isinstance(v, COPIED) else v for n, v in arguments.items()}
    for generator, state in problem.generators:
        generator.bit_generator.state = state
    call = problem.lifted if lifted else problem.call
    with (
        random_streams.rewound(problem.streams) if problem.streams else contextlib.nullcontext(),
        np.errstate(all="ignore"),
    ):
        y, backward, held = guarded(lambda: call(arguments), f"{problem.label}: {what}", arguments)
    parts, rebuild = split_output(y, problem.label)
    shapes = tuple(p.shape for p in parts)
    if problem.output_shapes is not None and shapes != problem.output_shapes:
        before, now = (", ".join(map(str, s)) for s in (problem.output_shapes, shapes))
        raise CallError(
            f"{problem.label}: forward returned shape {before} at the first call and {now} at a "
            "later one, with arguments of the same shapes: let the output's shape depend on the "
            "shapes of the arguments alone, not on their values or on earlier calls"
        )
    if (
        not lifted
        and any(np.iscomplexobj(p) for p in parts)
        and not any(np.iscomplexobj(v) for v in arguments.values())
    ):
        raise CallError(
            f"{problem.label}: forward returned complex numbers for real arguments: return their "
            "real and imaginary parts (y.real, y.imag), or a real function of them, with backward "
            "taking a dy for each"
        )
    dtype = np.result_type(*parts, np.float64)
    flat = (
        np.concatenate([p.ravel() for p in parts]).astype(dtype, copy=False)
        if parts
        else np.zeros(0)
    )

    def flat_backward(dy: np.ndarray, what: str = "backward", look=None) -> dict[str, Any]:
        cotangent = rebuild(dy)
        if look:  # hygiene watches the very arrays that the user's code is handed
            look(cotangent)
        with np.errstate(all="ignore"):
            grads = guarded(lambda: backward(cotangent), f"{problem.label}: {what}", arguments)
        return name_gradients(grads, problem, arguments)

    return Output(flat, shapes, flat_backward, held, tuple(p.dtype for p in parts))


def guarded(thunk: Callable[[], Any], what: str, arguments: dict[str, Any] | None = None) -> Any:
    """`thunk()`, with the user's exception chained to one that says which call of the checker it
    was.
    """
    try:
        return thunk()
    except CallError:
        raise
    except Exception as error:
        lists = [n for n, v in (arguments or {}).items() if isinstance(v, list)]
        hint = f" ({lists[0]} is a list: pass {lists[0]}=np.array({lists[0]})?)" if lists else ""
        raise CallError(f"{what} raised {type(error).__name__}: {error}{hint}") from error


def split_output(y: Any, label: str) -> tuple[list[np.ndarray], Callable]:
    """y's arrays in order, and the function that gives a flat cotangent y's structure, shapes
    and dtypes.
    """
    if isinstance(y, dict):
        keys, items, make = (
            list(y),
            list(y.values()),
            lambda parts: dict(zip(keys, parts, strict=True)),
        )
    elif isinstance(y, tuple | list):
        kind = type(y) if type(y) in (tuple, list) else tuple
        items, make = list(y), lambda parts: kind(parts)
    else:
        items, make = [y], lambda parts: parts[0]
    arrays = []
    for item in items:
        array = np.asarray(item)
        if array.dtype.kind not in "fc":
            raise CallError(
                f"{label}: forward returned {_describe(item)}: the output must be a float array or number "
                "(integers and objects have no gradient; return scores or a loss instead)"
            )
        arrays.append(array)
    if not sum(a.size for a in arrays):
        raise CallError(f"{label}: forward returned nothing to differentiate ({_describe(y)})")
    scalars = [not isinstance(item, np.ndarray) for item in items]

    def rebuild(flat: np.ndarray):
        parts, start = [], 0
        for array, scalar in zip(arrays, scalars, strict=True):
            part = np.array(
                flat[start : start + array.size].reshape(array.shape), dtype=array.real.dtype
            )
            parts.append(part[()] if scalar else part)
            start += array.size
        return make(parts)

    return arrays, rebuild


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    return f"{type(value).__name__} {str(value)[:40]!r}" if value is not None else "None"


PREFIXES = ("d_", "d", "grad_", "g_", "grad")
SUFFIXES = ("_grad", "_gradient", ".grad")


def name_gradients(grads: Any, problem: Problem, arguments: dict[str, Any]) -> dict[str, Any]:
    """Gradients by leaf name, from a dict (x, dx, grad_x ...), a tuple in the arguments' order,
    or one bare array.
    """
    leaves, every = problem.leaves, list(arguments)
    if isinstance(grads, dict):
        found, extra = {}, []
        for key, value in grads.items():
            name = next((n for n in leaves if key == n), None) or next(
                (n for n in leaves if _means(key, n)), None
            )
            if name:
                found[name] = value
            elif value is not None and key not in every:
                extra.append(str(key))
            elif value is not None and isinstance(arguments[key], float | list):
                found[key] = value  # hygiene remarks on it: it is no leaf
        if extra:
            raise CallError(
                f"{problem.label}: backward returned gradients for {', '.join(extra)}, which no argument is called; "
                f"expected a dict with the names {', '.join(leaves)}"
            )
        return found
    if isinstance(grads, tuple | list):
        items = list(grads)
        while len(items) > len(leaves) and items[-1] is None:
            items.pop()
        if len(items) == len(leaves):
            return dict(zip(leaves, items, strict=True))
        if len(grads) == len(every):
            return {n: g for n, g in zip(every, grads, strict=True) if n in leaves}
        if len(items) < len(leaves):
            return dict(zip(leaves, items, strict=False))
        raise CallError(
            f"{problem.label}: backward returned {len(items)} gradients for {len(leaves)} float arguments "
            f"({', '.join(leaves)}): return one for each, in this order, or a dict"
        )
    return {leaves[0]: grads}


def _means(key: str, name: str) -> bool:
    key, name = str(key).lower(), name.lower()
    return key in {p + name for p in PREFIXES} | {name + s for s in SUFFIXES}
