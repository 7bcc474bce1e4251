"""torch.autograd.Function and jax.custom_vjp as programs: their two functions are called directly,
with a stand-in for ctx, and jax's are run on NumPy where that gives the same values."""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.lift import _PROXY
from autocnn.gradcheck.problem import CallError

__all__ = ["jax_build", "torch_build"]


class _Context:
    """What torch hands to forward and backward as ctx."""

    def __init__(self, count: int) -> None:
        self.saved_tensors: tuple = ()
        self.needs_input_grad = (True,) * count

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def _nothing(self, *_: Any, **__: Any) -> None:
        return None

    mark_dirty = mark_non_differentiable = set_materialize_grads = save_for_forward = _nothing


def torch_build(function: Any, tensors: set[str]) -> Callable:
    """`build` of a torch.autograd.Function; `tensors` are the arguments that become tensors."""
    library = sys.modules["torch"]
    split = function.setup_context is not library.autograd.Function.setup_context

    def build(transform: Callable) -> Callable:
        def call(arguments: dict[str, Any]) -> tuple:
            inputs = [
                library.tensor(np.asarray(a)) if n in tensors else a for n, a in arguments.items()
            ]
            ctx = _Context(len(inputs))
            with library.no_grad():
                if split:
                    y = transform(function.forward)(*inputs)
                    transform(function.setup_context)(ctx, tuple(inputs), y)
                else:
                    y = transform(function.forward)(ctx, *inputs)

            def backward(dy: Any) -> Any:
                parts = dy if isinstance(dy, tuple) else (dy,)
                with library.no_grad():
                    grads = transform(function.backward)(
                        ctx, *(library.tensor(np.asarray(p)) for p in parts)
                    )
                grads = grads if isinstance(grads, tuple) else (grads,)
                return tuple(g.numpy().copy() if hasattr(g, "numpy") else g for g in grads)

            many = isinstance(y, tuple)
            shown = tuple(p.numpy().copy() for p in y) if many else y.numpy().copy()
            return shown, backward, dict

        return call

    return build


def jax_build(function: Any) -> Callable | None:
    """`build` of a jax.custom_vjp function without static arguments, run on NumPy; None for
    another function."""
    forward, backward = getattr(function, "fwd", None), getattr(function, "bwd", None)
    if forward is None or backward is None or getattr(function, "nondiff_argnums", None):
        return None

    def build(transform: Callable) -> Callable:
        def call(arguments: dict[str, Any]) -> tuple:
            y, kept = transform(forward)(*arguments.values())

            def back(dy: Any) -> Any:
                grads = transform(backward)(kept, dy)
                return tuple(None if g is None else np.array(g) for g in grads)

            return np.asarray(y), back, dict

        return call

    setattr(build, "modules", jax_on_numpy())  # noqa: B010 - functions have no such field
    return build


def jax_on_numpy() -> dict[int, Any]:
    """id of a module of jax -> what stands in for it."""
    library = sys.modules["jax"]
    found = {
        id(library): _Module({"numpy": _PROXY, "nn": _NN, "lax": _LAX, "scipy": _NN}),
        id(library.numpy): _PROXY,
        id(library.nn): _NN,
        id(library.lax): _LAX,
    }
    return found


class _NoCounterpart(CallError, AttributeError):
    """A name of jax that NumPy has nothing for; `hasattr` may ask for it."""


class _Module:
    """A module in which only a few names exist; the others say so."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.names[name]
        except KeyError:
            raise _NoCounterpart(f"jax's {name} has no counterpart in NumPy") from None


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    top = np.real(x).max(axis=axis, keepdims=True)
    out = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis=axis)


def _softmax(x: Any, axis: Any = -1) -> Any:
    return np.exp(x - _logsumexp(x, axis, True))


def _gelu(x: Any, approximate: bool = True) -> Any:
    if not approximate:
        raise CallError("the exact GELU has no counterpart in NumPy")
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


_NN = _Module(
    {
        "sigmoid": _sigmoid,
        "softmax": _softmax,
        "log_softmax": lambda x, axis=-1: x - _logsumexp(x, axis, True),
        "logsumexp": _logsumexp,
        "relu": lambda x: np.where(np.real(x) > 0, x, 0),
        "silu": lambda x: x * _sigmoid(x),
        "swish": lambda x: x * _sigmoid(x),
        "softplus": lambda x: np.maximum(x, 0) + np.log1p(np.exp(np.where(np.real(x) > 0, -x, x))),
        "gelu": _gelu,
        "tanh": np.tanh,
        "one_hot": lambda i, n, **_: np.eye(n)[np.asarray(i)],
    }
)
_LAX = _Module(
    {
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "square": lambda x: x * x,
        "stop_gradient": lambda x: x,
        "exp": np.exp,
        "log": np.log,
        "tanh": np.tanh,
        "sqrt": np.sqrt,
    }
)
