"""What must hold exactly, before any derivative is compared: shapes, dtypes, finite values, no
side effects, linearity.
"""

import difflib
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import noise, precision
from autocnn.gradcheck.branches import below
from autocnn.gradcheck.linearity import check_linear
from autocnn.gradcheck.outputs import argument_of, subclass_of
from autocnn.gradcheck.problem import CallError, Output, Problem, run
from autocnn.gradcheck.repeats import check_repeats, noise_of, same
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.side_effects import check_side_effects, raised_at
from autocnn.gradcheck.state import Memory

__all__ = ["Findings", "inspect_backward"]


class Findings(NamedTuple):
    """What hygiene saw: causes and notes, leaves that cannot be compared, leaves for which no
    gradient came, leaves whose backward is not linear in dy, and the problem with what is known of
    it now (its precision, whether backward can be called twice, what to restore)."""

    problem: Problem
    causes: list[Cause]
    notes: list[str]
    unusable: set[str]
    absent: set[str]
    nonlinear: set[str]


def inspect_backward(
    problem: Problem, out: Output, memory: Memory, rng: np.random.Generator
) -> Findings:
    """Run every rule of hygiene on the arguments as they were given (their own dtypes).

    `out` is what the first call of forward returned, `memory` what the functions remembered
    before it.
    """
    found = Findings(problem, [], [], set(), set(), set())
    given = problem.values(None)
    again = run(problem, given, "forward (second call, same arguments)")
    tolerance = 1e-9 if all(d == np.float64 for d in out.dtypes) else 1e-4
    shaken = noise_of(problem, given, out, noise.differs(out.flat, again.flat))
    if shaken is None and not same(out.flat, again.flat, tolerance):
        found.causes.append(
            Cause(
                "nondeterministic",
                None,
                "forward gives other values at a second call with the same arguments: fix its seed",
            )
        )
        problem = _restoring(problem, memory)
        if not _repeats(problem, given, tolerance):
            found.unusable.update(problem.leaves)
            return found._replace(problem=problem)
        out = run(problem, given)
    dy = rng.standard_normal(out.flat.size)
    held = {k: v.copy() for k, v in out.held().items()}
    try:
        first = out.backward(dy, "backward (first call)")
    except CallError as error:
        if error.__cause__ is None or any(isinstance(a, list) for a in problem.arguments.values()):
            raise
        found.causes.append(_raises(error))
        found.unusable.update(problem.leaves)
        return found._replace(problem=problem)
    if memory.changed():
        problem = _restoring(problem, memory)
    _note_passed_through(problem, first, found)
    _check_arrays(problem, given, first, out, found)
    absent = {n for n in problem.leaves if first.get(n) is None}
    found = found._replace(absent=absent)
    compared = [n for n in problem.leaves if n not in found.unusable | absent]
    problem = replace(problem, sized=frozenset(compared))
    problem = _with_precision(problem, given, out, first)
    if shaken is not None:
        problem = shaken.judged(problem)
        found.notes.append(shaken.note)
    first = {n: np.array(first[n], dtype=np.float64) for n in compared}
    problem = check_repeats(problem, given, out, dy, first, held, found.causes, found.notes)
    _check_quietly(problem, dy, compared, found)
    problem = check_linear(problem, rng, compared, found.causes, found.nonlinear)
    return found._replace(problem=problem)


def _restoring(problem: Problem, memory: Memory) -> Problem:
    if memory.restore in problem.restore:
        return problem
    return replace(problem, restore=(memory.restore, *problem.restore))


def _repeats(problem: Problem, given: dict, tolerance: float) -> bool:
    try:
        a, b = (run(problem, given).flat for _ in range(2))
    except CallError:
        return False
    return same(a, b, tolerance)


def _raises(error: CallError) -> Cause:
    reason = error.__cause__
    return Cause(
        "raises",
        None,
        f"backward raises {type(reason).__name__}: {reason}{raised_at(reason)}",
    )


def _note_passed_through(problem: Problem, grads: dict, found: Findings) -> None:
    for name in [n for n in grads if n not in problem.leaves]:
        if name not in problem.arguments:
            found.causes.append(_belongs_nowhere(name, grads[name], problem, grads))
            continue
        kind = "list" if isinstance(problem.arguments[name], list) else "Python float"
        found.notes.append(
            f"{name} is a {kind}, so its gradient was not compared: pass {name}=np.array({name}) "
            "to compare it"
        )


def _belongs_nowhere(name: str, grad: Any, problem: Problem, grads: dict) -> Cause:
    """A part of a nested gradient that has no leaf in the argument."""
    inside = below(name, problem.leaves)
    if inside:
        kind = "an array" if hasattr(grad, "dtype") else f"a {type(grad).__name__}"
        message = f"the gradient of {name} is {kind}, where {name} holds {', '.join(inside[:6])}"
    else:
        leaf = next((n for n in problem.leaves if name.startswith((f"{n}.", f"{n}["))), None)
        if leaf is not None:
            message = f"the gradient of {leaf} holds {name}, where {leaf} is an array"
            return Cause("extra", None, message, level="warning")
        missing = [n for n in problem.leaves if grads.get(n) is None]
        near = difflib.get_close_matches(name, missing, 1, 0.8)
        message = f"backward returned a gradient for {name}, which is no float array of " + (
            f"{argument_of(name)} (is {near[0]} meant?)" if near else argument_of(name)
        )
    return Cause("extra", None, message, level="warning")


def _check_arrays(problem: Problem, given: dict, grads: dict, out: Output, found: Findings) -> None:
    """Right shape, right dtype, finite."""
    narrow = all(d == np.float32 for d in out.dtypes)
    finite_y = bool(np.all(np.isfinite(out.flat)))
    for name in problem.leaves:
        leaf, grad = given[name], grads.get(name)
        if grad is None:
            continue
        try:
            array = np.asarray(grad)
        except ValueError:  # a ragged list
            _bad(
                found,
                Cause("shape", name, f"the gradient is a {type(grad).__name__} of unequal parts"),
            )
            continue
        if array.dtype.kind not in "f":
            _bad(
                found, Cause("dtype", name, f"the gradient is {array.dtype}, the leaf {leaf.dtype}")
            )
        elif isinstance(grad, np.ma.MaskedArray):
            message = "the gradient is a masked array: masked entries hold no gradient"
            _bad(found, Cause("dtype", name, f"{message}, return grad.filled(0)"))
        elif array.shape != leaf.shape:
            _bad(
                found,
                Cause(
                    "shape", name, f"the gradient has shape {array.shape}, the leaf {leaf.shape}"
                ),
            )
        else:
            if subclass_of(grad):
                message = f"the gradient is a {subclass_of(grad)}, the leaf a plain array"
                found.causes.append(Cause("dtype", name, message, level="warning"))
            _check_dtype(name, leaf, array, narrow, found)
            bad = np.argwhere(~np.isfinite(array))
            if len(bad):
                where = f"first at {name}[{', '.join(map(str, bad[0]))}]" if array.ndim else ""
                why = (
                    ""
                    if finite_y
                    else "; the output is not finite either: check the forward pass first"
                )
                _bad(
                    found,
                    Cause(
                        "nonfinite",
                        name,
                        f"{len(bad)} of {array.size} entries are inf or nan, {where}{why}",
                    ),
                )
    if not finite_y and not found.causes:
        found.causes.append(
            Cause(
                "nonfinite",
                None,
                "the output holds inf or nan at these arguments: nothing can be compared",
            )
        )
        found.unusable.update(problem.leaves)


def _check_dtype(name: str, leaf: np.ndarray, array: np.ndarray, narrow: bool, found) -> None:
    """Fewer digits than leaf and output have are lost; more are a matter of taste."""
    if array.dtype.itemsize < leaf.dtype.itemsize and not narrow:
        message = f"the gradient is {array.dtype}, the leaf and the output {leaf.dtype}"
        found.causes.append(Cause("dtype", name, message))
    elif narrow and array.dtype.itemsize > leaf.dtype.itemsize:
        message = (
            f"the gradient is {array.dtype}, the leaf and the output {leaf.dtype}: more digits "
            "than are needed"
        )
        found.causes.append(Cause("dtype", name, message, level="warning"))


def _bad(found: Findings, cause: Cause) -> None:
    found.causes.append(cause)
    found.unusable.add(cause.leaf)


def _with_precision(problem: Problem, given: dict, out: Output, first: dict) -> Problem:
    """The problem with its precision, measured in float64 where the leaves were given in less."""
    if problem.given or all(a.dtype == np.float64 for a in given.values()):
        return precision.measure(problem, out, first)
    wide = run(problem, problem.values())
    try:
        grads = wide.backward(np.random.default_rng(16).standard_normal(wide.flat.size))
    except CallError:
        grads = {}
    return precision.measure(problem, wide, grads)


def _check_quietly(problem: Problem, dy: np.ndarray, compared: list[str], found: Findings) -> None:
    found.causes.extend(check_side_effects(problem, dy, compared))
