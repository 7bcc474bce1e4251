"""Objects with forward and backward: layers, losses, nets, however they return, keep and name
things."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import places, random_streams
from autocnn.gradcheck.adapters.arguments import INPUTS, TARGETS, flatten, is_scalar
from autocnn.gradcheck.adapters.methods import (
    LEARNING_RATE,
    BackwardCall,
    Methods,
    find_methods,
    read_backward,
)
from autocnn.gradcheck.adapters.parameters import (
    Parameter,
    Spot,
    float_spots,
    gradient_path,
    is_parameter_name,
    leaf_names,
)
from autocnn.gradcheck.adapters.rates import is_plain_descent, rate_paths, set_rates
from autocnn.gradcheck.adapters.returned import Returned, distribute
from autocnn.gradcheck.adapters.tensors import as_arrays
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.outputs import argument_of
from autocnn.gradcheck.problem import CallError, Problem, guarded

__all__ = ["instance"]

_OUTPUTS = (
    "output", "outputs", "out", "y", "a", "activation", "activations", "result", "loss", "value",
    "y_pred", "prediction", "z", "Y", "A", "Z", "data",
)  # fmt: skip
_INPUT_GRADIENTS = (
    "dinputs", "dinput", "dx", "dX", "d_x", "d_input", "d_inputs", "grad_input", "grad_inputs",
    "input_grad", "input_gradient", "gradInput", "x_grad", "grad_x", "dout", "grad", "gradient",
)  # fmt: skip
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
    plan = _plan(layer, methods, flat, nest)
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
            mine = _copy(plan.layer)
            set_rates(mine, plan.rates, LEARNING_RATE)
            _reset(mine, plan)
            for parameter in plan.parameters:
                for path in parameter.spot.paths:
                    places.put(mine, path, given[parameter.name])
            nested = nest({n: given[n] for n in flat})
            run = getattr(mine, methods.forward)
            result = forwards(run)(**methods.own(nested))
            y, grads, cache = _read(mine, result, plan.output, plan.call, methods)
            if methods.backward is None and backwards is not _same:  # a copy that is followed
                grads = lambda: _read(  # noqa: E731
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


def _copy(layer: Any) -> Any:
    try:
        return copy.deepcopy(layer)
    except Exception as error:
        raise CallError(
            f"{type(layer).__name__} cannot be copied ({type(error).__name__}: {error}), and the "
            "checker calls a fresh copy each time: write a function f(x) -> (y, backward) that "
            "makes the layer, and pass it to check(f, x=x)"
        ) from error


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


def _read(mine: Any, result: Any, output: str | None, call: BackwardCall | None, methods: Methods):
    """(y, gradients or None, cache or None) of one call of forward."""
    if methods.backward is None:
        loss, grads = _loss_and_gradients(as_arrays(result), methods)
        return loss, grads, None
    if call is not None and call.takes_cache and isinstance(result, tuple) and len(result) > 1:
        *outputs, cache = result
        return as_arrays(outputs[0] if len(outputs) == 1 else tuple(outputs)), None, cache
    if result is None and output is not None:
        return as_arrays(getattr(mine, output)), None, None
    return as_arrays(result), None, None


def _loss_and_gradients(result: Any, methods: Methods) -> tuple[Any, Any]:
    if isinstance(result, tuple | list) and len(result) >= 2:
        if is_scalar(result[0]):
            return result[0], result[1] if len(result) == 2 else tuple(result[1:])
        if is_scalar(result[-1]):
            return result[-1], result[0] if len(result) == 2 else tuple(result[:-1])
    raise CallError(
        f"{methods.label} has no backward, so {methods.forward} must return (loss, gradients); "
        f"it returned {type(result).__name__}. check_object needs forward(x) and backward(dy)"
    )


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


# ---- the trial


def _plan(layer: Any, methods: Methods, flat: dict[str, Any], nest) -> Plan:
    with random_streams.keep(), np.errstate(all="ignore"):
        return _try(layer, methods, flat, nest)


def _forward(mine: Any, methods: Methods, flat, nest, what: str = "forward (first call)"):
    nested = nest(
        {n: np.array(v) if isinstance(v, np.ndarray) else copy.deepcopy(v) for n, v in flat.items()}
    )
    run = getattr(mine, methods.forward)
    with random_streams.rewound(random_streams.ALL):
        return guarded(lambda: run(**methods.own(nested)), f"{methods.label}: {what}", flat), nested


def _try(layer: Any, methods: Methods, flat: dict[str, Any], nest) -> Plan:
    trial = _copy(layer)
    born = float_spots(trial)
    existing = {p: s.array.copy() for s in born for p in s.paths}
    result, nested = _forward(trial, methods, flat, nest)
    call = read_backward(trial, methods, result, nested)
    output = _output_attribute(trial, existing, methods) if result is None else None
    y, grads, cache = _read(trial, result, output, call, methods)
    _must_be_numbers(y, methods)
    settled = float_spots(trial)  # after one forward: lazily made parameters are there
    made = _made_at_first_forward(settled, existing, trial, methods, flat, nest)
    snapshot = {p: s.array.copy() for s in settled for p in s.paths}
    call, result, reduced = _call_backward(trial, call, methods, y, nested, grads, cache)
    written = [
        s
        for s in float_spots(trial)
        if all(p not in snapshot or not _equal(snapshot[p], s.array) for p in s.paths)
    ]
    base = layer if not made else _after_forward(layer, methods, flat, nest)
    candidates = _candidates(born, existing, snapshot, settled, made)
    moved = _moved(candidates, trial, snapshot)
    rates, unknown = _own_rates(base, call, methods, flat, nest, output, moved)
    moved = moved if rates or (call is not None and call.rate) else []
    found, updates = _with_gradients(trial, candidates, written, moved)
    found = [(s, path) for s, path in found if not any(s is u for u in unknown)]
    float_inputs = [
        n for n, v in flat.items() if getattr(getattr(v, "dtype", None), "kind", "") == "f"
    ]
    dx = None
    if result is None and methods.backward is not None and float_inputs:
        dx = _input_gradient(trial, methods, flat[float_inputs[0]], written)
    parameters = _named(found)
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
        or _matters(base, methods, flat, nest, p.spot)
    ]
    gradient_paths = {p.gradient for p in parameters if p.gradient}
    kept_paths = {path for p in kept for path in p.spot.paths}
    left, mattering = [], []
    for spot in born:
        if set(spot.paths) & (kept_paths | gradient_paths) or _looks_like_gradient(
            spot, gradient_paths
        ):
            continue
        name = places.text(spot.path)
        left.append(name)
        if spot in candidates and _matters(base, methods, flat, nest, spot):
            mattering.append(name)
    reduction = ""
    if reduced and float_inputs:
        dx_value = as_arrays(getattr(trial, dx, None)) if result is None and dx else result
        reduction = _reduction(base, methods, flat, nest, output, float_inputs[0], dx_value)
    elif reduced:
        reduction = "sum"
    reset = next((r for r in _RESETS if callable(getattr(layer, r, None))), "")
    if reset and not _resets(base, reset):
        reset = ""
    return Plan(
        base, methods, {n: n for n in flat}, call, output, reduction, dx, tuple(kept),
        tuple(p.name for p in kept if p.name in updates and p.name not in got), rates, reset,
        tuple(left), tuple(mattering),
    )  # fmt: skip


def _resets(layer: Any, name: str) -> bool:
    try:
        getattr(_copy(layer), name)()
    except Exception:  # whatever the user's method raises: it is not called then
        return False
    return True


def _after_forward(layer: Any, methods: Methods, flat, nest) -> Any:
    """A copy of the layer whose parameters were made by a first forward."""
    ready = _copy(layer)
    _forward(ready, methods, flat, nest)
    return ready


def _output_attribute(mine: Any, existing: dict, methods: Methods) -> str:
    own = vars(mine) if hasattr(mine, "__dict__") else {}
    for name in _OUTPUTS:
        value = own.get(name)
        if isinstance(as_arrays(value), np.ndarray | np.floating | float):
            return name
    raise CallError(f"{methods.label}: forward returned None: return y, or keep it as .output")


def _must_be_numbers(y: Any, methods: Methods) -> None:
    if hasattr(y, "backward") and not isinstance(y, np.ndarray):
        raise CallError(
            f"{methods.label}: forward returned a {type(y).__name__} with a backward of its own: "
            f"check_tape(lambda x: layer.{methods.forward}(x), {type(y).__name__}, x=x) checks "
            "what "
            "a tape computes"
        )


def _made_at_first_forward(settled, existing, trial, methods, flat, nest) -> set[tuple]:
    """Paths of arrays that the first forward made and that another input does not change."""
    fresh = [s for s in settled if not any(p in existing for p in s.paths)]
    given = [v for v in flat.values() if isinstance(v, np.ndarray)]
    fresh = [s for s in fresh if not any(np.shares_memory(v, s.array) for v in given)]
    if not fresh:
        return set()
    before = {s.path: s.array.copy() for s in fresh}
    other = {
        n: v * 1.25 + 0.125 if getattr(getattr(v, "dtype", None), "kind", "") == "f" else v
        for n, v in flat.items()
    }
    again = _copy(trial)
    try:
        _forward(again, methods, other, nest)
    except CallError:
        return set()
    kept = set()
    for path, array in before.items():
        try:
            now = places.get(again, path)
        except LookupError:
            continue
        if isinstance(now, np.ndarray) and _equal(now, array):
            kept.add(path)
    return kept


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def _candidates(born, existing, snapshot, settled, made) -> list[Spot]:
    """Arrays that forward leaves alone: those of the object as it came, and those made by the first
    forward."""
    steady = [
        s for s in born
        if all(p in snapshot and _equal(snapshot[p], existing[p]) for p in s.paths)
    ]  # fmt: skip
    return steady + [
        s for s in settled if s.path in made and not any(p in existing for p in s.paths)
    ]


def _moved(spots: list[Spot], trial, snapshot) -> list[Spot]:
    """Those arrays that backward has changed."""
    return [
        s
        for s in spots
        for known in [[p for p in s.paths if p in snapshot]]
        if any(not _equal(snapshot[p], np.asarray(places.get(trial, p))) for p in known)
    ]


def _own_rates(layer, call, methods, flat, nest, output, moved: list[Spot]):
    """(paths of the rates at which the object's backward moves its parameters, parameters whose
    moves say nothing of a gradient, as Adam's do)."""
    rates = rate_paths(layer) if moved and call is not None and not call.rate else ()
    if not rates:
        return (), []
    takes_dy = call.slot is not None and not call.ignores_dy

    def run(mine: Any, factor: float) -> None:
        result, nested = _forward(mine, methods, flat, nest)
        y, _, cache = _read(mine, result, output, call, methods)
        dy = _like(y, np.random.default_rng(5)) if takes_dy else None
        dy = tuple(factor * d for d in dy) if isinstance(dy, tuple) else takes_dy and factor * dy
        call.run(mine, dy if takes_dy else None, nested, cache)

    spots = [s.path for s in moved]
    plain = is_plain_descent(layer, spots, rates, LEARNING_RATE, run, takes_dy)
    return (rates, []) if plain else ((), moved)


def _with_gradients(trial, candidates: list[Spot], written: list[Spot], moved: list[Spot]):
    """(candidates with the path of their gradient, names of those that backward updates)."""
    paths = {p for s in candidates for p in s.paths}
    taken: set = set()
    found: list[tuple[Spot, Any]] = []
    by_name: list[tuple[Spot, Any]] = []
    for spot in candidates:
        path = gradient_path(trial, spot, [], taken)
        by_name.append((spot, path))
        if path is not None:
            taken.add(path)
    gradients = {path for _, path in by_name if path}
    for spot, path in by_name:
        if set(spot.paths) & gradients:
            continue  # itself another's gradient
        if path is None:
            own = [s for s in written if not set(s.paths) & paths]
            path = gradient_path(trial, spot, own, taken)
            if path is not None:
                taken.add(path)
        found.append((spot, path))
    updated = [s for s, _ in found if any(s is m for m in moved)]
    found = [(s, None if any(s is u for u in updated) else path) for s, path in found]
    names = dict(zip([id(s) for s, _ in found], leaf_names([s for s, _ in found]), strict=True))
    return found, {names[id(s)] for s in updated}


def _named(found) -> list[Parameter]:
    names = leaf_names([s for s, _ in found])
    return [
        Parameter("params_x" if n == "x" else n, s, path, is_parameter_name(s.path))
        for n, (s, path) in zip(names, found, strict=True)
    ]


def _looks_like_gradient(spot: Spot, gradients: set) -> bool:
    """Does an array lie in the same container as a parameter's gradient?"""
    holders = {g[:-1] for g in gradients if len(g) > 1}
    return any(p[:-1] in holders for p in spot.paths if len(p) > 1)


def _matters(layer: Any, methods: Methods, flat, nest, spot: Spot) -> bool:
    """Does the output change with this array?"""
    rng = np.random.default_rng(3)
    moved = spot.array * (1 + 0.3 * rng.random(spot.array.shape)) + 0.1
    outputs = []
    for value in (spot.array, moved):
        mine = _copy(layer)
        try:
            for path in spot.paths:
                places.put(mine, path, np.array(value))
            result, _ = _forward(mine, methods, flat, nest)
        except (CallError, LookupError, TypeError, AttributeError):
            return True
        if result is None:
            result = getattr(mine, _output_attribute(mine, {}, methods))
        outputs.append(_flat(result))
    return not np.array_equal(outputs[0], outputs[1], equal_nan=True)


def _flat(result: Any) -> np.ndarray:
    arrays = (
        [p.array for p in places.walk(result)] if not np.isscalar(result) else [np.asarray(result)]
    )
    arrays = [a for a in arrays if a.dtype.kind == "f"]
    if isinstance(result, tuple | list):
        arrays += [np.asarray(r) for r in result if isinstance(r, float | np.floating)]
    return np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.zeros(0)


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
        mine = _copy(layer)
        result, _ = _forward(mine, methods, {**flat, name: x + h * u}, nest)
        y = as_arrays(getattr(mine, output) if output else result)
        means.append(float(np.mean(y)))
    size = np.size(y)
    slope, yours = (means[0] - means[1]) / (2 * step), float(np.vdot(gradient, u))
    return "mean" if abs(yours - slope) < abs(yours - size * slope) else "sum"


def _whether_dy_is_ignored(trial, call: BackwardCall, methods, nested, cache) -> BackwardCall:
    seen = []
    for dy in (1.0, 3.0):
        mine = _copy(trial)
        try:
            result = call.run(mine, np.float64(dy), nested, cache)
        except Exception:
            return call
        arrays = [_flat(result)] + [s.array.ravel() for s in float_spots(mine)]
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


def _input_gradient(trial, methods: Methods, x: Any, written: list[Spot]) -> str | None:
    """The attribute in which backward left the input's gradient."""
    own = vars(trial) if hasattr(trial, "__dict__") else {}
    first = methods.names[0] if methods.names else "x"
    wanted = [f"d{first}", f"d_{first}", f"grad_{first}", f"{first}_grad", *_INPUT_GRADIENTS]
    for name in wanted:
        if places.array_of(own.get(name)) is not None:
            return name
    fits = [
        s.path[0][1]
        for s in written
        if len(s.path) == 1
        and s.array.shape == np.shape(x)
        and str(s.path[0][1]).startswith(("d", "g"))
    ]
    return fits[0] if len(fits) == 1 else None
