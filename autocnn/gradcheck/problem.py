"""One convention for every way of writing a backward pass: named float arrays in, flat
cotangents back.
"""

import contextlib
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import random_streams
from autocnn.gradcheck.outputs import (
    CallError,
    Structure,
    VaryingShape,
    name_gradients,
    split_output,
)
from autocnn.gradcheck.protection import describe, is_own_exception, set_stage

__all__ = ["Call", "CallError", "Output", "Problem", "call_once", "guarded", "observe", "run"]

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


class Call(NamedTuple):
    """What one forward call returned, as it is: the outputs' arrays, their structure, and the
    backward of this call, which takes a cotangent of that structure."""

    parts: list[np.ndarray]
    structure: Structure
    backward: Callable[..., dict[str, Any]]
    held: Callable[[], dict[str, np.ndarray]]


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
    #: Notes, warnings and errors of the adapter: (level, message) or (level, message, code, leaf).
    remarks: Sequence[tuple[Any, ...]] = ()
    #: Gradients that accumulate in an object's attributes on purpose, and how they are reset.
    reset: str = ""
    accumulates_in_place: bool = False
    tape: bool = False  # walked once by design
    passes_none: bool = False  # the caller passes None for the cotangent of an unused output
    cache_passed: bool = False  # backward is handed a cache that each forward makes anew
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
        arguments = {n: _copied(v) for n, v in arguments.items()}
    called = call_once(problem, arguments, what, lifted)
    dtype = np.result_type(*called.parts, np.float64)
    flat = np.concatenate([p.ravel() for p in called.parts]).astype(dtype, copy=False)
    structure, backward = called.structure, called.backward

    def flat_backward(dy: np.ndarray, what: str = "backward", look=None) -> dict[str, Any]:
        cotangent = structure.of_flat(dy)
        if look:  # hygiene watches the very arrays that the user's code is handed
            changed = look(cotangent)  # and may put others in their place
            cotangent = cotangent if changed is None else changed
        return backward(cotangent, what)

    return Output(flat, structure.shapes, flat_backward, called.held, structure.dtypes)


def _copied(value: Any) -> Any:
    """A copy of an argument that a call could write into."""
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return value.copy(order="K")
    return deepcopy(value) if isinstance(value, COPIED) else value


def call_once(
    problem: Problem, arguments: dict[str, Any], what: str = "forward", lifted: bool = False
) -> Call:
    """Call the function with these very arguments, after what it remembers and the random streams
    were rewound."""
    for restore in problem.restore:
        restore()
    call = problem.lifted if lifted else problem.call
    with (
        random_streams.rewound(problem.streams) if problem.streams else contextlib.nullcontext(),
        np.errstate(all="ignore"),
    ):
        y, backward, held = guarded(lambda: call(arguments), f"{problem.label}: {what}", arguments)
    parts, structure = split_output(y, problem.label)
    if problem.output_shapes is not None and structure.shapes != problem.output_shapes:
        before, now = (", ".join(map(str, s)) for s in (problem.output_shapes, structure.shapes))
        raise CallError(
            f"{problem.label}: forward returned shape {before} at the first call and {now} at a "
            "later one, with arguments of the same shapes: let the output's shape depend on the "
            "shapes of the arguments alone, not on their values or on earlier calls"
        )
    if (
        not lifted
        and any(p.dtype.kind == "c" for p in parts)
        and not any(np.iscomplexobj(v) for v in arguments.values())
    ):
        raise CallError(
            f"{problem.label}: forward returned complex numbers for real arguments: return their "
            "real and imaginary parts (y.real, y.imag), or a real function of them, with backward "
            "taking a dy for each"
        )

    def named_backward(cotangent: Any, what: str = "backward") -> dict[str, Any]:
        with np.errstate(all="ignore"):
            grads = guarded(lambda: backward(cotangent), f"{problem.label}: {what}", arguments)
        named = name_gradients(grads, problem.leaves, arguments, problem.label)
        return _with_steady_shapes(problem, named, arguments)

    return Call(parts, structure, named_backward, held)


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
    set_stage(what, arguments)
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
