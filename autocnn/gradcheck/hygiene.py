"""What must hold exactly, before any derivative is compared: shapes, dtypes, finite values, no
side effects, linearity.
"""

import contextlib
import difflib
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import precision
from autocnn.gradcheck.branches import below
from autocnn.gradcheck.outputs import argument_of, subclass_of
from autocnn.gradcheck.point import rms
from autocnn.gradcheck.problem import CallError, Output, Problem, run
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.side_effects import check_side_effects, raised_at
from autocnn.gradcheck.state import Memory

__all__ = ["Findings", "inspect_backward"]


_GRADIENTS = frozenset({"grad", "gradient", "_grad", "adjoint"})  # of a tape's nodes


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
    if not _same(out.flat, again.flat, tolerance):
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
    first = {n: np.array(first[n], dtype=np.float64) for n in compared}
    problem = _check_repeats(problem, given, out, dy, first, held, found)
    _check_quietly(problem, dy, compared, found)
    problem = _check_linear(problem, rng, compared, found)
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
    return _same(a, b, tolerance)


def _raises(error: CallError) -> Cause:
    reason = error.__cause__
    return Cause(
        "raises",
        None,
        f"backward raises {type(reason).__name__}: {reason}{raised_at(reason)}",
    )


def _same(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
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


def _check_repeats(
    problem: Problem, given, out: Output, dy, first: dict, held: dict, found: Findings
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
    third = _as_floats(fresh, first)
    if again is None:
        if not problem.updated:
            once = "backward can be called once after a forward: it raises the second time"
            found.notes.append(once)
        problem = replace(problem, repeatable=False)
    second = _as_floats(again, first) if again is not None else third
    for name, g in first.items():
        tolerance = 1e-9 if given[name].dtype == np.float64 else 1e-4
        tolerance = max(
            tolerance, 1e3 * problem.eps_of(name) if problem.eps_of(name) > 1e-12 else 0
        )
        for other, when in (
            (second.get(name), "call of backward"),
            (third.get(name), "forward and backward"),
        ):
            if other is None or _same(g, other, tolerance):
                continue
            problem = replace(problem, repeatable=False)
            step = other - g if when.startswith("call") else other - second.get(name, g)
            loose = max(1e-6, tolerance)
            adds = (
                other.shape == g.shape
                and np.any(g)
                and (_same(step, g, loose) or _same(other, 2 * g, loose))
            )
            found.causes.append(_repeat_cause(problem, name, when, adds, spoiled))
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


def _as_floats(grads: dict[str, Any], names) -> dict[str, np.ndarray]:
    return {n: np.array(grads[n], dtype=np.float64) for n in names if grads.get(n) is not None}


def _check_quietly(problem: Problem, dy: np.ndarray, compared: list[str], found: Findings) -> None:
    found.causes.extend(check_side_effects(problem, dy, compared))


def _check_linear(problem: Problem, rng, usable: list[str], found: Findings) -> Problem:
    """backward(0) = 0 and backward(a u + v) = a backward(u) + backward(v), to rounding.

    Where all that is left of a gradient is rounding (saturated units) nothing is linear: ask again
    at another point. Where it is linear to single precision, that is the precision of the code.
    """
    if any(c.code == "nondeterministic" and c.leaf is None for c in found.causes):
        return problem
    random_again = {c.leaf for c in found.causes if c.code == "nondeterministic"}
    usable = [n for n in usable if n not in random_again]
    values = problem.values()
    offset, bent = _nonlinear(problem, values, rng, usable)
    if problem.repeatable and (offset or bent):  # does it keep what it made of the first dy?
        fresh = replace(problem, repeatable=False)
        alone = _nonlinear(fresh, values, rng, usable)
        if not any(alone):
            problem = fresh
        offset, bent = alone
    near = {n for n, size in bent.items() if size < 1e-4}
    if near and precision.measured_noise(problem) > 1e-10:
        problem = replace(problem, eps=max(problem.eps, precision.SINGLE))
        bent = {n: size for n, size in bent.items() if n not in near}
    if bent:
        unit = {
            n: rng.standard_normal(x.shape) if np.any(x <= 0) else rng.uniform(0.2, 0.8, x.shape)
            for n, x in values.items()
        }
        with contextlib.suppress(CallError):  # outside the domain: the given point decides
            there = _nonlinear(problem, unit, rng, usable)[1]
            bent = {n: size for n, size in bent.items() if n in there}
    for name in usable:
        if name in offset:
            message = (
                "dy = 0 gives a gradient that is not 0: dy is ignored, or something is added "
                "that does not pass through it"
            )
        elif name in bent:
            message = "backward(a u + v) is not a backward(u) + backward(v)"
        else:
            continue
        found.causes.append(Cause("not-linear", name, message))
        found.nonlinear.add(name)
    return problem


def _nonlinear(
    problem: Problem, values: dict, rng, usable: list[str]
) -> tuple[set[str], dict[str, float]]:
    """(leaves with backward(0) != 0, how far backward(a u + v) is from a backward(u) +
    backward(v), relative, for the leaves where that is more than rounding).
    """
    out = run(problem, values)
    y, size = out.flat, out.flat.size
    u, v, a = rng.standard_normal(size), rng.standard_normal(size), 0.7390851332151607

    def grads(dy, what):
        call = out if problem.repeatable else run(problem, values)
        return _as_floats(call.backward(dy, what), usable)

    # The zero comes second: a backward pass that kept the first dy gives itself away.
    gu, zero = grads(u, "backward (dy random)"), grads(0 * u, "backward (dy = 0)")
    gv, both = grads(v, "backward (dy random)"), grads(a * u + v, "backward (a sum of two dy)")
    offset: set[str] = set()
    bent: dict[str, float] = {}
    for name in usable:
        parts = [part.get(name) for part in (zero, gu, gv, both)]
        if any(p is None or not np.all(np.isfinite(p)) for p in parts):
            continue
        scale = float(np.max(np.abs(a * gu[name]) + np.abs(gv[name]), initial=0.0))
        gap = float(np.max(np.abs(both[name] - a * gu[name] - gv[name]), initial=0.0))
        eps = problem.eps_of(name)
        # what rounding leaves of a gradient that is zero: of a bias before a normalisation
        dust = 64 * eps * float(np.abs(u) @ np.abs(y)) / rms(values[name])
        if np.any(zero[name]):
            offset.add(name)
        elif gap > max(1e-9, 1e3 * eps if precision.is_coarse(eps) else 0.0) * scale + dust:
            bent[name] = gap / scale if scale else np.inf
    return offset, bent
