"""Arguments, cotangent and cache unchanged; gradients that share no memory with them."""

import linecache
import traceback
from typing import Any

import numpy as np

from autocnn.gradcheck.problem import CallError, Output, Problem, run
from autocnn.gradcheck.report import Cause

__all__ = ["check_side_effects", "raised_at"]


def check_side_effects(problem: Problem, dy: np.ndarray, compared: list[str]) -> list[Cause]:
    """Everything that forward or backward writes into, and every gradient that is not an array of
    its own."""
    causes: list[Cause] = []
    live = problem.values(None)
    live |= {
        n: np.array(v)
        for n, v in problem.arguments.items()
        if isinstance(v, np.ndarray) and n not in live
    }
    before = {n: v.tobytes() for n, v in live.items()}
    out = run(problem, live, fresh=False)
    wrote = [n for n in live if live[n].tobytes() != before[n]]
    for name in wrote:
        message = f"forward writes into {name}{_line(problem, live, dy, 'forward')}"
        causes.append(Cause("mutates-input", name, message))
    passed: list[tuple[np.ndarray, np.ndarray]] = []
    grads = _spying(out, dy, passed)
    spared = {*wrote, *problem.updated}
    for name in [n for n in live if live[n].tobytes() != before[n] and n not in spared]:
        message = f"backward writes into {name}{_line(problem, live, dy, 'backward')}"
        causes.append(Cause("mutates-input", name, message))
    if any(not np.array_equal(kept, now) for kept, now in passed):
        where = _line(problem, live, dy, "dy")
        message = f"backward writes into dy, which belongs to the caller{where}"
        causes.append(Cause("mutates-input", None, message))
    held = {} if problem.accumulates_in_place else out.held()
    for k, name in enumerate(compared):
        level = "warning" if problem.cache_passed else "error"
        causes += _aliases(name, compared[:k], grads, live, held, level)
    return causes


def _aliases(
    name: str, earlier: list[str], grads: dict, live: dict, held: dict, level: str
) -> list[Cause]:
    if grads.get(name) is None:
        return []
    found, grad = [], np.asarray(grads[name])
    twin = next((n for n in earlier if np.shares_memory(grad, np.asarray(grads[n]))), None)
    if twin:
        message = (
            f"the gradients of {twin} and {name} are one array in memory: adding into one in "
            "place changes the other"
        )
        found.append(Cause("aliased", name, message))
    owner = next((n for n, v in live.items() if np.shares_memory(grad, v)), None)
    if owner:
        message = f"the gradient of {name} shares memory with the input {owner}: return a copy"
        return [*found, Cause("aliased", name, message)]
    owner = next((n for n, v in held.items() if np.shares_memory(grad, v)), None)
    if owner:
        message = (
            f"the gradient of {name} is (a view of) {owner}, which backward keeps: the next "
            "call changes it"
        )
        found.append(Cause("aliased", name, message, level=level))
    return found


def _parts(cotangent: Any) -> list[Any]:
    if isinstance(cotangent, dict):
        return list(cotangent.values())
    return list(cotangent) if isinstance(cotangent, tuple | list) else [cotangent]


def _spying(out: Output, dy: np.ndarray, passed: list) -> dict[str, Any]:
    """Backward, with the arrays that it was handed recorded as (copy, the array itself)."""

    def record(cotangent) -> None:
        passed.extend((p.copy(), p) for p in _parts(cotangent) if isinstance(p, np.ndarray))

    return out.backward(dy, "backward", record)


def _line(problem: Problem, live: dict, dy: np.ndarray, which: str) -> str:
    """Where the write happens: the same calls on read-only arrays raise at that line."""
    frozen = {n: np.array(v) for n, v in live.items()}
    try:
        if which != "dy":
            for array in frozen.values():
                array.flags.writeable = False
        out = run(problem, frozen, fresh=False)
        out.backward(dy, "backward", _freeze if which == "dy" else None)
    except CallError as error:
        cause = error.__cause__
        if isinstance(cause, ValueError) and "read-only" in str(cause):
            return raised_at(cause)
    return ""


def _freeze(cotangent: Any) -> None:
    for part in _parts(cotangent):
        if isinstance(part, np.ndarray):
            part.flags.writeable = False


def raised_at(error: BaseException | None) -> str:
    """The author's line at which an exception was raised, with its source: " at line 12 of f.py:
    ..."; the last one that is not in a library."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    own = [f for f in frames if not _of_a_library(f.filename)]
    if not own:
        return ""
    frame = own[-1]
    source = linecache.getline(frame.filename, frame.lineno or 0).strip()
    file = frame.filename.replace("\\", "/").rsplit("/", 1)[-1]
    return f" at line {frame.lineno} of {file}" + (f": {source}" if source else "")


def _of_a_library(filename: str) -> bool:
    path = filename.replace("\\", "/")
    return (
        "/site-packages/" in path
        or "/autocnn/gradcheck/" in path
        or "/lib/python" in path
        or path.startswith("<frozen")
    )
