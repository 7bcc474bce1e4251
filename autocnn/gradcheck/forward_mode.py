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
#: (arguments, tangents of each leaf) -> (outputs, leaf -> the derivatives of all outputs along each
#: of its tangents)
Jacobian = Callable[[dict, dict[str, np.ndarray]], tuple]

DIRECTIONS = 8  # of each leaf, where the entries are more


def forward_problem(real: Callable, views: dict[str, Any], library: str) -> Problem:
    """A problem whose backward is the forward-mode rule, applied to each unit tangent; for more
    than LARGEST entries its leaves are the lengths of steps along random directions."""
    backend = backends.get(library)
    plain = {n: np.array(backend.read(a)) if hasattr(a, "dtype") else a for n, a in views.items()}
    leaves = [n for n, a in plain.items() if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    many = sum(plain[n].size for n in leaves) > LARGEST
    bases = _bases(plain, leaves) if many else {}
    jacobian = _torch_jacobian(real) if library == "torch" else _jax_jacobian(real, leaves)

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
        y, columns = jacobian(given, tangents)
        known: dict[str, np.ndarray] = {}  # the same for every dy

        def backward(dy: Any):
            flat = np.concatenate([np.ravel(d) for d in (dy if isinstance(dy, tuple) else (dy,))])
            known.update({n: columns(n) for n in leaves if n not in known})
            return {n: (known[n] @ flat).reshape(np.shape(arguments[n])) for n in leaves}

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
    """The real and complex float arrays of an output, in order."""
    parts = [p for _, p in pytrees.leaves(y)]
    return [p for p in parts if _kind(p).startswith(("float", "bfloat", "complex"))]


def _kind(array: Any) -> str:
    return str(getattr(array, "dtype", "")).removeprefix("torch.")


def _torch_jacobian(real: Callable) -> Jacobian:
    return lambda arguments, tangents: _torch_columns(real, arguments, tangents)


def _torch_columns(real: Callable, arguments: dict, tangents: dict[str, np.ndarray]):
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
        outputs = [
            o.resolve_conj().resolve_neg().numpy().copy() for o in float_outputs(real(**tensors()))
        ]
    return outputs, columns


def _jax_jacobian(real: Callable, leaves: list[str]) -> Jacobian:
    import jax
    import jax.numpy as jnp

    from autocnn.gradcheck.compiling import Compiled, stamp
    from autocnn.gradcheck.jax_functions import x64

    kept: dict[str, tuple] = {}  # by the values of the arguments that are not differentiated

    def functions(fixed: dict[str, Any]) -> tuple[Compiled, dict[str, Compiled]]:
        """The outputs, and the derivatives along tangents of each leaf."""

        def outputs(values: dict) -> list:
            return float_outputs(real(**{**fixed, **values}))

        def pushed(name: str, values: dict, units: Any) -> Any:
            def call(value):
                return jnp.concatenate([o.ravel() for o in outputs({**values, name: value})])

            return jax.vmap(lambda u: jax.jvp(call, (values[name],), (u,))[1])(units)

        push = {n: Compiled(lambda v, u, n=n: pushed(n, v, u)) for n in leaves}
        return Compiled(outputs), push

    def jacobian(arguments: dict, tangents: dict[str, np.ndarray]) -> tuple:
        fixed = {n: a for n, a in arguments.items() if n not in leaves}
        key = repr([(n, stamp(a)) for n, a in fixed.items()])
        if key not in kept:
            kept[key] = functions(fixed)
        forward, push = kept[key]
        with x64(True):
            values = {n: jnp.asarray(arguments[n]) for n in leaves}
            ys = [np.array(o) for o in forward(values)]

        def columns(name: str) -> np.ndarray:
            with x64(True):
                units = jnp.asarray(tangents[name], dtype=values[name].dtype)
                return np.array(push[name](values, units))

        return ys, columns

    return jacobian
