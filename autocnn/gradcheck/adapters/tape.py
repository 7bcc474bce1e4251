"""Tapes: functions of nodes (Tensor, Variable, Value), whose results have a backward method."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import random_streams
from autocnn.gradcheck.adapters.arguments import label_of, require_callable
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.protection import set_stage

__all__ = ["tape"]

_DATA = ("data", "value", "val", "_data", "array", "numpy", "item")
_GRAD = ("grad", "gradient", "_grad", "adjoint", "g", "d")
_SEEDS = frozenset(
    [
        "grad",
        "dy",
        "gradient",
        "g",
        "dout",
        "grad_output",
        "upstream",
        "seed",
        "d",
        "gy",
        "out_grad",
    ]
)


def tape(f: Callable, wrap: Callable, arrays: dict[str, Any], wrt: Any = None) -> Problem:
    """f(**nodes) -> node, with node = wrap(array); node.backward() fills the .grad of each node.

    Where wrap takes single numbers only, each entry becomes a node of its own, in an object array
    of the argument's shape. The cotangent is passed as backward(dy) where that takes one, or put
    into y.grad beforehand; a tape that starts from ones whatever y.grad holds is checked on the sum
    of its output.
    """
    require_callable(f, "f(**nodes) -> node")
    require_callable(wrap, "wrap(array) -> node")
    floats = [n for n, a in arrays.items() if np.asarray(a).dtype.kind == "f"]
    label = f"{label_of(f)} on {label_of(wrap)}"

    def nodes_of(arguments: dict[str, Any], each: bool) -> dict[str, Any]:
        make = _entries if each else (lambda wrap, a: wrap(np.array(a)))
        return {n: make(wrap, a) if n in floats else a for n, a in arguments.items()}

    each = _takes_numbers_only(f, nodes_of, arrays, label)
    start = _seeding(f, wrap, lambda: nodes_of(arrays, each), floats)

    def call(arguments):
        nodes = nodes_of(arguments, each)
        y = f(**nodes)
        value = _value_of(y)
        if start is None:
            value = np.sum(value)

        def backward(dy):
            if start is None:
                y.backward()
                return {n: _gradient(nodes[n], dy) for n in floats}
            start(y, dy)
            return {n: _gradient(nodes[n], 1.0) for n in floats}

        return value, backward, dict

    def twice() -> list[dict[str, Any]]:
        nodes, seen = nodes_of(arrays, each), []
        for _ in range(2):
            y = f(**nodes)
            shape = np.shape(_value_of(y))
            if start is None:
                y.backward()
            else:
                start(y, np.cos(np.arange(int(np.prod(shape)))).reshape(shape))
            seen.append({n: _gradient(nodes[n], 1.0) for n in floats})
        return seen

    remarks = tuple(
        (
            "error",
            f"{n}.grad is assigned where those of others are added to: what another use of {n} has "
            "given is lost",
            "overwritten",
            n,
        )
        for n in _assigned(twice)
    )
    return make_problem(
        label, call, arrays, None, (), wrt, repeatable=False, tape=True, remarks=remarks
    )


def _assigned(twice: Callable[[], list[dict[str, Any]]]) -> list[str]:
    """The leaves whose gradient a second function of the same nodes replaces, where it adds to that
    of others: an operation writes `=` for `+=`, which shows at a leaf that is used twice."""
    try:
        with random_streams.rewound(random_streams.ALL):
            first, second = twice()
    except Exception:  # the tape is walked once: nothing to compare
        return []
    added, same = [], []
    for name, a in first.items():
        b = second[name]
        if a is None or b is None or a.shape != b.shape or not np.any(a):
            continue
        close = {c: np.allclose(b, c * a, rtol=1e-6, atol=0) for c in (1, 2)}
        if not any(close.values()):
            return []  # random numbers, or a tape that keeps more than gradients
        (added if close[2] else same).append(name)
    return same if added else []


def _entries(wrap: Callable, a: np.ndarray) -> np.ndarray:
    made = np.empty(np.shape(a), dtype=object)
    for index in np.ndindex(np.shape(a)):
        made[index] = wrap(float(np.asarray(a)[index]))
    return made


def _takes_numbers_only(f: Callable, nodes_of: Callable, arrays: dict, label: str) -> bool:
    """Does f fail on nodes of whole arrays and work on arrays of nodes?"""
    reasons = []
    for each in (False, True):
        try:
            set_stage(f"{label}: forward", arrays)
            y = f(**nodes_of(arrays, each))
            _value_of(y)
            if isinstance(y, np.ndarray):
                raise CallError("f returned an array of nodes: return one node, such as their sum")
            set_stage(f"{label}: backward", arrays)
            _run_backward(y)
            set_stage("")
            return each
        except Exception as error:
            reasons.append(error)
    first = reasons[1] if isinstance(reasons[1], CallError) else reasons[0]
    raise CallError(
        f"{label}: forward raised {type(first).__name__}: {first}. "
        "check_tape(f, wrap, x=x) calls y = f(x=wrap(x)) and y.backward()"
    ) from first


def _run_backward(y: Any) -> None:
    """Walk the tape once, from ones where backward must be given something."""
    try:
        needed = [
            p for p in inspect.signature(y.backward).parameters.values() if p.default is p.empty
        ]
    except (TypeError, ValueError):
        needed = []
    if len(needed) == 1 and needed[0].kind is needed[0].POSITIONAL_OR_KEYWORD:
        y.backward(_plain(y, np.ones(np.shape(_value_of(y)))))
    else:
        y.backward()


def _value_of(y: Any) -> Any:
    """The numbers of a node."""
    if isinstance(y, np.ndarray) and y.dtype == object:
        return np.array([_value_of(n) for n in y.ravel()], dtype=float).reshape(y.shape)
    if isinstance(y, np.ndarray | float | np.floating) or y is None:
        raise CallError(f"f returned {type(y).__name__}, which has no tape: return the node")
    name = next((n for n in _DATA if hasattr(y, n)), None)
    if name is None:
        raise CallError(f"no value was found in a {type(y).__name__}: it needs .data or .value")
    value = getattr(y, name)
    value = np.asarray(value() if callable(value) else value)
    value = value if value.dtype.kind == "f" else value.astype(float)
    return np.array(value) if value.ndim else value[()]


def _seeding(f: Callable, wrap: Callable, nodes: Callable, floats: list[str]) -> Callable | None:
    """(node, dy) -> None that runs backward from dy: the first way under which three times the
    cotangent gives three times the gradients, or stays in the node's own gradient (backward itself
    may forget it). None: the tape starts from ones."""
    for start in (_by_argument, _by_argument_wrapped(wrap), _by_grad, _by_grad_wrapped(wrap)):
        seen, kept = [], []
        try:
            for factor in (1.0, 3.0):
                given = nodes()
                y = f(**given)
                shape = np.shape(_value_of(y))
                dy = factor * np.cos(np.arange(int(np.prod(shape)))).reshape(shape)
                start(y, dy)
                seen.append([_gradient(given[n], 1.0) for n in floats])
                left = _gradient(y, 1.0)
                kept.append(left is not None and np.allclose(left, dy))
        except Exception:
            continue
        pairs = [(a, b) for a, b in zip(*seen, strict=True) if a is not None and b is not None]
        nonzero = any(np.any(a) for a, _ in pairs)
        size = max((float(np.max(np.abs(b), initial=0.0)) for _, b in pairs), default=0.0)
        if nonzero and all(np.allclose(3 * a, b, rtol=1e-5, atol=1e-9 * size) for a, b in pairs):
            return start
        if nonzero and all(kept):
            return start
    return None


def _seed_name(y: Any) -> str | None:
    try:
        taken = inspect.signature(y.backward).parameters
    except (TypeError, ValueError):
        return None
    return next((n for n in taken if n.lower() in _SEEDS), None)


def _plain(y: Any, dy: np.ndarray) -> Any:
    """dy as the node's own kind of number."""
    name = next((n for n in _DATA if hasattr(y, n) and not callable(getattr(y, n))), None)
    kept = getattr(y, name) if name else None
    return np.array(dy) if isinstance(kept, np.ndarray) else float(np.asarray(dy))


def _by_argument(y: Any, dy: np.ndarray) -> None:
    y.backward(**{_seed_name(y): _plain(y, dy)})


def _by_argument_wrapped(wrap: Callable) -> Callable:
    return lambda y, dy: y.backward(**{_seed_name(y): wrap(np.array(dy))})


def _by_grad(y: Any, dy: np.ndarray) -> None:
    setattr(y, next(n for n in _GRAD if hasattr(y, n)), _plain(y, dy))
    y.backward()


def _by_grad_wrapped(wrap: Callable) -> Callable:
    def start(y: Any, dy: np.ndarray) -> None:
        setattr(y, next(n for n in _GRAD if hasattr(y, n)), wrap(np.array(dy)))
        y.backward()

    return start


def _gradient(node: Any, factor: Any) -> Any:
    if isinstance(node, np.ndarray) and node.dtype == object:
        parts = [_gradient(n, factor) for n in node.ravel()]
        return np.array([0.0 if p is None else p for p in parts], dtype=float).reshape(node.shape)
    name = next((n for n in _GRAD if hasattr(node, n)), None)
    grad = getattr(node, name) if name else None
    while grad is not None and not isinstance(grad, np.ndarray | float | int | np.generic):
        inner = next((n for n in _DATA if hasattr(grad, n)), None)
        grad = getattr(grad, inner) if inner else None
        grad = grad() if callable(grad) else grad
    return None if grad is None else factor * np.asarray(grad, dtype=float)
