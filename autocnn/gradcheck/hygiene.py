"""What must hold exactly, before any derivative is compared: shapes, dtypes, finite values, no
side effects, linearity.
"""

import contextlib
import linecache
import traceback
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck.problem import CallError, Output, Problem, run
from autocnn.gradcheck.report import Cause

__all__ = ["Findings", "inspect_backward"]


class Findings(NamedTuple):
    """Broken rules, remarks, the leaves that cannot be compared, and those whose backward is not
    linear in dy.
    """

    causes: list[Cause]
    notes: list[str]
    unusable: set[str]
    nonlinear: set[str]


def inspect_backward(problem: Problem, out: Output, rng: np.random.Generator) -> Findings:
    """Run every rule of hygiene on the arguments as they were given (their own dtypes).

    `out` is what the first call of forward returned.
    """
    found = Findings([], [], set(), set())
    given = problem.values(None)
    again = run(problem, given, "forward (second call, same arguments)")
    if not _same(out.flat, again.flat, 1e-9):
        found.causes.append(
            Cause(
                "nondeterministic",
                None,
                "forward gives other values at a second call with the same arguments: fix its seed",
            )
        )
        found.unusable.update(problem.leaves)
        return found
    dy = rng.standard_normal(out.flat.size)
    held = {k: v.copy() for k, v in out.held().items()}
    first = out.backward(dy, "backward (first call)")
    for name in first.keys() - set(problem.leaves):
        kind = "list" if isinstance(problem.arguments[name], list) else "Python float"
        found.notes.append(
            f"{name} is a {kind}, so its gradient was not compared: pass {name}=np.array({name}) "
            "to compare it"
        )
    _check_arrays(problem, given, first, out, found)
    usable = [n for n in problem.leaves if n not in found.unusable]
    first = {n: np.array(first[n], dtype=np.float64) for n in usable}
    _check_repeats(problem, given, out, dy, first, held, found)
    _check_side_effects(problem, dy, usable, found)
    _check_linear(problem, rng, usable, found)
    return found


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


def _check_arrays(problem: Problem, given: dict, grads: dict, out, found: Findings) -> None:
    """Present, right shape, right dtype, finite."""
    narrow = all(d == np.float32 for d in out.dtypes)
    finite_y = bool(np.all(np.isfinite(out.flat)))
    for name in problem.leaves:
        leaf, grad = given[name], grads.get(name)
        if grad is None:
            others = [n for n in problem.leaves if grads.get(n) is not None]
            got = (
                f"backward returned {', '.join(others) or 'nothing'} only"
                if len(others) < len(problem.leaves)
                else ""
            )
            _bad(
                found,
                Cause(
                    "missing",
                    name,
                    f"no gradient for {name}: {got}; expected an array of shape {leaf.shape}",
                ),
            )
            continue
        array = np.asarray(grad)
        if array.dtype.kind not in "f":
            _bad(
                found, Cause("dtype", name, f"the gradient is {array.dtype}, the leaf {leaf.dtype}")
            )
        elif array.shape != leaf.shape:
            _bad(
                found,
                Cause(
                    "shape", name, f"the gradient has shape {array.shape}, the leaf {leaf.shape}"
                ),
            )
        else:
            if array.dtype.itemsize < leaf.dtype.itemsize or (
                narrow and array.dtype.itemsize > leaf.dtype.itemsize
            ):
                found.causes.append(
                    Cause(
                        "dtype",
                        name,
                        f"the gradient is {array.dtype}, the leaf and the output {leaf.dtype}",
                    )
                )
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


def _bad(found: Findings, cause: Cause) -> None:
    found.causes.append(cause)
    found.unusable.add(cause.leaf)


def _check_repeats(
    problem: Problem, given, out, dy, first: dict, held: dict, found: Findings
) -> None:
    """Backward twice after one forward, and a whole second pass, give the first gradients again."""
    second = {
        n: np.array(g, dtype=np.float64)
        for n, g in out.backward(dy, "backward (second call, same dy)").items()
        if n in first
    }
    fresh = run(problem, given, "forward (third call)").backward(
        dy, "backward (after a new forward)"
    )
    third = {n: np.array(fresh[n], dtype=np.float64) for n in first if fresh.get(n) is not None}
    spoiled = [
        k
        for k, v in out.held().items()
        if k in held and not np.array_equal(v, held[k], equal_nan=True)
    ]
    for name, g in first.items():
        eps = 1e-9 if given[name].dtype == np.float64 else 1e-4
        for other, when in (
            (second.get(name), "call of backward"),
            (third.get(name), "forward and backward"),
        ):
            if other is None or _same(g, other, eps):
                continue
            step = other - g if when.startswith("call") else other - second.get(name, g)
            if (
                other.shape == g.shape
                and np.any(g)
                and (_same(step, g, 1e-6) or _same(other, 2 * g, 1e-6))
            ):
                cause = Cause(
                    "accumulates",
                    name,
                    f"a second {when} adds to the first: the buffer is not reset",
                )
            elif spoiled:
                cause = Cause(
                    "mutates-input",
                    name,
                    f"backward overwrites {', '.join(spoiled)}, which it needs: a second call differs",
                )
            else:
                cause = Cause(
                    "nondeterministic",
                    name,
                    f"a second {when} with the same dy gives another gradient (random numbers drawn again?)",
                )
            found.causes.append(cause)
            break


def _check_side_effects(
    problem: Problem, dy: np.ndarray, usable: list[str], found: Findings
) -> None:
    """Arguments, cotangent and cache unchanged; gradients share no memory with them."""
    live = problem.values(None)
    others = {
        n: np.array(v)
        for n, v in problem.arguments.items()
        if isinstance(v, np.ndarray) and n not in live
    }
    live |= others
    before = {n: v.tobytes() for n, v in live.items()}
    out = run(problem, live, fresh=False)
    wrote = [n for n in live if live[n].tobytes() != before[n]]
    for name in wrote:
        found.causes.append(
            Cause(
                "mutates-input",
                name,
                f"forward writes into {name}{_line(problem, live, dy, 'forward')}",
            )
        )
    passed: list[np.ndarray] = []
    grads = _spying(out, dy, passed)
    changed = [n for n in live if live[n].tobytes() != before[n] and n not in wrote]
    for name in changed:
        found.causes.append(
            Cause(
                "mutates-input",
                name,
                f"backward writes into {name}{_line(problem, live, dy, 'backward')}",
            )
        )
    if any(not np.array_equal(kept, now) for kept, now in passed):
        message = (
            f"backward writes into dy, which belongs to the caller{_line(problem, live, dy, 'dy')}"
        )
        found.causes.append(Cause("mutates-input", None, message))
    held = out.held()
    for k, name in enumerate(usable):
        grad = np.asarray(grads.get(name))
        twin = next((n for n in usable[:k] if np.shares_memory(grad, np.asarray(grads[n]))), None)
        if twin:
            message = f"the gradients of {twin} and {name} are one array in memory: adding into one in place changes the other"
            found.causes.append(Cause("aliased", name, message))
        owner = next((n for n, v in live.items() if np.shares_memory(grad, v)), None)
        if owner:
            found.causes.append(
                Cause(
                    "aliased",
                    name,
                    f"the gradient of {name} shares memory with the input {owner}: return a copy",
                )
            )
            continue
        owner = next((n for n, v in held.items() if np.shares_memory(grad, v)), None)
        if owner:
            found.causes.append(
                Cause(
                    "aliased",
                    name,
                    f"the gradient of {name} is (a view of) {owner}, which backward keeps: the next call changes it",
                )
            )


def _spying(out, dy: np.ndarray, passed: list) -> dict[str, Any]:
    """Backward, with the arrays that it was handed recorded as (copy, the array itself)."""
    original = out.backward

    def record(cotangent):
        for part in (
            cotangent.values()
            if isinstance(cotangent, dict)
            else cotangent
            if isinstance(cotangent, tuple | list)
            else [cotangent]
        ):
            if isinstance(part, np.ndarray):
                passed.append((part.copy(), part))

    return original(dy, "backward", record)


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
            frame = traceback.extract_tb(cause.__traceback__)[-1]
            source = linecache.getline(frame.filename, frame.lineno or 0).strip()
            return f" at line {frame.lineno} of {frame.filename.rsplit('/', 1)[-1]}: {source}"
    return ""


def _freeze(cotangent) -> None:
    parts = (
        cotangent.values()
        if isinstance(cotangent, dict)
        else cotangent
        if isinstance(cotangent, tuple | list)
        else [cotangent]
    )
    for part in parts:
        if isinstance(part, np.ndarray):
            part.flags.writeable = False


def _check_linear(problem: Problem, rng, usable: list[str], found: Findings) -> None:
    """backward(0) = 0 and backward(a u + v) = a backward(u) + backward(v), to 1e-9, in float64.

    Where all that is left of a gradient is rounding (saturated units) nothing is linear: ask again
    at another point.
    """
    if any(c.code in ("nondeterministic", "accumulates", "mutates-input") for c in found.causes):
        return
    values = problem.values()
    offset, bent = _nonlinear(problem, values, rng, usable)
    if bent:
        unit = {
            n: rng.standard_normal(x.shape) if np.any(x <= 0) else rng.uniform(0.2, 0.8, x.shape)
            for n, x in values.items()
        }
        with contextlib.suppress(
            CallError
        ):  # outside the function's domain: the given point decides
            bent &= _nonlinear(problem, unit, rng, usable)[1]
    for name in usable:
        if name in offset:
            message = "dy = 0 gives a gradient that is not 0: dy is ignored, or something is added that does not pass through it"
        elif name in bent:
            message = "backward(a u + v) is not a backward(u) + backward(v)"
        else:
            continue
        found.causes.append(Cause("not-linear", name, message))
        found.nonlinear.add(name)


def _nonlinear(problem: Problem, values: dict, rng, usable: list[str]) -> tuple[set[str], set[str]]:
    """(leaves with backward(0) != 0, leaves with backward(a u + v) != a backward(u) +
    backward(v)).
    """
    size = run(problem, values).flat.size
    u, v, a = rng.standard_normal(size), rng.standard_normal(size), 0.7390851332151607

    def grads(dy, what):
        return {
            n: np.array(g, dtype=np.float64)
            for n, g in run(problem, values).backward(dy, what).items()
            if n in usable
        }

    zero, gu = grads(0 * u, "backward (dy = 0)"), grads(u, "backward (dy random)")
    gv, both = grads(v, "backward (dy random)"), grads(a * u + v, "backward (a sum of two dy)")
    offset, bent = set(), set()
    for name in usable:
        if any(not np.all(np.isfinite(part[name])) for part in (zero, gu, gv, both)):
            continue
        size = np.max(np.abs(a * gu[name]) + np.abs(gv[name]), initial=0.0)
        if np.any(zero[name]):
            offset.add(name)
        elif np.max(np.abs(both[name] - a * gu[name] - gv[name]), initial=0.0) > 1e-9 * size:
            bent.add(name)
    return offset, bent
