"""A forward-mode rule as a problem to check: applied to each unit tangent it gives a Jacobian, and
that a gradient. Where the entries are many, random directions stand for them.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import pytrees
from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.report import Cause, Report

__all__ = ["float_outputs", "forward_problem", "with_shapes"]

LARGEST = 2000  # entries of all leaves: one tangent each
DIRECTIONS = 8  # of each leaf, where the entries are more


def forward_problem(real: Callable, views: dict[str, Any], library: str) -> Problem:
    """A problem whose backward is the forward-mode rule, applied to each unit tangent; for more
    than LARGEST entries its leaves are the lengths of steps along random directions."""
    backend = backends.get(library)
    plain = {n: np.array(backend.read(a)) if hasattr(a, "dtype") else a for n, a in views.items()}
    leaves = [n for n, a in plain.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    many = sum(plain[n].size for n in leaves) > LARGEST
    bases = _bases(plain, leaves) if many else {}
    jacobian = _torch_jacobian if library == "torch" else _jax_jacobian

    def place(arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments that the function is given."""
        moved = {
            n: plain[n] + np.tensordot(arguments[n] - 1.0, basis, 1) for n, basis in bases.items()
        }
        return {**arguments, **moved}

    def call(arguments: dict[str, Any]):
        given = place(arguments)
        tangents = {
            n: bases[n] if many else np.eye(given[n].size).reshape(-1, *given[n].shape)
            for n in leaves
        }
        y, columns = jacobian(real, given, tangents)

        def backward(dy: Any):
            flat = np.concatenate([np.ravel(d) for d in (dy if isinstance(dy, tuple) else (dy,))])
            return {n: (columns(n) @ flat).reshape(np.shape(arguments[n])) for n in leaves}

        return (y[0] if len(y) == 1 else tuple(y)), backward, dict

    steps = {n: np.ones(len(basis)) for n, basis in bases.items()}
    remarks = ()
    if many:
        size = sum(plain[n].size for n in leaves)
        remarks = (
            (
                "note",
                f"forward mode: {DIRECTIONS} random directions of each leaf stand for its entries "
                f"({size} in all)",
            ),
        )
    label = getattr(real, "__name__", "function")
    return make_problem(label, call, {**plain, **steps}, remarks=remarks)


def _bases(plain: dict[str, Any], leaves: list[str]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(23)
    return {
        n: rng.standard_normal((min(DIRECTIONS, plain[n].size), *plain[n].shape)) for n in leaves
    }


def with_shapes(report: Report, views: dict[str, Any]) -> Report:
    """The report with the leaves' own shapes, where directions stood for entries."""
    for name, leaf in report.leaves.items():
        shape = tuple(getattr(views.get(name), "shape", leaf.shape))
        if shape != leaf.shape:
            leaf.shape = shape
            leaf.worst = []
            if leaf.verdict == "wrong":
                message = "the tangent is not the derivative along random directions"
                report.causes.append(Cause("unclassified", name, message))
    return report


def float_outputs(y: Any) -> list[Any]:
    """The float arrays of an output, in order."""
    parts = [p for _, p in pytrees.leaves(y)]
    return [p for p in parts if "float" in str(getattr(p, "dtype", ""))]


def _torch_jacobian(real: Callable, arguments: dict, tangents: dict[str, np.ndarray]):
    """(outputs, leaf -> the derivatives of all outputs along each of its tangents)."""
    import torch
    from torch.autograd import forward_ad

    def tensors():
        return {
            n: torch.tensor(a) if isinstance(a, np.ndarray) else a for n, a in arguments.items()
        }

    def columns(name: str) -> np.ndarray:
        rows = []
        for unit in tangents[name]:
            with warnings.catch_warnings(), forward_ad.dual_level():
                warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own imports
                parts = tensors()
                direction = torch.tensor(unit, dtype=parts[name].dtype)
                parts[name] = forward_ad.make_dual(parts[name], direction)
                row = []
                for out in float_outputs(real(**parts)):
                    primal, tangent = forward_ad.unpack_dual(out)
                    row.append(
                        np.zeros(primal.numel())
                        if tangent is None
                        else tangent.detach().resolve_neg().numpy().ravel().copy()
                    )
            rows.append(np.concatenate(row))
        return np.stack(rows)

    with torch.no_grad():
        outputs = [o.resolve_neg().numpy().copy() for o in float_outputs(real(**tensors()))]
    return outputs, columns


def _jax_jacobian(real: Callable, arguments: dict, tangents: dict[str, np.ndarray]):
    import jax
    import jax.numpy as jnp

    from autocnn.gradcheck.jax_functions import x64

    def columns(name: str) -> np.ndarray:
        with x64(True):
            x = jnp.asarray(arguments[name])

            def call(value):
                outputs = float_outputs(real(**{**arguments, name: value}))
                return jnp.concatenate([o.ravel() for o in outputs])

            units = jnp.asarray(tangents[name], dtype=x.dtype)
            return np.array(jax.vmap(lambda u: jax.jvp(call, (x,), (u,))[1])(units))

    with x64(True):
        given = {n: jnp.asarray(a) if n in tangents else a for n, a in arguments.items()}
        outputs = [np.array(o) for o in float_outputs(real(**given))]
    return outputs, columns
