"""Functions of jax arrays as a Problem: NumPy goes in and comes out, in 64 bits.

A function with loops or branches of jax's own is compiled once for each set of shapes: run as it
is, each of its calls would compile them anew. Any other is compiled once it has been called often
at the same shapes, since tracing a custom rule anew takes milliseconds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from autocnn.gradcheck import devices, pytrees
from autocnn.gradcheck.compiling import OFTEN, Compiled, stamp
from autocnn.gradcheck.custom_values import another_value
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.noise import LARGEST
from autocnn.gradcheck.own_backward import own_backward, with_own_backward
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.source.frameworks import jax_build

__all__ = ["jax_problem", "x64"]

_LOOPS = ("scan", "while", "cond", "remat", "remat2", "checkpoint", "custom_vjp_call")


def x64(on: bool) -> Any:
    """jax with 64-bit numbers, as a context."""
    import jax

    return (jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64)(on)


class _Own(Exception):
    """Raised out of a trace when the function turns out to return its own backward."""


def jax_problem(
    f: Any, arrays: dict[str, Any], wrt: Any = None, is_recorded: bool = False
) -> Problem:
    """f(**arrays) with the vector-Jacobian product of jax, or with a backward of its own.

    is_recorded: f repeats a call of a custom rule, whose trace jax keeps with its noise.
    """
    label = getattr(f, "__name__", "jax function")
    plain = {n: devices.jax_to_numpy(a) for n, a in arrays.items()}
    traced = [n for n, a in plain.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if wrt is not None:
        wanted = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        inside = tuple(n + mark for n in wanted for mark in ".[")
        traced = [n for n in traced if n in wanted or n.startswith(inside)]
    call = _Call(f, traced, LARGEST if is_recorded else 0.0)
    call.remarks += devices.narrow_remarks(arrays, label)
    return make_problem(
        label,
        call,
        plain,
        None,
        (),
        wrt,
        build=jax_build(f),
        remarks=call.remarks,
    )


class _Call:
    """`call(arguments) -> (y, backward, held)` of one function; it keeps what was compiled."""

    def __init__(self, f: Callable, traced: list[str], noise: float = 0.0) -> None:
        self.f, self.traced = f, traced
        self.noise = noise  # of custom rules, relative, that cannot be measured
        self.explicit = False  # f is known to return its own backward
        self.whole: bool | None = None  # do custom rules give another value than the function?
        self.remarks: list[tuple[Any, ...]] = []
        self.compiled: dict[Any, tuple[Compiled, Compiled]] = {}

    def outputs(self, fixed: dict[str, Any]) -> Callable:
        """leaves -> the float outputs."""
        import jax.numpy as jnp

        def run(*leaves: Any) -> list:
            y = self.f(**{**fixed, **dict(zip(self.traced, leaves, strict=True))})
            if own_backward(y):
                raise _Own
            parts = [jnp.asarray(p) for _, p in pytrees.leaves(y) if p is not None]
            return [p for p in parts if jnp.issubdtype(p.dtype, jnp.inexact)]

        return run

    def __call__(self, arguments: dict[str, Any]) -> tuple:
        import jax

        if self.explicit:
            return self.closure(arguments)
        leaves = [arguments[n] for n in self.traced]
        with x64(True):
            try:
                if self.whole is False:
                    return self.in_parts(arguments, leaves)
                run = self.outputs(arguments)
                ys, pull = jax.vjp(run, *leaves)
                if self.whole is None:
                    plain = run(*leaves)
                    self.whole = not all(_same(a, b) for a, b in zip(ys, plain, strict=True))
                    if self.whole:
                        build = partial(self.outputs, arguments)
                        self.remarks += another_value(build, leaves, ys, plain, self.noise)
            except _Own:
                self.explicit = True
        if self.explicit:
            return self.closure(arguments)
        return self.result(ys, lambda dys: pull(dys))

    def result(self, ys: list, pull: Callable) -> tuple:
        """(y, backward, held) in NumPy."""
        import jax.numpy as jnp

        def backward(dy: Any) -> dict[str, Any]:
            parts = dy if isinstance(dy, tuple) else (dy,)
            with x64(True):
                dys = [
                    jnp.zeros_like(y) if d is None else jnp.asarray(d)
                    for y, d in zip(ys, parts, strict=True)
                ]
                grads = pull(dys)
            return {n: np.array(g) for n, g in zip(self.traced, grads, strict=True)}

        flat = tuple(np.array(y) for y in ys)
        return flat[0] if len(flat) == 1 else flat, backward, dict

    def closure(self, arguments: dict[str, Any]) -> tuple:
        """The same of a function that returns (y, backward)."""
        import jax.numpy as jnp

        with x64(True):
            inputs = {n: jnp.asarray(a) if n in self.traced else a for n, a in arguments.items()}
            result = self.f(**inputs)
            y, back, held = with_own_backward(result, _asarray, devices.jax_to_numpy)

        def wide(dy: Any) -> Any:
            with x64(True):
                return back(dy)

        return y, wide, held

    def in_parts(self, arguments: dict[str, Any], leaves: list) -> tuple:
        """The result by a function for the outputs and one for the gradients, each compiled once
        it has been called often with the same other arguments."""
        import jax

        fixed = {n: a for n, a in arguments.items() if n not in self.traced}
        key = tuple((n, stamp(a)) for n, a in fixed.items())
        if key not in self.compiled:
            run = self.outputs(fixed)

            def pulled(dys: list, *values: Any) -> tuple:
                return jax.vjp(run, *values)[1](dys)

            often = 0 if _has_loops(run, leaves) else OFTEN
            self.compiled[key] = Compiled(run, often), Compiled(pulled, often)
        forward, pull = self.compiled[key]
        kept = [np.array(leaf) for leaf in leaves]
        return self.result(forward(*kept), lambda dys: pull(dys, *kept))


def _same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.allclose(a, b, 1e-9, 1e-12, equal_nan=True)


def _has_loops(run: Callable, leaves: list) -> bool:
    import jax

    try:
        return _has(jax.make_jaxpr(run)(*leaves).jaxpr, _LOOPS)
    except _Own:
        raise
    except Exception:  # it branches on values, or fails at all: the call itself will tell
        return False


def _has(jaxpr: Any, names: tuple[str, ...]) -> bool:
    """Is any of these primitives in a jaxpr, at any depth?"""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in names:
            return True
        for value in eqn.params.values():
            for item in value if isinstance(value, tuple | list) else [value]:
                inner = getattr(item, "jaxpr", item)
                if hasattr(inner, "eqns") and _has(inner, names):
                    return True
    return False


def _asarray(value: Any) -> Any:
    import jax.numpy as jnp

    return value if value is None else jnp.asarray(value)
