"""Forward and backward once more with the same arguments: the same results, up to noise."""

from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck import noise
from autocnn.gradcheck.problem import CallError, Output, Problem, run
from autocnn.gradcheck.report import Cause

__all__ = ["as_floats", "check_repeats", "noise_of", "same"]

_GRADIENTS = frozenset({"grad", "gradient", "_grad", "adjoint"})  # of a tape's nodes


def same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Equal to rounding: blocked products may sum in another order at another memory alignment."""
    if a.shape != b.shape:
        return False
    with np.errstate(invalid="ignore"):  # inf - inf
        gap = np.abs(a - b)
    return bool(
        np.all(
            (gap <= tolerance * np.max(np.abs(a), initial=0.0))
            | (np.isnan(a) & np.isnan(b))
            | (a == b)
        )
    )


def noise_of(problem: Problem, given: dict, out: Output, seen: bool) -> noise.Noise | None:
    """The noise of a function in which some was seen, or which draws random numbers."""
    if not (seen or problem.streams or problem.restore):
        return None
    eps = max(float(np.finfo(d).eps) for d in out.dtypes)
    return noise.measure(problem, given, eps)


def check_repeats(
    problem: Problem, given, out: Output, dy, first: dict, held: dict, causes, notes
) -> Problem:
    """Backward twice after one forward, and a whole second pass, give the first gradients again."""
    again = None
    try:
        if not problem.updated:  # a second call would start from other parameters
            again = out.backward(dy, "backward (second call, same dy)")
    except CallError as error:
        if error.__cause__ is None:
            raise
    spoiled = [
        k
        for k, v in out.held().items()
        if k in held and not np.array_equal(v, held[k], equal_nan=v.dtype.kind in "fc")
    ]
    fresh = run(problem, given, "forward (third call)").backward(
        dy, "backward (after a new forward)"
    )
    third = as_floats(fresh, first)
    if again is None:
        if not problem.updated:
            once = "backward can be called once after a forward: it raises the second time"
            notes.append(once)
        problem = replace(problem, repeatable=False)
    second = as_floats(again, first) if again is not None else third
    known = any("were not compared" in n for n in notes)
    if not known and _shaken(problem, first, second, third):
        shaken = noise_of(problem, given, out, True)
        if shaken is not None:
            problem = shaken.judged(problem)
            notes.append(shaken.note)
    for name, g in first.items():
        tolerance = 1e-9 if given[name].dtype == np.float64 else 1e-4
        tolerance = max(
            tolerance, 1e3 * problem.eps_of(name) if problem.eps_of(name) > 1e-12 else 0
        )
        for other, when in (
            (second.get(name), "call of backward"),
            (third.get(name), "forward and backward"),
        ):
            if other is None or same(g, other, tolerance):
                continue
            problem = replace(problem, repeatable=False)
            step = other - g if when.startswith("call") else other - second.get(name, g)
            loose = max(1e-6, tolerance)
            adds = (
                other.shape == g.shape
                and np.any(g)
                and (same(step, g, loose) or same(other, 2 * g, loose))
            )
            causes.append(_repeat_cause(problem, name, when, adds, spoiled))
            break
    return problem


def _repeat_cause(problem: Problem, name: str, when: str, adds: bool, spoiled: list[str]) -> Cause:
    """Why a second call gives another gradient. State in an object's attributes is a custom, state
    behind a returned gradient a mistake."""
    custom = problem.accumulates_in_place
    if problem.tape:
        message = "the tape can be walked once: a second backward adds to the first"
        return Cause("accumulates", None, message, level="note")
    if any("." in k and k.rsplit(".", 1)[1] in _GRADIENTS for k in spoiled):
        message = (
            "backward can be walked once after a forward: gradients kept in nodes add up over calls"
        )
        return Cause("accumulates", name, message, level="note")
    if adds and custom and name in problem.parameters:
        if problem.reset:
            message = f"gradients add up over calls of backward until {problem.reset}() is called"
            return Cause("accumulates", name, message, level="note")
        message = (
            f"a second {when} adds to the first: set the gradient of {name} to zero between steps"
        )
        return Cause("accumulates", name, message, level="warning")
    if adds:
        message = f"a second {when} adds to the first: the buffer is not reset"
        return Cause("accumulates", name, message)
    if spoiled:
        message = (
            f"backward overwrites {', '.join(spoiled[:3])}, which it needs: a second call differs"
        )
        once = custom or problem.cache_passed
        return Cause("mutates-input", name, message, level="warning" if once else "error")
    message = (
        f"a second {when} with the same dy gives another gradient (random numbers drawn again?)"
    )
    return Cause("nondeterministic", name, message)


def _shaken(problem: Problem, first: dict, *others: dict) -> bool:
    """Does a gradient differ from the first by more than rounding?"""
    return any(
        noise.differs(g, other[n], problem.eps_of(n))
        for other in others
        for n, g in first.items()
        if n in other
    )


def as_floats(grads: dict[str, Any], names) -> dict[str, np.ndarray]:
    """The gradients of `names` that came, in float64."""
    return {n: np.array(grads[n], dtype=np.float64) for n in names if grads.get(n) is not None}
