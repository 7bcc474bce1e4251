"""One call of an object's forward on a copy: what it returned, and whether an array matters."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import places, random_streams
from autocnn.gradcheck.adapters.arguments import is_scalar
from autocnn.gradcheck.adapters.methods import (
    BackwardCall,
    Methods,
)
from autocnn.gradcheck.adapters.parameters import (
    Spot,
)
from autocnn.gradcheck.adapters.tensors import as_arrays
from autocnn.gradcheck.problem import CallError, guarded

__all__ = [
    "after_forward",
    "copy_of",
    "flat_floats",
    "matters",
    "output_attribute",
    "read_output",
    "require_numbers",
    "resets",
    "run_forward",
    "same_bytes",
]

_OUTPUTS = (
    "output", "outputs", "out", "y", "a", "activation", "activations", "result", "loss", "value",
    "y_pred", "prediction", "z", "Y", "A", "Z", "data",
)  # fmt: skip


def copy_of(layer: Any) -> Any:
    """A deep copy of an object. Raises CallError where there is none."""
    try:
        return copy.deepcopy(layer)
    except Exception as error:
        raise CallError(
            f"{type(layer).__name__} cannot be copied ({type(error).__name__}: {error}), and the "
            "checker calls a fresh copy each time: write a function f(x) -> (y, backward) that "
            "makes the layer, and pass it to check(f, x=x)"
        ) from error


def read_output(
    mine: Any, result: Any, output: str | None, call: BackwardCall | None, methods: Methods
) -> tuple[Any, Any, Any]:
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


def run_forward(
    mine: Any, methods: Methods, flat: dict, nest: Callable, what: str = "forward (first call)"
) -> tuple[Any, dict]:
    """What forward returns on copies of the arguments, and those arguments as forward took them."""
    nested = nest(
        {n: np.array(v) if isinstance(v, np.ndarray) else copy.deepcopy(v) for n, v in flat.items()}
    )
    run = getattr(mine, methods.forward)
    with random_streams.rewound(random_streams.ALL):
        return guarded(lambda: run(**methods.own(nested)), f"{methods.label}: {what}", flat), nested


def require_numbers(y: Any, methods: Methods) -> None:
    """Raise CallError for an output that is a node of a tape."""
    if hasattr(y, "backward") and not isinstance(y, np.ndarray):
        raise CallError(
            f"{methods.label}: forward returned a {type(y).__name__} with a backward of its own: "
            f"check_tape(lambda x: layer.{methods.forward}(x), {type(y).__name__}, x=x) checks "
            "what "
            "a tape computes"
        )


def output_attribute(mine: Any, existing: dict, methods: Methods) -> str:
    """The attribute in which a forward that returns None has left its output."""
    own = vars(mine) if hasattr(mine, "__dict__") else {}
    for name in _OUTPUTS:
        value = own.get(name)
        if isinstance(as_arrays(value), np.ndarray | np.floating | float):
            return name
    raise CallError(f"{methods.label}: forward returned None: return y, or keep it as .output")


def matters(layer: Any, methods: Methods, flat: dict, nest: Callable, spot: Spot) -> bool:
    """Does the output change with this array?"""
    rng = np.random.default_rng(3)
    moved = spot.array * (1 + 0.3 * rng.random(spot.array.shape)) + 0.1
    outputs = []
    for value in (spot.array, moved):
        mine = copy_of(layer)
        try:
            for path in spot.paths:
                places.put(mine, path, np.array(value))
            result, _ = run_forward(mine, methods, flat, nest)
        except (CallError, LookupError, TypeError, AttributeError):
            return True
        if result is None:
            result = getattr(mine, output_attribute(mine, {}, methods))
        outputs.append(flat_floats(result))
    return not np.array_equal(outputs[0], outputs[1], equal_nan=True)


def flat_floats(result: Any) -> np.ndarray:
    """All floats of an output in one vector."""
    arrays = (
        [p.array for p in places.walk(result)] if not np.isscalar(result) else [np.asarray(result)]
    )
    arrays = [a for a in arrays if a.dtype.kind == "f"]
    if isinstance(result, tuple | list):
        arrays += [np.asarray(r) for r in result if isinstance(r, float | np.floating)]
    return np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.zeros(0)


def after_forward(layer: Any, methods: Methods, flat: dict, nest: Callable) -> Any:
    """A copy of the layer whose parameters were made by a first forward."""
    ready = copy_of(layer)
    run_forward(ready, methods, flat, nest)
    return ready


def resets(layer: Any, name: str) -> bool:
    """Can the method that resets gradients be called?"""
    try:
        getattr(copy_of(layer), name)()
    except Exception:  # whatever the user's method raises: it is not called then
        return False
    return True


def same_bytes(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the bit, nan included."""
    return a.shape == b.shape and a.tobytes() == b.tobytes()
