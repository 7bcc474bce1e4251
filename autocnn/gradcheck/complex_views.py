"""Complex arguments of torch and jax functions as pairs of real ones, and the name of a missing
conjugate.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck import pytrees
from autocnn.gradcheck.leaves import make_problem
from autocnn.gradcheck.problem import CallError, Problem
from autocnn.gradcheck.report import Cause, Report

__all__ = ["IMAG", "REAL", "is_function", "name_conjugates", "real_view"]

REAL, IMAG = ".real", ".imag"


def is_function(f: Any) -> bool:
    """Is f a torch.autograd.Function?"""
    return isinstance(f, type) and any(c.__module__.startswith("torch.autograd") for c in f.__mro__)


def real_view(f: Callable, arrays: dict[str, Any], library: str) -> tuple[Callable, dict]:
    """f of real arguments: a complex one becomes x.real and x.imag, a complex output its parts in
    a last axis of length 2. An output that is complex since a real argument was given complex
    numbers (the complex step) stays as it is.
    """
    positional = is_function(f)
    function = f.apply if positional else f
    names = list(arrays)
    complex_names = [n for n, a in arrays.items() if _is_complex(a)]
    views: dict[str, Any] = {}
    for name, a in arrays.items():
        if library == "torch" and isinstance(a, np.ndarray):
            a = _torch_of(a)
        if name in complex_names:
            views[name + REAL], views[name + IMAG] = a.real, a.imag
        else:
            views[name] = a

    def real(**parts: Any) -> Any:
        full = {n: _joined(parts, n, library) if n in complex_names else parts[n] for n in names}
        y = function(*full.values()) if positional else function(**full)
        if any(_is_complex(v) for n, v in full.items() if n not in complex_names):
            return y
        if pytrees.is_container(y):
            return tuple(_split(v, library) for _, v in pytrees.leaves(y))
        return _split(y, library)

    real.__name__ = getattr(f, "__name__", "function")
    return real, views


def _is_complex(a: Any) -> bool:
    return "complex" in str(getattr(a, "dtype", ""))


def _torch_of(a: np.ndarray) -> Any:
    import torch

    return torch.tensor(a)


def _joined(parts: dict, name: str, library: str) -> Any:
    a, b = parts[name + REAL], parts[name + IMAG]
    if library == "torch":
        import torch

        return torch.complex(a, b)
    import jax

    return jax.lax.complex(a, b)


def _split(y: Any, library: str) -> Any:
    if not _is_complex(y):
        return y
    if library == "torch":
        import torch

        return torch.view_as_real(y.resolve_conj())
    import jax.numpy as jnp

    return jnp.stack([y.real, y.imag], -1)


def name_conjugates(report: Report, real, views, library: str, seed: int) -> Report:
    """Name a missing conjugate: the rule is right once one operand is conjugated on its way in."""
    bases = [n.removesuffix(IMAG) for n in views if n.endswith(IMAG)]
    if report.ok or not bases or library != "torch":
        return report
    from autocnn.gradcheck.examine import examine

    wrong = {n for n, leaf in report.leaves.items() if leaf.verdict == "wrong"}
    for count in (1, 2):
        for chosen in itertools.combinations([*bases, "dy", "the result"], count):
            try:
                again = examine(_conjugated(real, views, chosen), seed, name_causes=False)
            except (CallError, ValueError, RuntimeError):
                continue
            if all(again.leaves[n].verdict == "agree" for n in wrong if n in again.leaves):
                leaves = list(dict.fromkeys(n.removesuffix(REAL).removesuffix(IMAG) for n in wrong))
                text = f"right once {' and '.join(chosen)} is conjugated: a conj() is missing"
                report.causes = [c for c in report.causes if c.leaf not in wrong]
                report.causes += [
                    Cause("conjugate", n, f"{text} (or one too many)") for n in leaves
                ]
                return report
    return report


def _conjugated(real: Callable, views: dict[str, Any], chosen: tuple[str, ...]) -> Problem:
    """The same forward; the backward of a call on conjugated operands."""
    plain = {
        n: a.detach().resolve_neg().numpy() if hasattr(a, "detach") else a for n, a in views.items()
    }

    def call(arguments: dict[str, Any]):
        import torch

        def run(change: bool):
            tensors = {}
            for n, a in arguments.items():
                if isinstance(a, np.ndarray):
                    flip = change and n.endswith(IMAG) and n.removesuffix(IMAG) in chosen
                    a = torch.tensor(-a if flip else a)
                    a.requires_grad_(a.is_floating_point())
                tensors[n] = a
            return tensors, real(**tensors)

        y = run(False)[1].detach().resolve_neg().numpy().copy()

        def backward(dy: np.ndarray):
            tensors, out = run(True)
            v = torch.tensor(np.array(dy))
            if "dy" in chosen:
                v = v * torch.tensor([1.0, -1.0], dtype=v.dtype)
            leaves = {n: t for n, t in tensors.items() if hasattr(t, "requires_grad")}
            leaves = {n: t for n, t in leaves.items() if t.requires_grad}
            grads = torch.autograd.grad(out, list(leaves.values()), v, allow_unused=True)
            flip = "the result" in chosen
            return {
                n: None
                if g is None
                else (-g if flip and n.endswith(IMAG) else g).resolve_neg().numpy()
                for n, g in zip(leaves, grads, strict=True)
            }

        return y, backward, dict

    return make_problem("conjugated", call, plain)
