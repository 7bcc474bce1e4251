"""A forward-mode rule as a problem to check: applied to each unit tangent it gives a Jacobian, and
that a gradient.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.problem import Problem

__all__ = ["forward_problem"]

LARGEST = 2000  # entries of all leaves: one tangent each


def forward_problem(real: Callable, views: dict[str, Any], library: str) -> Problem:
    """A problem whose backward is the forward-mode rule, applied to each unit tangent."""
    backend = backends.get(library)
    plain = {n: np.array(backend.read(a)) if hasattr(a, "dtype") else a for n, a in views.items()}
    leaves = [n for n, a in plain.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    size = sum(plain[n].size for n in leaves)
    if size > LARGEST:
        raise ValueError(
            f"forward mode takes one tangent an entry: {size} entries, at most {LARGEST}; "
            "give smaller arrays"
        )
    jacobian = _torch_jacobian if library == "torch" else _jax_jacobian

    def call(arguments: dict[str, Any]):
        y, columns = jacobian(real, arguments, leaves)

        def backward(dy: Any):
            return {
                n: np.tensordot(columns[n](), np.asarray(dy), axes=np.ndim(dy)).reshape(
                    np.shape(arguments[n])
                )
                for n in leaves
            }

        return y, backward, dict

    return make_problem(getattr(real, "__name__", "function"), call, plain)


def _torch_jacobian(real: Callable, arguments: dict, leaves: list[str]):
    """(y, leaf -> the derivatives of y along each entry of the leaf)."""
    import torch
    from torch.autograd import forward_ad

    def tensors():
        return {
            n: torch.tensor(a) if isinstance(a, np.ndarray) else a for n, a in arguments.items()
        }

    def columns(name: str) -> np.ndarray:
        rows = []
        for i in range(arguments[name].size):
            unit = torch.zeros(arguments[name].size, dtype=torch.tensor(arguments[name]).dtype)
            unit[i] = 1.0
            with warnings.catch_warnings(), forward_ad.dual_level():
                warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own imports
                parts = tensors()
                parts[name] = forward_ad.make_dual(parts[name], unit.reshape(parts[name].shape))
                primal, tangent = forward_ad.unpack_dual(_first(real(**parts)))
            rows.append(
                np.zeros(primal.shape) if tangent is None else tangent.resolve_neg().numpy().copy()
            )
        return np.stack(rows)

    with torch.no_grad():
        y = _first(real(**tensors())).resolve_neg().numpy().copy()
    return y, {n: lambda n=n: columns(n) for n in leaves}


def _first(y: Any) -> Any:
    return y[0] if isinstance(y, tuple) else y


def _jax_jacobian(real: Callable, arguments: dict, leaves: list[str]):
    import jax
    import jax.numpy as jnp

    x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64

    def columns(name: str) -> np.ndarray:
        with x64(True):
            x = jnp.asarray(arguments[name])

            def call(value):
                return _first(real(**{**arguments, name: value}))

            units = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
            return np.array(jax.vmap(lambda u: jax.jvp(call, (x,), (u,))[1])(units))

    with x64(True):
        y = np.array(_first(real(**{n: jnp.asarray(a) for n, a in arguments.items()})))
    return y, {n: lambda n=n: columns(n) for n in leaves}
