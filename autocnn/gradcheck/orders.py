"""Second derivatives, forward mode and complex arguments of torch and jax functions, each brought
to a function that `check` takes.

A second derivative is the first derivative of the gradient; a forward-mode rule, applied to each
unit tangent, gives a gradient as a backward rule does; a complex argument is two real ones.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.complex_views import IMAG, REAL, is_function, name_conjugates, real_view
from autocnn.gradcheck.forward_mode import float_outputs, forward_problem, with_shapes
from autocnn.gradcheck.frameworks import framework_problem
from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.report import Report

__all__ = ["check_orders"]


def check_orders(
    f: Callable, arrays: dict[str, Any], order: int, mode: str, wrt: Any, seed: int
) -> Report:
    """`check` of a torch or jax function with complex arguments, for order 1 or 2, in mode
    "reverse", "forward" or "both". Leaves of other kinds are named "x (second order)" and
    "x (forward mode)".
    """
    if order not in (1, 2):
        raise ValueError(f"order is 1 or 2, got {order!r}")
    if mode not in ("reverse", "forward", "both"):
        raise ValueError(f'mode is "reverse", "forward" or "both", got {mode!r}')
    library = backends.backend_of(arrays)
    if library == "numpy" and not is_function(f):
        raise ValueError(
            "order=2, mode= and complex arguments need a function of torch tensors or jax arrays; "
            "pass torch.tensor(x) or jax.numpy.array(x)"
        )
    library = "torch" if library == "numpy" else library
    real, views = real_view(f, arrays, library)
    reports: list[Report] = []
    if mode in ("reverse", "both"):
        report = _examine(real, views, wrt, seed)
        reports.append(name_conjugates(report, real, views, library, seed))
        if order == 2 and reports[0].ok:
            dys = _cotangents(real, views, library)
            twice = _gradient_function(real, list(dys), library)
            report = _examine(twice, {**views, **dys}, wrt, seed)
            reports.append(_suffixed(report, "second order"))
    if mode in ("forward", "both"):
        if not reports or reports[0].ok or mode == "both":
            problem = forward_problem(real, views, library)
            report = with_shapes(_run(problem, seed, not problem.remarks), views)
            reports.append(_suffixed(report, "forward mode"))
        if order == 2 and mode == "forward":
            raise ValueError('order=2 is checked in mode="reverse" or "both"')
    return _merged(reports, getattr(f, "__name__", "function"))


def _examine(f: Callable, arrays: dict, wrt: Any, seed: int) -> Report:
    return _run(framework_problem(f, arrays, _views_of(wrt, arrays)), seed)


def _run(problem: Problem | None, seed: int, named: bool = True) -> Report:
    from autocnn.gradcheck.examine import examine

    assert problem is not None
    return examine(problem, seed, name_causes=named)


def _views_of(wrt: Any, arrays: dict[str, Any]) -> Any:
    if wrt is None:
        return None
    wanted = (wrt,) if isinstance(wrt, str) else tuple(wrt)
    return tuple(
        n for n in arrays if n in wanted or n.removesuffix(REAL).removesuffix(IMAG) in wanted
    )


def _cotangents(real: Callable, views: dict[str, Any], library: str) -> dict[str, Any]:
    """A cotangent for each output: "dy", or "dy0", "dy1" ... of several."""
    rng = np.random.default_rng(17)
    backend = backends.get(library)
    outputs = float_outputs(real(**views))
    names = ["dy"] if len(outputs) == 1 else [f"dy{k}" for k in range(len(outputs))]
    return {
        n: backend.make(rng.standard_normal(tuple(y.shape)), backends.dtype_name(y.dtype), None)
        for n, y in zip(names, outputs, strict=True)
    }


def _gradient_function(real: Callable, names: list[str], library: str) -> Callable:
    """The gradient of all leaves, as a function of them and of the cotangents `names`."""

    def torch_gradient(**parts: Any) -> Any:
        import torch

        dys = [parts.pop(n) for n in names]
        leaves = [t for t in parts.values() if isinstance(t, torch.Tensor) and t.requires_grad]
        used = [
            (y, d)
            for y, d in zip(float_outputs(real(**parts)), dys, strict=True)
            if y.requires_grad
        ]
        grads = torch.autograd.grad(
            [y for y, _ in used], leaves, [d for _, d in used], create_graph=True, allow_unused=True
        )
        # 0 x leaf: a gradient without a graph counts as constant, which is what its user gets
        touch = sum(0.0 * t.sum() for t in leaves) + sum(0.0 * d.sum() for d in dys)
        return torch.cat([(g + touch).reshape(-1) for g in grads if g is not None])

    def jax_gradient(**parts: Any) -> Any:
        import jax
        import jax.numpy as jnp

        dys = [parts.pop(n) for n in names]
        traced = [n for n, a in parts.items() if "float" in str(getattr(a, "dtype", ""))]

        def call(*leaves):
            return float_outputs(real(**{**parts, **dict(zip(traced, leaves, strict=True))}))

        _, pull = jax.vjp(call, *(parts[n] for n in traced))
        return jnp.concatenate([g.ravel() for g in pull(dys)])

    found = torch_gradient if library == "torch" else jax_gradient
    found.__name__ = getattr(real, "__name__", "function")
    return found


def _suffixed(report: Report, what: str) -> Report:
    """The report with its leaves called "x (second order)"."""
    for leaf in report.leaves.values():
        leaf.name = f"{leaf.name} ({what})"
    report.leaves = {leaf.name: leaf for leaf in report.leaves.values()}
    report.causes = [
        c._replace(leaf=None if c.leaf is None else f"{c.leaf} ({what})") for c in report.causes
    ]
    report.arrays = {f"{n} ({what})": a for n, a in report.arrays.items()}
    return report


def _merged(reports: list[Report], label: str) -> Report:
    first = reports[0]
    first.label = label
    for other in reports[1:]:
        kind = next(iter(other.leaves)).rpartition(" (")[2].rstrip(")")
        if first.ok and not other.ok:
            text = {
                "second order": "right once, wrong twice: backward is not differentiable as it "
                "stands (values saved without a graph, detached, or changed in place)",
                "forward mode": "the forward-mode and the backward rule are not adjoint: the "
                "forward-mode rule is wrong",
            }[kind]
            first.notes.append(text)
        elif not first.ok and other.ok and kind == "forward mode":
            first.notes.append(
                "the forward-mode and the backward rule are not adjoint: the backward rule is wrong"
            )
        first.leaves |= other.leaves
        first.causes += other.causes
        first.notes += [n for n in other.notes if n not in first.notes]
        first.seconds += other.seconds
    return first
