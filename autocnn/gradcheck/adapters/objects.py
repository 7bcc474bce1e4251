"""Objects with forward and backward: layers, losses, nets, however they return, keep and name
things."""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import places
from autocnn.gradcheck.adapters.arguments import INPUTS, TARGETS, flatten
from autocnn.gradcheck.adapters.methods import (
    LEARNING_RATE,
    find_methods,
)
from autocnn.gradcheck.adapters.parameters import (
    float_spots,
)
from autocnn.gradcheck.adapters.rates import set_rates
from autocnn.gradcheck.adapters.returned import distribute
from autocnn.gradcheck.adapters.running import copy_of, read_output
from autocnn.gradcheck.adapters.tensors import alike, as_arrays
from autocnn.gradcheck.adapters.trial import Plan, plan_of
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.outputs import argument_of
from autocnn.gradcheck.problem import Problem

__all__ = ["instance"]


def instance(
    layer: Any,
    inputs: tuple[Any, ...],
    others: dict[str, Any],
    wrt: Any = None,
    method: str | None = None,
) -> Problem:
    """layer.forward(x, **others) -> y and layer.backward(dy) -> dx, with parameters and their
    gradients anywhere in the object. Each call works on a deep copy of it.

    The gradient of a parameter is looked for beside it (d_weights, weights_grad, grads["weights"],
    the .grad of an object with .data ...), among what backward returns, among the arrays that
    backward writes, and in what it adds to the parameter itself.
    """
    methods = find_methods(layer, method)
    methods, named = methods.taking_tensors(methods.bind(inputs, others))
    flat, nest = flatten(named)
    plan = plan_of(layer, methods, flat, nest)
    values = {p.name: places.get(plan.layer, p.spot.path) for p in plan.parameters}
    taken = {n: n for n in flat}
    arguments = {
        **flat,
        **{n: np.array(v, subok=True) for n, v in values.items() if n not in taken},
    }
    float_inputs = [n for n in flat if n not in values]
    label = (
        type(layer).__name__
        if methods.backward or method is None
        else f"{type(layer).__name__}.{method}"
    )

    def build(forwards: Callable, backwards: Callable = _same) -> Callable:
        def forward(given):
            given = alike(given) if methods.tensors else given
            mine = copy_of(plan.layer)
            set_rates(mine, plan.rates, LEARNING_RATE)
            _reset(mine, plan)
            for parameter in plan.parameters:
                for path in parameter.spot.paths:
                    places.put(mine, path, given[parameter.name])
            nested = nest({n: given[n] for n in flat})
            run = getattr(mine, methods.forward)
            result = forwards(run)(**methods.own(nested))
            y, grads, cache = read_output(mine, result, plan.output, plan.call, methods)
            if methods.backward is None and backwards is not _same:  # a copy that is followed
                grads = lambda: read_output(  # noqa: E731
                    mine, forwards(run)(**methods.own(nested)), plan.output, plan.call, methods
                )[1]
            if plan.reduction:
                y = np.sum(y) if plan.reduction == "sum" else np.mean(y)
            back = _backward(mine, plan, nested, float_inputs, given, grads, cache, backwards)
            return y, back, lambda: _held(mine, plan)

        return forward

    return make_problem(
        label,
        build(_same),
        arguments,
        build(lift),
        (),
        wrt,
        build=lambda transform: build(transform, transform),
        parameters=frozenset(values),
        optional=frozenset(
            n for n in flat if argument_of(n).lower() in TARGETS or argument_of(n) != n
        ),
        optional_in_loss=frozenset(
            n for k, n in enumerate(flat) if k or argument_of(n).lower() in INPUTS
        ),
        remarks=_remarks(plan, wrt),
        uncompared=plan.left,
        reset=plan.reset,
        accumulates_in_place=True,
        updated=frozenset(plan.updates),
        restore=(),
    )


def _same(function: Callable) -> Callable:
    return function


def _reset(mine: Any, plan: Plan) -> None:
    """No gradients left over from before: by the object's own method, or by zeros."""
    if plan.reset:
        getattr(mine, plan.reset)()
    for parameter in plan.parameters:
        if parameter.gradient is not None:
            try:
                value = places.get(mine, parameter.gradient)
            except LookupError:
                continue
            if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.flags.writeable:
                value[...] = 0


def _backward(mine, plan: Plan, nested, float_inputs, given, grads, cache, backwards):
    """dy -> gradients by leaf name."""
    before = {
        n: np.array(places.get(mine, p.spot.path))
        for p in plan.parameters
        for n in [p.name]
        if n in plan.updates
    }

    def backward(dy):
        factor = 1.0
        if plan.methods.backward is None:
            result, factor = grads() if callable(grads) else grads, dy
        elif plan.call.slot is None or plan.call.ignores_dy:
            result, factor = plan.call.run(mine, None, nested, cache, backwards), dy
        else:
            result = plan.call.run(mine, dy, nested, cache, backwards)
        if plan.dx is not None and result is None:
            result = as_arrays(getattr(mine, plan.dx, None))
        returned = distribute(result, float_inputs, list(plan.parameters), given)
        found: dict[str, Any] = dict(returned.gradients)
        for parameter in plan.parameters:
            if parameter.name in found:
                continue
            if parameter.name in plan.updates:
                now = np.asarray(places.get(mine, parameter.spot.path))
                found[parameter.name] = (before[parameter.name] - now) / LEARNING_RATE
            elif parameter.gradient is not None:
                try:
                    found[parameter.name] = places.get(mine, parameter.gradient)
                except LookupError:
                    found[parameter.name] = None
        if factor is not dy:
            return found
        return {n: _times(dy, g) for n, g in found.items()}

    return backward


def _times(dy: Any, g: Any) -> Any:
    if g is None:
        return None
    array = np.asarray(g)
    return (
        (np.asarray(dy, dtype=np.float64) * array).astype(array.dtype)
        if array.dtype.kind == "f"
        else dy * array
    )


def _held(mine: Any, plan: Plan) -> dict[str, np.ndarray]:
    """The object's arrays but for its gradients: what backward may need again."""
    skip = {p.gradient for p in plan.parameters}
    skip |= {path for p in plan.parameters if p.name in plan.updates for path in p.spot.paths}
    return {places.text(s.path): s.array for s in float_spots(mine) if not set(s.paths) & skip}


def _remarks(plan: Plan, wrt: Any) -> tuple[tuple[str, str], ...]:
    found = []
    if plan.mattering and wrt is None:
        names = ", ".join(plan.mattering)
        found.append(
            (
                "warning",
                f"{names}: the output depends on "
                f"{'it' if len(plan.mattering) == 1 else 'them'}, and "
                "no gradient was found beside it or in what backward returns, so it was not "
                'compared (constants are left out by wrt=("x", ...))',
            )
        )
    if plan.reduction:
        words = f"backward takes no dy, so the {plan.reduction} of the output stands for the loss"
        found.append(("note", words))
    elif plan.call is not None and plan.call.ignores_dy:
        found.append(("note", "backward ignores its argument: checked for 1, as the last node"))
    if plan.updates:
        found.append(
            ("note", f"the gradients of {', '.join(plan.updates)} were read off backward's update")
        )
    return tuple(found)
