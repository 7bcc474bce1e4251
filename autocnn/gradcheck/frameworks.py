"""Functions of torch tensors and of jax arrays, checked like any other: NumPy goes in and comes
out.

Their outputs may be trees. A function that returns `(y, backward)` is checked by its own backward;
one that returns y alone by the library's, custom rules included.
"""

from typing import Any

import numpy as np

from autocnn.gradcheck import devices, pytrees
from autocnn.gradcheck.adapters.arguments import TARGETS
from autocnn.gradcheck.adapters.functions import closure
from autocnn.gradcheck.adapters.results import returns_gradients
from autocnn.gradcheck.jax_functions import jax_problem
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.positional import function_of
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.source.frameworks import torch_build

__all__ = ["framework_problem"]


def framework_problem(f: Any, arrays: dict[str, Any], wrt: Any = None) -> Problem | None:
    """A Problem when f is a torch.autograd.Function or a custom rule or jit of jax, or any
    argument is a torch tensor or a jax array; None otherwise.
    """
    f = function_of(f)
    homes = {type(a).__module__.split(".")[0] for a in arrays.values()}
    homes |= {"torch" for a in arrays.values() if devices.is_tensor(a)}
    custom = isinstance(f, type) and any(
        c.__module__.startswith("torch.autograd") for c in f.__mro__
    )
    if custom or "torch" in homes:
        if not custom and returns_gradients(f, arrays):
            devices.refuse_mixture(arrays, wrt, custom)
            return closure(f, arrays, wrt)
        return _torch(f, arrays, custom, wrt)
    if homes & {"jax", "jaxlib"} or devices.is_jax_function(f):
        return jax_problem(f, arrays, wrt)
    return None


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

        backward.outputs = outputs  # type: ignore[attr-defined]
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
