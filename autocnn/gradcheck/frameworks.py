"""Functions of torch tensors and of jax arrays, checked like any other: NumPy goes in and comes
out.
"""

from typing import Any

import numpy as np

from autocnn.gradcheck.adapters.arguments import TARGETS
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.source.frameworks import jax_build, torch_build

__all__ = ["framework_problem"]


def framework_problem(f: Any, arrays: dict[str, Any], wrt: Any = None) -> Problem | None:
    """A Problem when f is a torch.autograd.Function or any argument is a torch tensor or a jax
    array; None otherwise.
    """
    homes = {type(a).__module__.split(".")[0] for a in arrays.values()}
    custom = isinstance(f, type) and any(
        c.__module__.startswith("torch.autograd") for c in f.__mro__
    )
    if custom or "torch" in homes:
        return _torch(f, arrays, custom, wrt)
    if homes & {"jax", "jaxlib"}:
        return _jax(f, arrays, wrt)
    return None


def _torch(f: Any, arrays: dict[str, Any], custom: bool, wrt: Any) -> Problem:
    import torch

    function = f.apply if custom else f
    tensors = {
        n: isinstance(a, torch.Tensor) or (custom and isinstance(a, np.ndarray))
        for n, a in arrays.items()
    }
    plain = {
        n: a.detach().resolve_neg().numpy() if isinstance(a, torch.Tensor) else a
        for n, a in arrays.items()
    }

    def call(arguments):
        inputs = {}
        for name, value in arguments.items():
            if tensors[name]:
                value = _tensor(value)
                value.requires_grad_(value.dtype.is_floating_point)
            inputs[name] = value
        y = function(*inputs.values()) if custom else function(**inputs)
        outputs = list(y) if isinstance(y, tuple | list) else [y]
        outputs = [o for o in outputs if isinstance(o, torch.Tensor) and o.requires_grad]
        leaves = {n: t for n, t in inputs.items() if tensors[n] and t.requires_grad}

        def backward(dy):
            parts = dy if isinstance(dy, tuple) else (dy,)
            grads = torch.autograd.grad(
                outputs,
                list(leaves.values()),
                [
                    torch.zeros_like(o) if d is None else _tensor(d)
                    for o, d in zip(outputs, parts, strict=True)
                ],
                retain_graph=True,
                allow_unused=True,
            )
            return {
                n: None if g is None else g.detach().resolve_neg().numpy().copy()
                for n, g in zip(leaves, grads, strict=True)
            }

        flat = tuple(o.detach().resolve_neg().numpy().copy() for o in outputs)
        return flat[0] if len(flat) == 1 else flat, backward, dict

    label = getattr(f, "__name__", "torch function")
    optional = frozenset(n for n in plain if n.lower() in TARGETS)
    tensor_names = {n for n, is_tensor in tensors.items() if is_tensor}
    build = torch_build(f, tensor_names) if custom else None
    return make_problem(label, call, plain, None, (), wrt, optional=optional, build=build)


def _tensor(array: Any):
    """A tensor of an array's values, strides included where they are not C order's."""
    import torch

    array = np.asarray(array)
    if array.flags.c_contiguous or any(s < 0 for s in array.strides):
        return torch.tensor(array)
    if array.size and not any(array.strides):
        return torch.tensor(array.flat[0]).expand(array.shape)
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


def _jax(f: Any, arrays: dict[str, Any], wrt: Any) -> Problem:
    import jax

    x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    plain = {
        n: np.array(a) if type(a).__module__.startswith("jax") else a for n, a in arrays.items()
    }
    traced = [n for n, a in plain.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]

    def call(arguments):
        with x64(True):
            fixed = {n: a for n, a in arguments.items() if n not in traced}
            y, pull = jax.vjp(
                lambda *leaves: f(**dict(zip(traced, leaves, strict=True)), **fixed),
                *(arguments[n] for n in traced),
            )

        def backward(dy):
            with x64(True):
                grads = pull(jax.numpy.asarray(dy))
            return {n: np.array(g) for n, g in zip(traced, grads, strict=True)}

        return np.array(y), backward, dict

    label = getattr(f, "__name__", "jax function")
    return make_problem(label, call, plain, None, (), wrt, build=jax_build(f))
