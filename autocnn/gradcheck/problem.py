"""One convention for every way of writing a backward pass: named float arrays in, flat
cotangents back.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

_LEGACY = np.random.RandomState(20240229).get_state()
COPIED = (np.ndarray, dict, list, np.random.Generator)


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
    """

    label: str
    call: Callable[[dict[str, Any]], tuple]
    arguments: dict[str, Any]
    leaves: tuple[str, ...]
    lifted: Callable[[dict[str, Any]], tuple] | None = None
    functions: tuple = ()
    generators: tuple = ()
    _states: list = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    draws: list[bool] = field(
        default_factory=lambda: [True]
    )  # from numpy's global stream: assumed until a call shows not
    _seen: dict = field(
        default_factory=dict
    )  # shapes of the arguments -> (shapes of the output, calls)

    def values(self, dtype=np.float64) -> dict[str, np.ndarray]:
        """Copies of the leaves, in `dtype` (None: as they were given)."""
        return {
            n: np.array(self.arguments[n], dtype=dtype or np.asarray(self.arguments[n]).dtype)
            for n in self.leaves
        }

    def at(self, **arguments) -> "Problem":
        """The same function with other arguments."""
        return replace(self, arguments={**self.arguments, **arguments})


def make_problem(label, call, arguments, lifted=None, functions=()) -> Problem:
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
    generators = tuple(_generators(functions))
    states = [g.bit_generator.state for g in generators]
    return Problem(
        label, call, dict(arguments), leaves, lifted, tuple(functions), generators, states
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


def run(
    problem: Problem,
    values: dict[str, Any],
    what: str = "forward",
    lifted: bool = False,
    fresh=True,
) -> Output:
    """Call the function with `values` in place of the leaves. `what` says in an error which call it
    was.

    Every call sees the same random numbers (numpy's global stream is put back afterwards,
    generators are rewound) and, unless `fresh` is False, its own copies of the arguments, so that a
    function that writes into them spoils nothing.
    """
    arguments = {name: values.get(name, value) for name, value in problem.arguments.items()}
    if fresh:
        arguments = {n: deepcopy(v) if isinstance(v, COPIED) else v for n, v in arguments.items()}
    for generator, state in zip(problem.generators, problem._states, strict=True):
        generator.bit_generator.state = state
    call = problem.lifted if lifted else problem.call
    if problem.draws[0]:
        before = np.random.get_state()  # noqa: NPY002 - the user's code may draw from the legacy stream
    try:
        if problem.draws[0]:
            np.random.set_state(_LEGACY)  # noqa: NPY002
        with np.errstate(all="ignore"):
            y, backward, held = guarded(
                lambda: call(arguments), f"{problem.label}: {what}", arguments
            )
    finally:
        if problem.draws[0]:
            after = np.random.get_state()  # noqa: NPY002
            problem.draws[0] = after[2] != _LEGACY[2] or not np.array_equal(after[1], _LEGACY[1])
            np.random.set_state(before)  # noqa: NPY002
    parts, rebuild = split_output(y, problem.label)
    shapes = tuple(p.shape for p in parts)
    _same_shapes(problem, arguments, shapes)
    if (
        not lifted
        and any(np.iscomplexobj(p) for p in parts)
        and not any(np.iscomplexobj(v) for v in arguments.values())
    ):
        raise CallError(
            f"{problem.label}: forward returned complex numbers for real arguments: return their real and imaginary parts "
            "(y.real, y.imag), or a real function of them, with backward taking a dy for each"
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


def _same_shapes(problem: Problem, arguments: dict, shapes: tuple) -> None:
    """Raise CallError where arguments of the same shapes gave outputs of other shapes before."""
    key = tuple((n, v.shape) for n, v in arguments.items() if isinstance(v, np.ndarray))
    first, calls = problem._seen.get(key, (shapes, 0))
    problem._seen[key] = first, calls + 1
    if shapes != first:
        before, now = (", ".join(map(str, s)) for s in (first, shapes))
        raise CallError(
            f"{problem.label}: forward returned shape {before} at the first call and {now} at "
            f"{'the second' if calls == 1 else f'call {calls + 1}'}, with arguments of the same shapes: "
            "let the output's shape depend on the shapes of the arguments alone, not on their values or on earlier calls"
        )


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
                _passed_through(problem, key, arguments[key])
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


def _passed_through(problem: Problem, name: str, value: Any) -> None:
    kind = "Python float" if isinstance(value, float) else "list"
    remark = f"{name} is a {kind}, so its gradient was not compared: pass {name}=np.array({name}) to compare it"
    if remark not in problem.remarks:
        problem.remarks.append(remark)


def _means(key: str, name: str) -> bool:
    key, name = str(key).lower(), name.lower()
    return key in {p + name for p in PREFIXES} | {name + s for s in SUFFIXES}
