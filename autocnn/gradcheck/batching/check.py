"""Where `batched=True` goes: the runs of a function in its library, compared and reported."""

from collections.abc import Callable
from typing import Any

from autocnn.gradcheck import random_streams
from autocnn.gradcheck.batching.compare import add_batched
from autocnn.gradcheck.batching.runs import Runs, Unsupported, numpy_runs
from autocnn.gradcheck.complex_views import IMAG, REAL, is_function, real_view
from autocnn.gradcheck.examine import examine
from autocnn.gradcheck.kernels import backends
from autocnn.gradcheck.problem import Problem
from autocnn.gradcheck.report import Report

__all__ = ["batched_function", "examine_batched"]


def examine_batched(
    problem: Problem, seed: int, surrogate: bool, quick: bool, batched: bool
) -> Report:
    """`examine`, and with `batched` what a batch of cotangents gives, of a backward pass in
    NumPy."""
    report = examine(problem, seed, surrogate, quick)
    if not batched:
        return report
    eps = getattr(report.problem, "eps", problem.eps)
    return _batched(report, lambda: numpy_runs(problem, eps), seed)


def batched_function(
    report: Report, f: Callable, arrays: dict[str, Any], wrt: Any, seed: int
) -> Report:
    """The same of a function of torch tensors or jax arrays, custom rules included."""
    library = backends.backend_of(arrays)
    library = "torch" if library == "numpy" and is_function(f) else library

    def runs() -> Runs:
        real, views = real_view(f, arrays, library)
        wanted = [wrt] if isinstance(wrt, str) else wrt
        leaves = [n for n, a in views.items() if "float" in str(getattr(a, "dtype", ""))]
        if wanted is not None:
            stems = {n: n.removesuffix(REAL).removesuffix(IMAG) for n in leaves}
            inside = tuple(w + mark for w in wanted for mark in ".[")
            leaves = [n for n in leaves if stems[n] in wanted or n.startswith(inside)]
        if library == "torch":
            from autocnn.gradcheck.batching.torch_runs import torch_runs

            return torch_runs(real, views, leaves)
        from autocnn.gradcheck.batching.jax_runs import jax_runs

        return jax_runs(real, views, leaves)

    return _batched(report, runs, seed)


def _batched(report: Report, runs: Callable[[], Runs], seed: int) -> Report:
    if not report.ok:
        report.notes.append("a batch of cotangents was not tried, since one is wrong")
        return report
    with random_streams.keep():
        try:
            found = runs()
        except Unsupported as reason:
            report.notes.append(str(reason))
            return report
        add_batched(report, found, seed)
    return report
