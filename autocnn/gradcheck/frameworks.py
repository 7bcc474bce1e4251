"""Functions of torch tensors and of jax arrays, checked like any other: NumPy goes in and comes
out.

Their outputs may be trees. A function that returns `(y, backward)` is checked by its own backward;
one that returns y alone by the library's, custom rules included.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import devices, pytrees
from autocnn.gradcheck.adapters.arguments import TARGETS
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.source.frameworks import jax_build, torch_build

__all__ = ["framework_problem", "own_backward", "x64"]


def framework_problem(f: Any, arrays: dict[str, Any], wrt: Any = None) -> Problem | None:
    """A Problem when f is a torch.autograd.Function or any argument is a torch tensor or a jax
    array; None otherwise.
    """
    homes = {type(a).__module__.split(".")[0] for a in arrays.values()}
    homes |= {"torch" for a in arrays.values() if devices.is_tensor(a)}
    custom = isinstance(f, type) and any(
        c.__module__.startswith("torch.autograd") for c in f.__mro__
    )
    if custom or "torch" in homes:
        return _torch(f, arrays, custom, wrt)
    if homes & {"jax", "jaxlib"}:
        return _jax(f, arrays, wrt)
    return None


def own_backward(result: Any) -> bool:
    """Is it (y, backward), or (y1, y2 ..., backward)?"""
    return isinstance(result, tuple) and len(result) > 1 and callable(result[-1])


def _with_own_backward(result: tuple, to_array: Callable, to_numpy: Callable) -> tuple:
    """(y, backward, held) in NumPy of a function that returned its own backward."""
    *outputs, backward = result
    y = outputs[0] if len(outputs) == 1 else tuple(outputs)

    def back(dy: Any) -> Any:
        return pytrees.tree_map(to_numpy, backward(pytrees.tree_map(to_array, dy)))

    return pytrees.tree_map(to_numpy, y), back, dict


def _torch(f: Any, arrays: dict[str, Any], custom: bool, wrt: Any) -> Problem:
    import torch

    function = f.apply if custom else f
    label = getattr(f, "__name__", "torch function")
    device = devices.common_device(arrays, label)
    devices.refuse_mixture(arrays, wrt, custom)
    tensors = {
        n: isinstance(a, torch.Tensor) or (custom and isinstance(a, np.ndarray))
        for n, a in arrays.items()
    }
    plain = {n: devices.to_numpy(a) for n, a in arrays.items()}
    leaves: tuple[str, ...] = ()

    def call(arguments):
        inputs = {}
        for name, value in arguments.items():
            if tensors[name]:
                value = devices.to_tensor(value, device)
                value.requires_grad_(name in leaves)
            inputs[name] = value
        y = function(*inputs.values()) if custom else function(**inputs)
        devices.write_back(inputs, arguments)
        if own_backward(y):
            return _with_own_backward(
                pytrees.tree_map(devices.detached, y),
                lambda d: devices.to_tensor(d, device),
                devices.to_numpy,
            )
        outputs = [o for _, o in pytrees.leaves(y) if isinstance(o, torch.Tensor)]
        outputs = [o for o in outputs if o.requires_grad]
        devices.refuse_other(outputs, device, label)
        mine = {n: t for n, t in inputs.items() if tensors[n] and t.requires_grad}

        def backward(dy):
            parts = dy if isinstance(dy, tuple) else (dy,)
            # an output without cotangent is left out, as in torch's own backward
            used = [(o, d) for o, d in zip(outputs, parts, strict=True) if d is not None]
            grads = torch.autograd.grad(
                [o for o, _ in used],
                list(mine.values()),
                [devices.to_tensor(d, device) for _, d in used],
                retain_graph=True,
                allow_unused=True,
            )
            return {n: devices.to_numpy(g) for n, g in zip(mine, grads, strict=True)}

        flat = tuple(devices.to_numpy(o) for o in outputs)
        if not flat:
            raise CallError(
                f"{label}: no output has a grad_fn: it depends on no differentiated argument, or "
                "was detached or computed under torch.no_grad"
            )
        return flat[0] if len(flat) == 1 else flat, backward, dict

    optional = frozenset(n for n in plain if n.lower() in TARGETS)
    tensor_names = {n for n, is_tensor in tensors.items() if is_tensor}
    problem = make_problem(
        label,
        call,
        plain,
        None,
        (),
        wrt,
        optional=optional,
        build=torch_build(f, tensor_names) if custom else None,
        remarks=devices.narrow_remarks(arrays, label),
        passes_none=True,
    )
    leaves = tuple(n for n in problem.leaves if tensors[n])
    return problem


def x64(on: bool) -> Any:
    """jax with 64-bit numbers, as a context."""
    import jax

    return (jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64)(on)


class _Own(Exception):
    """Raised out of a trace when the function turns out to return its own backward."""


def _jax(f: Any, arrays: dict[str, Any], wrt: Any) -> Problem:
    import jax
    import jax.numpy as jnp

    label = getattr(f, "__name__", "jax function")
    plain = {n: devices.jax_to_numpy(a) for n, a in arrays.items()}
    traced = [n for n, a in plain.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    if wrt is not None:
        wanted = (wrt,) if isinstance(wrt, str) else tuple(wrt)
        traced = [n for n in traced if n in wanted or n.startswith(tuple(_inside(wanted)))]

    explicit: list[bool] = []  # not empty once f is known to return its own backward

    def closure(arguments):
        inputs = {n: jnp.asarray(a) if n in traced else a for n, a in arguments.items()}
        y, back, held = _with_own_backward(f(**inputs), _asarray, devices.jax_to_numpy)
        return y, _in_x64(back), held

    def call(arguments):
        def outputs(*leaves):
            y = f(**{**arguments, **dict(zip(traced, leaves, strict=True))})
            if own_backward(y):
                raise _Own
            parts = [jnp.asarray(p) for _, p in pytrees.leaves(y) if p is not None]
            return [p for p in parts if jnp.issubdtype(p.dtype, jnp.inexact)]

        with x64(True):
            if explicit:
                return closure(arguments)
            try:
                ys, pull = jax.vjp(outputs, *(arguments[n] for n in traced))
            except _Own:
                explicit.append(True)
                return closure(arguments)

        def backward(dy):
            parts = dy if isinstance(dy, tuple) else (dy,)
            with x64(True):
                grads = pull(
                    [
                        jnp.zeros_like(y) if d is None else jnp.asarray(d)
                        for y, d in zip(ys, parts, strict=True)
                    ]
                )
            return {n: np.array(g) for n, g in zip(traced, grads, strict=True)}

        flat = tuple(np.array(y) for y in ys)
        return flat[0] if len(flat) == 1 else flat, backward, dict

    return make_problem(
        label,
        call,
        plain,
        None,
        (),
        wrt,
        build=jax_build(f),
        remarks=devices.narrow_remarks(arrays, label),
    )


def _in_x64(function: Callable) -> Callable:
    def wide(dy: Any) -> Any:
        with x64(True):
            return function(dy)

    return wide


def _asarray(value: Any) -> Any:
    import jax.numpy as jnp

    return value if value is None else jnp.asarray(value)


def _inside(names: tuple[str, ...]) -> list[str]:
    return [n + mark for n in names for mark in ".["]
