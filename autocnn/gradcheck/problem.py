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
from autocnn.gradcheck.outputs import (
    CallError,
    VaryingShape,
    name_gradients,
    plain_form,
    split_output,
    subclass_of,
)
from autocnn.gradcheck.protection import describe, is_own_exception, set_stage
from autocnn.gradcheck.state import generators

__all__ = ["CallError", "Output", "Problem", "guarded", "make_problem", "observe", "run"]

EPS = float(np.finfo(np.float64).eps)
COPIED = (np.ndarray, dict, list, np.random.Generator, np.random.RandomState, random.Random)


class Output(NamedTuple):
    """What one forward call gave: all outputs in one flat vector, their shapes, and the backward
    of this call. `held()` lists the arrays that backward remembers, by name.
    """

    flat: np.ndarray
    shapes: tuple[tuple[int, ...], ...]
    backward: Callable[..., dict[str, Any]]
    held: Callable[[], dict[str, np.ndarray]]
    dtypes: tuple[np.dtype, ...]


@dataclass(frozen=True)
class Problem:
    """A function to be checked. `call(arguments) -> (y, backward, held)` is what an adapter makes
    of the user's code:

    y is an array, a scalar, or a tuple, list or dict of them; `backward(dy)` takes a dy of y's
    structure and returns gradients (dict, tuple in the leaves' order, or one bare array); `held()`
    lists the arrays that backward remembers. `lifted`, when not None, is the same call with complex
    buffers (see `lift`), used for the complex step alone. A Problem never changes: `observe` and
    the checks return copies that know more.
    """

    label: str
    call: Callable[[dict[str, Any]], tuple]
    arguments: dict[str, Any]
    leaves: tuple[str, ...]
    lifted: Callable[[dict[str, Any]], tuple] | None = None
    #: transform -> `call` with every function of the user's passed through `transform` first
    build: Callable[[Callable], Callable] | None = None
    functions: tuple = ()  # the user's functions: their defaults, constants and state are read
    parameters: frozenset[str] = frozenset()  # leaves that were found in an object
    data: frozenset[str] = frozenset()  # float arrays that are not differentiated
    optional: frozenset[str] = frozenset()  # leaves that are data if no gradient comes for them
    optional_in_loss: frozenset[str] = frozenset()  # those that are so where the output is a number
    #: Rewinds generators, and whatever else the functions remember, before each forward.
    restore: tuple[Callable[[], None], ...] = ()
    streams: frozenset[str] = random_streams.ALL  # global random streams to rewind
    output_shapes: tuple[tuple[int, ...], ...] | None = None  # of the first call
    given: bool = False  # call with the leaves' own dtypes: float64 is refused
    eps: float = EPS  # relative rounding of forward
    leaf_eps: tuple[tuple[str, float], ...] = ()  # and of single gradients, where it is coarser
    repeatable: bool = True  # backward may be called more than once after one forward
    #: Notes and warnings of the adapter: (level, message).
    remarks: tuple[tuple[str, str], ...] = ()
    #: Gradients that accumulate in an object's attributes on purpose, and how they are reset.
    reset: str = ""
    accumulates_in_place: bool = False
    tape: bool = False  # walked once by design
    updated: frozenset[str] = frozenset()  # parameters that backward itself updates
    sized: frozenset[str] = frozenset()  # leaves whose first gradient had the right shape
    varying: frozenset[str] = frozenset()  # leaves whose gradient had another shape later
    #: float arrays that the functions can reach and that are not compared, by name
    uncompared: tuple[str, ...] = ()

    def values(self, dtype=np.float64) -> dict[str, np.ndarray]:
        """Copies of the leaves, in `dtype` (None: as they were given)."""
        return {
            n: np.array(self.arguments[n], dtype=dtype or np.asarray(self.arguments[n]).dtype)
            for n in self.leaves
        }

    def at(self, /, **arguments: Any) -> "Problem":
        """The same function with other arguments, of which the shapes may differ."""
        return replace(self, arguments={**self.arguments, **arguments}, output_shapes=None)

    def eps_of(self, name: str) -> float:
        """The coarsest rounding that a right gradient of this leaf may show."""
        return max(self.eps, dict(self.leaf_eps).get(name, EPS))


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


def observe(problem: Problem) -> tuple[Problem, Output]:
    """Call forward once on the given arrays. The Problem that comes back knows the random streams
    that forward draws from, its output's shapes, and whether float64 is refused."""
    drawn: set[str] = set()
    with random_streams.drawn_from(drawn):
        out = run(
            replace(problem, streams=frozenset()), problem.values(None), "forward (first call)"
        )
    problem = replace(problem, streams=frozenset(drawn), output_shapes=out.shapes)
    if any(np.asarray(problem.arguments[n]).dtype != np.float64 for n in problem.leaves):
        try:
            run(problem, problem.values())
        except CallError:
            problem = replace(problem, given=True)
    return problem, out


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
    if problem.given:
        arguments |= {
            n: np.asarray(values[n], dtype=np.asarray(problem.arguments[n]).dtype)
            for n in values
            if n in problem.arguments and not np.iscomplexobj(values[n])
        }
    if fresh:
        arguments = {n: deepcopy(v) if isinstance(v, COPIED) else v for n, v in arguments.items()}
    for restore in problem.restore:
        restore()
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
    flat = np.concatenate([p.ravel() for p in parts]).astype(dtype, copy=False)

    def flat_backward(dy: np.ndarray, what: str = "backward", look=None) -> dict[str, Any]:
        cotangent = rebuild(dy)
        if look:  # hygiene watches the very arrays that the user's code is handed
            changed = look(cotangent)  # and may put others in their place
            cotangent = cotangent if changed is None else changed
        with np.errstate(all="ignore"):
            grads = guarded(lambda: backward(cotangent), f"{problem.label}: {what}", arguments)
        named = name_gradients(grads, problem.leaves, arguments, problem.label)
        return _with_steady_shapes(problem, named, arguments)

    return Output(flat, shapes, flat_backward, held, tuple(p.dtype for p in parts))


def _with_steady_shapes(problem: Problem, grads: dict, arguments: dict) -> dict[str, Any]:
    """The gradients, without those that are known to vary in shape. Raises VaryingShape for others
    that do."""
    for name in problem.sized - problem.varying:
        grad, shape = grads.get(name), np.shape(arguments[name])
        if grad is not None and np.shape(grad) != shape:
            raise VaryingShape(
                name,
                f"the gradient has shape {shape} at the first call and {np.shape(grad)} at a "
                "later one",
            )
    if problem.varying:
        return {n: g for n, g in grads.items() if n not in problem.varying}
    return grads


def guarded(thunk: Callable[[], Any], what: str, arguments: dict[str, Any] | None = None) -> Any:
    """`thunk()`, with the user's exception chained to one that says which call of the checker it
    was.
    """
    set_stage(what)
    try:
        result = thunk()
        set_stage("")
        return result
    except CallError:
        raise
    except BaseException as error:  # SystemExit and the like are the user's as well
        if is_own_exception(error):
            raise
        set_stage("")
        lists = [n for n, v in (arguments or {}).items() if isinstance(v, list)]
        hint = f" ({lists[0]} is a list: pass {lists[0]}=np.array({lists[0]})?)" if lists else ""
        raise CallError(f"{what} {describe(error)}{hint}") from error
