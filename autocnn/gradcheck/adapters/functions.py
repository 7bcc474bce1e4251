"""Functions with a backward beside them: closures, forward / backward pairs, plain vjps, losses."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from autocnn.gradcheck.adapters.arguments import (
    INPUTS,
    TARGETS,
    flatten,
    is_scalar,
    label_of,
    positional,
    reachable_arrays,
    require_arguments,
    require_callable,
)
from autocnn.gradcheck.adapters.calling import (
    calling,
    is_float_output,
    only_outputs,
    scaled,
    vjp_call,
)
from autocnn.gradcheck.adapters.results import (
    InNamedOrder,
    of_generator,
    through_partials,
    with_fresh_contexts,
)
from autocnn.gradcheck.adapters.tensors import library_of
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.outputs import argument_of
from autocnn.gradcheck.places import arrays_in
from autocnn.gradcheck.problem import CallError, Problem

__all__ = ["closure", "pair", "vjp"]


def _options(flat: dict[str, Any], functions: tuple) -> dict[str, Any]:
    """What make_problem should know besides: data arguments by name, arrays that nobody
    compares."""
    optional = {n for n in flat if argument_of(n).lower() in TARGETS or argument_of(n) != n}
    return {
        "optional": frozenset(optional),
        "optional_in_loss": frozenset(n for n in flat if argument_of(n).lower() in INPUTS),
        "uncompared": reachable_arrays(functions, flat),
    }


def closure(f: Callable, arrays: dict[str, Any], wrt: Any = None) -> Problem:
    """f(**arrays) -> (y, backward), backward(dy) -> gradients. Also (y1, y2, backward), and for a
    scalar loss (loss, gradients), (loss, g1, g2 ...) or (gradients, loss), which stand for dy = 1.
    """
    require_callable(f, "f(**arrays) -> (y, backward)")
    require_arguments(f, arrays)
    library, arrays = library_of(arrays)
    flat, nest = flatten(arrays)
    label = label_of(f)
    order = InNamedOrder(flat)

    def build(forwards: Callable, backwards: Callable = _same) -> Callable:
        def forward(arguments):
            result = library.forward(forwards(f))(**nest(library.alike(arguments)))
            if inspect.isgenerator(result):
                return *of_generator(result), dict
            kind, y, back = _read_result(result, label)
            if kind == "loss" and backwards is not _same:  # a copy that is followed
                run = lambda: library.forward(forwards(f))(**nest(arguments))  # noqa: E731
                return y, lambda dy: scaled(dy, _gradients_again(run, y, label)), dict
            if kind == "loss":
                return y, lambda dy: scaled(dy, back), dict
            start = library.backward(_spread_over(backwards(back), y))
            return y, lambda dy: order.named(back, start(dy)), lambda: arrays_in(back, "cache")

        return forward

    return _problem(label, build, flat, (f,), wrt, order.remarks)


def _same(function: Callable) -> Callable:
    return function


def _gradients_again(run: Callable, loss: Any, label: str) -> Any:
    """The gradients of a second call of a function that computes them beside its loss, so that its
    statements are seen as those of a backward pass."""
    _, again, gradients = _read_result(run(), label)
    if not np.array_equal(again, loss):
        raise CallError(f"{label} returns another loss at a second call")
    return gradients


def _problem(
    label: str, build: Callable, flat: dict, functions: tuple, wrt: Any, remarks: Any = ()
) -> Problem:
    lifted = lift(functions[0])  # once: it is not cheap
    return make_problem(
        label,
        build(_same),
        flat,
        build(lambda _: lifted),
        functions,
        wrt,
        build=lambda transform: build(*[through_partials(transform)] * 2),
        remarks=remarks,
        **_options(flat, functions),
    )


def _spread_over(backward: Callable, y: Any) -> Callable:
    """backward(dy1, dy2 ...) for several outputs where it takes them one by one."""
    if not isinstance(y, tuple) or len(y) < 2:
        return backward
    read = positional(backward)
    if read is None or read[1] or len([p for p in read[0] if p.default is p.empty]) != len(y):
        return backward
    return lambda dy: backward(*dy)


def _read_result(result: Any, label: str) -> tuple[str, Any, Any]:
    """("backward", y, backward) or ("loss", loss, gradients)."""
    if isinstance(result, dict):
        loss = next(
            (result[k] for k in ("loss", "cost", "value", "objective") if k in result), None
        )
        grads = next((result[k] for k in ("grads", "gradients", "grad") if k in result), None)
        if loss is not None and grads is not None:
            return "loss", loss, grads
    if not isinstance(result, tuple | list) or len(result) < 2:
        got = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result).__name__
        if type(result).__module__.partition(".")[0] in ("jax", "jaxlib"):
            raise CallError(
                f"{label} returned a jax array for NumPy arrays: pass jax arrays, such as "
                "jnp.asarray(x), to have it differentiated by jax, its custom rules included"
            )
        if hasattr(result, "backward"):
            raise CallError(
                f"{label} returned a {got} with a backward of its own: "
                f"check_tape({label}, {got}, ...) checks what a tape computes"
            )
        raise CallError(
            f"{label} must return (y, backward) with backward(dy) -> gradients, got {got}"
        )
    *outputs, last = result
    if callable(last):
        y = outputs[0] if len(outputs) == 1 else tuple(outputs)
        return "backward", y, last
    if callable(result[0]) and len(result) == 2:
        return "backward", result[1], result[0]
    if is_scalar(result[0]):
        rest = tuple(result[1:])
        return "loss", result[0], rest[0] if len(rest) == 1 else rest
    if is_scalar(last) and not is_scalar(result[0]):
        return "loss", last, outputs[0] if len(outputs) == 1 else tuple(outputs)
    got = f"a tuple of {len(result)}" if len(result) != 2 else f"(y, {type(last).__name__})"
    raise CallError(
        f"{label} returned {got}: the last part must be a function backward(dy), "
        "or the gradients themselves when y is a scalar loss: (loss, gradients)"
    )


def pair(forward: Callable, backward: Callable, arrays: dict[str, Any], wrt: Any = None) -> Problem:
    """forward(**arrays) -> (y, cache) and backward(dy, cache) -> gradients, as in CS231n.

    Also several outputs (forward -> (h, c, cache), backward(dh, dc, cache) or backward((dh, dc),
    cache)), backward(cache, dy), backward(dy, *cache), and forward -> y with backward(dy, **arrays)
    or, for a scalar loss, backward(**arrays).
    """
    require_callable(forward, "forward(**arrays) -> (y, cache)")
    require_callable(backward, "backward(dy, cache) -> gradients")
    require_arguments(forward, arrays)
    library, arrays = library_of(arrays, cached=True)
    flat, nest = flatten(arrays)
    label = label_of(forward)
    order = InNamedOrder(flat)

    def build(forwards: Callable, backwards: Callable = _same) -> Callable:
        def run_pair(arguments):
            nested = with_fresh_contexts(nest(library.alike(arguments)))
            own = library.backward(backwards(backward))
            result = library.forward(forwards(forward))(**nested)
            if result is None:
                raise CallError(f"{label}: forward returned None; it must return (y, cache), or y")
            if not isinstance(result, tuple | list) or len(result) < 2:
                back = vjp_call(own, nested, 1, is_scalar(result), label)
                return result, lambda dy: back(dy, nested), dict
            first = isinstance(result[0], tuple | list | dict) and is_float_output(result[-1])
            if only_outputs(backward, result):
                y = tuple(result)
                return y, lambda dy: order.named(backward, own(*dy)), dict
            *outputs, cache = (*result[1:], result[0]) if first else result
            y = outputs[0] if len(outputs) == 1 else tuple(outputs)
            start = calling(own, len(outputs), cache, nested)(cache)
            held = lambda: arrays_in(cache, "cache")  # noqa: E731
            return y, lambda dy: order.named(backward, start(dy)), held

        return run_pair

    functions = (forward, backward)
    return replace(_problem(label, build, flat, functions, wrt, order.remarks), cache_passed=True)


def vjp(fun: Callable, back: Callable, args: tuple, wrt: Any = None) -> Problem:
    """fun(*args) -> y and back(dy, *args) -> gradients; for a scalar loss also back(*args)."""
    require_callable(fun, "fun(*args) -> y")
    require_callable(back, "vjp(dy, *args) -> gradients")
    try:
        names = [
            p.name
            for p in inspect.signature(fun).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    names = names[: len(args)] + [f"arg{k}" for k in range(len(names), len(args))]
    library, arrays = library_of(dict(zip(names, args, strict=True)))
    flat, nest = flatten(arrays)
    label = label_of(fun)

    def build(forwards: Callable, backwards: Callable = _same) -> Callable:
        def run_vjp(arguments):
            nested = nest(library.alike(arguments))
            y = library.forward(forwards(fun))(*nested.values())
            count = len(y) if isinstance(y, tuple) else 1
            own = library.backward(backwards(back))
            gradients = vjp_call(own, nested, count, is_scalar(y), label)
            return y, lambda dy: gradients(dy, nested), dict

        return run_vjp

    return _problem(label, build, flat, (fun, back), wrt)
