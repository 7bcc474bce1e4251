"""How one object is called and read, found by a trial on a copy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import places, random_streams
from autocnn.gradcheck.adapters.arguments import is_scalar
from autocnn.gradcheck.adapters.found import (
    candidates,
    input_gradient,
    looks_like_gradient,
    made_at_first_forward,
    moved_by_backward,
    named_parameters,
    with_gradients,
)
from autocnn.gradcheck.adapters.methods import (
    LEARNING_RATE,
    BackwardCall,
    Methods,
    read_backward,
)
from autocnn.gradcheck.adapters.parameters import (
    Parameter,
    Spot,
    float_spots,
)
from autocnn.gradcheck.adapters.rates import is_plain_descent, rate_paths
from autocnn.gradcheck.adapters.returned import Returned, distribute
from autocnn.gradcheck.adapters.running import (
    after_forward,
    copy_of,
    flat_floats,
    matters,
    output_attribute,
    read_output,
    require_numbers,
    resets,
    run_forward,
    same_bytes,
)
from autocnn.gradcheck.adapters.tensors import as_arrays

__all__ = ["Plan", "plan_of"]

_RESETS = (
    "zero_grad", "zero_grads", "zero_gradients", "zerograd", "zerograds", "cleargrads",
    "clear_grads", "clear_gradients", "flush_gradients", "reset_grad", "reset_grads",
    "reset_gradients", "init_grads", "clear_grad", "zero_gradient",
)  # fmt: skip


class Plan(NamedTuple):
    """How one object is called and read: found once, by a trial on a copy."""

    layer: Any
    methods: Methods
    inputs: dict[str, str]  # leaf's name -> forward's own name, in order
    call: BackwardCall
    output: str | None  # the attribute that holds forward's output, when it returns None
    reduction: str  # "sum" or "mean" of the output, where backward takes no dy; else ""
    dx: str | None  # the attribute that holds the input's gradient, when backward returns none
    parameters: tuple[Parameter, ...]
    updates: tuple[str, ...]  # parameters that backward itself updates: gradient x rate
    rates: tuple  # where the object keeps the rate of these updates, when it is not passed
    reset: str
    left: tuple[str, ...]  # float arrays that were found and are not compared
    mattering: tuple[str, ...]  # those of them that change the output


def plan_of(layer: Any, methods: Methods, flat: dict[str, Any], nest: Callable) -> Plan:
    """The plan for an object and these arguments, from a trial on a copy of it."""
    with random_streams.keep(), np.errstate(all="ignore"):
        return _try(layer, methods, flat, nest)


def _try(layer: Any, methods: Methods, flat: dict[str, Any], nest) -> Plan:
    trial = copy_of(layer)
    born = float_spots(trial)
    existing = {p: s.array.copy() for s in born for p in s.paths}
    result, nested = run_forward(trial, methods, flat, nest)
    call = read_backward(trial, methods, result, nested)
    output = output_attribute(trial, existing, methods) if result is None else None
    y, grads, cache = read_output(trial, result, output, call, methods)
    require_numbers(y, methods)
    settled = float_spots(trial)  # after one forward: lazily made parameters are there
    made = made_at_first_forward(settled, existing, trial, methods, flat, nest)
    snapshot = {p: s.array.copy() for s in settled for p in s.paths}
    call, result, reduced = _call_backward(trial, call, methods, y, nested, grads, cache)
    written = [
        s
        for s in float_spots(trial)
        if all(p not in snapshot or not same_bytes(snapshot[p], s.array) for p in s.paths)
    ]
    base = layer if not made else after_forward(layer, methods, flat, nest)
    possible = candidates(born, existing, snapshot, settled, made)
    moved = moved_by_backward(possible, trial, snapshot)
    rates, unknown = _own_rates(base, call, methods, flat, nest, output, moved)
    moved = moved if rates or (call is not None and call.rate) else []
    found, updates = with_gradients(trial, possible, written, moved)
    found = [(s, path) for s, path in found if not any(s is u for u in unknown)]
    float_inputs = [
        n for n, v in flat.items() if getattr(getattr(v, "dtype", None), "kind", "") == "f"
    ]
    dx = None
    if result is None and methods.backward is not None and float_inputs:
        dx = input_gradient(trial, methods, flat[float_inputs[0]], written)
    parameters = named_parameters(found)
    if result is not None:
        given = {**flat, **{p.name: p.spot.array for p in parameters}}
        returned: Returned = distribute(result, float_inputs, parameters, given)
        got = set(returned.gradients)
    else:
        got = set()
    kept = [p for p in parameters if p.gradient or p.known or p.name in got or p.name in updates]
    kept = [
        p
        for p in kept
        if p.gradient
        or p.name in got
        or p.name in updates
        or matters(base, methods, flat, nest, p.spot)
    ]
    gradient_paths = {p.gradient for p in parameters if p.gradient}
    kept_paths = {path for p in kept for path in p.spot.paths}
    left, mattering = [], []
    for spot in born:
        if set(spot.paths) & (kept_paths | gradient_paths) or looks_like_gradient(
            spot, gradient_paths
        ):
            continue
        name = places.text(spot.path)
        left.append(name)
        if spot in possible and matters(base, methods, flat, nest, spot):
            mattering.append(name)
    reduction = ""
    if reduced and float_inputs:
        dx_value = as_arrays(getattr(trial, dx, None)) if result is None and dx else result
        reduction = _reduction(base, methods, flat, nest, output, float_inputs[0], dx_value)
    elif reduced:
        reduction = "sum"
    reset = next((r for r in _RESETS if callable(getattr(layer, r, None))), "")
    if reset and not resets(base, reset):
        reset = ""
    return Plan(
        base, methods, {n: n for n in flat}, call, output, reduction, dx, tuple(kept),
        tuple(p.name for p in kept if p.name in updates and p.name not in got), rates, reset,
        tuple(left), tuple(mattering),
    )  # fmt: skip


def _own_rates(layer, call, methods, flat, nest, output, moved: list[Spot]):
    """(paths of the rates at which the object's backward moves its parameters, parameters whose
    moves say nothing of a gradient, as Adam's do)."""
    rates = rate_paths(layer) if moved and call is not None and not call.rate else ()
    if not rates:
        return (), []
    takes_dy = call.slot is not None and not call.ignores_dy

    def run(mine: Any, factor: float) -> None:
        result, nested = run_forward(mine, methods, flat, nest)
        y, _, cache = read_output(mine, result, output, call, methods)
        dy = _like(y, np.random.default_rng(5)) if takes_dy else None
        dy = tuple(factor * d for d in dy) if isinstance(dy, tuple) else takes_dy and factor * dy
        call.run(mine, dy if takes_dy else None, nested, cache)

    spots = [s.path for s in moved]
    plain = is_plain_descent(layer, spots, rates, LEARNING_RATE, run, takes_dy)
    return (rates, []) if plain else ((), moved)


def _call_backward(trial, call: BackwardCall | None, methods: Methods, y, nested, grads, cache):
    """(how backward is called, what it returned, whether the output is reduced to a number)."""
    if methods.backward is None:
        return None, grads, False
    summed = call.slot is None and not is_scalar(y)
    rng = np.random.default_rng(5)
    dy = _like(y, rng)
    if call.slot is not None and call.has_default and is_scalar(y):
        call = _whether_dy_is_ignored(trial, call, methods, nested, cache)
    if call.slot is not None and call.ignores_dy:
        dy = None
    try:
        result = call.run(trial, dy, nested, cache)
    except Exception as error:  # examine will call it again and report the line
        other = call.of_the_output(methods)
        if other is None:
            return call, None, summed
        try:
            return other, other.run(trial, None, nested, cache), not is_scalar(y)
        except Exception:
            raise error from None
    return call, result, summed


def _reduction(layer, methods, flat, nest, output, name: str, gradient: Any) -> str:
    """Whether a gradient without dy is that of the output's sum or mean, by one difference."""
    gradient = gradient[0] if isinstance(gradient, tuple | list) else gradient
    x = flat[name]
    if np.shape(gradient) != x.shape:
        return "sum"
    u = np.random.default_rng(4).standard_normal(x.shape)
    step = 1e-4 * (float(np.sqrt(np.mean(np.square(x)))) or 1.0)
    means = []
    for h in (step, -step):
        mine = copy_of(layer)
        result, _ = run_forward(mine, methods, {**flat, name: x + h * u}, nest)
        y = as_arrays(getattr(mine, output) if output else result)
        means.append(float(np.mean(y)))
    size = np.size(y)
    slope, yours = (means[0] - means[1]) / (2 * step), float(np.vdot(gradient, u))
    return "mean" if abs(yours - slope) < abs(yours - size * slope) else "sum"


def _whether_dy_is_ignored(trial, call: BackwardCall, methods, nested, cache) -> BackwardCall:
    seen = []
    for dy in (1.0, 3.0):
        mine = copy_of(trial)
        try:
            result = call.run(mine, np.float64(dy), nested, cache)
        except Exception:
            return call
        arrays = [flat_floats(result)] + [s.array.ravel() for s in float_spots(mine)]
        seen.append(np.concatenate(arrays) if arrays else np.zeros(0))
    return call._replace(ignores_dy=np.array_equal(seen[0], seen[1], equal_nan=True))


def _like(y: Any, rng: np.random.Generator) -> Any:
    """A random cotangent of y's structure."""
    if isinstance(y, tuple | list):
        return tuple(_like(part, rng) for part in y)
    if isinstance(y, dict):
        return {k: _like(part, rng) for k, part in y.items()}
    array = np.asarray(y)
    made = rng.standard_normal(array.shape).astype(
        array.dtype if array.dtype.kind == "f" else float
    )
    return made if isinstance(y, np.ndarray) else made[()]
