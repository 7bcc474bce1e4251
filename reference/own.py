"""Layers of one's own: what their functions must take and return, told where they do not."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from reference import validate

__all__ = ["check_drawn", "check_signature", "checked_pass"]

INIT = "def init(key, shape, dtype): return out_shape, params, state"
FORWARD = "def forward(params, state, x, train, key): return y, state"
BACKPROP = (
    "def backprop(params, state, x, train, key): return y, state, backward, where backward(dy) "
    "returns dx, dparams"
)
NUMPY = (
    "autograd sees through its own numpy only: import autograd.numpy as np, in place of import "
    "numpy as np"
)
ADVICE = (  # what is in the error's text, and what helps
    (
        (
            "does not support item assignment",
            "assignment destination",
            "only integer scalar arrays",
        ),
        "assign nothing in place: build a new array by np.where, np.concatenate or a mask",
    ),
    (
        ("truth value of an array",),
        "in place of `if x > 0` choose each number by a mask: np.where(x > 0, a, b) or x * (x > 0)",
    ),
    (
        ("only length-1 arrays", "real number, not"),
        "float(), int() and math take single numbers that nothing is differentiated through: use "
        "functions of arrays, import autograd.numpy as np",
    ),
    (
        ("ArrayBox", "setting an array element with a sequence"),
        NUMPY,
    ),
)


def check_signature(name: str, what: str, function: Callable, count: int) -> None:
    """Raise ValueError unless a function takes ``count`` positional arguments."""
    usual = {"init": INIT, "forward": FORWARD, "backprop": BACKPROP}[what]
    if not callable(function):
        raise ValueError(f"layer {name!r}: {what} must be a function, {usual}; got {function!r}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of C
        return
    try:
        signature.bind(*[None] * count)
    except TypeError:
        raise ValueError(
            f"layer {name!r}: {what} takes {signature}, and is called with {count} arguments: "
            f"{usual}"
        ) from None


def check_drawn(name: str, drawn: Any) -> tuple:
    """Return what ``init`` returned. ValueError unless it is (out_shape, params, state)."""
    shape = drawn[0] if isinstance(drawn, tuple | list) and len(drawn) == 3 else None
    if not isinstance(shape, tuple | list) or not all(
        isinstance(n, int | np.integer) for n in shape
    ):
        got = f"a {type(drawn).__name__}"
        if isinstance(drawn, tuple | list):
            got += f" of {len(drawn)}" if shape is None else f" whose first is {shape!r:.40}"
        raise ValueError(
            f"layer {name!r}: init must return (out_shape, params, state), such as (shape, {{}}, "
            f"{{}}) for a layer without parameters; got {got}"
        )
    return tuple(shape), drawn[1], drawn[2]


def checked_pass(layer: Any, what: str, function: Callable) -> Callable:
    """Wrap the forward or backprop of a layer of one's own so that its mistakes are explained.

    Those are ValueErrors that name the layer and say what helps: a result that is not (y, state) or
    (y, state, backward), an output of another shape than ``init`` says, and errors of functions
    that cannot be differentiated. Other errors come through as they are.
    """
    size = {"forward": 2, "backprop": 3}[what]
    usual = {"forward": FORWARD, "backprop": BACKPROP}[what]

    @wraps(function)
    def checked(params: Any, state: Any, x: Any, train: Any, key: Any) -> Any:
        try:
            result = function(params, state, x, train, key)
        except (TypeError, ValueError, AttributeError, IndexError) as error:
            told = _explain(layer, what, params, x, error)
            if told is None:
                raise
            raise ValueError(told) from error
        if not isinstance(result, tuple | list) or len(result) != size:
            got = f"a {type(result).__name__}"
            if isinstance(result, tuple | list):
                got += f" of {len(result)}"
            raise ValueError(
                f"layer {layer.name!r}: {what} must return {'y, state' if size == 2 else usual}; "
                f"got {got}" + (f": {usual}" if size == 2 else "")
            )
        _check_shape(layer, what, x, result[0])
        return tuple(result)

    checked.unchecked = function  # type: ignore[attr-defined]
    return checked


def _check_shape(layer: Any, what: str, x: Any, y: Any) -> None:
    shape = getattr(y, "shape", None)
    if shape is None or not hasattr(x, "shape"):
        raise ValueError(
            f"layer {layer.name!r}: {what} must return an array as y, got {type(y).__name__}"
        )
    if y.dtype == object:  # an array of traced numbers, through which no gradient flows
        raise ValueError(f"layer {layer.name!r}: {what} returned an array of objects; {NUMPY}")
    try:
        needed = (x.shape[0], *validate.layout(layer.init, tuple(x.shape[1:]))[0])
    except Exception:  # an init that cannot be asked; it has been called with other arguments
        return
    if tuple(shape) != needed:
        raise ValueError(
            f"layer {layer.name!r}: init says that the output of x {tuple(x.shape)} is {needed}, "
            f"but {what} returned {tuple(shape)}"
        )


def _explain(layer: Any, what: str, params: Any, x: Any, error: Exception) -> str | None:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    for marks, advice in ADVICE:
        if any(mark in text for mark in marks):
            return f"layer {layer.name!r}: {what} raised {text!r:.160}; {advice}"
    if "broadcast" in text or "not aligned" in text or "mismatch in its core dim" in text:
        sizes = {key: np.shape(v) for key, v in params.items()} if isinstance(params, dict) else {}
        return (
            f"layer {layer.name!r}: {what} got x of shape {tuple(x.shape)}"
            + (f" and params of {sizes}" if sizes else "")
            + f": {text}. x has the batch in front; shapes in init have none"
        )
    return None
