"""A kernel's gradients for the same cotangent and inputs in other memory layouts."""

from typing import Any

import numpy as np

from autocnn.gradcheck import layouts
from autocnn.gradcheck.kernels.report import KernelReport
from autocnn.gradcheck.kernels.rounding import Model
from autocnn.gradcheck.kernels.setup import Mutates, Result, Setup
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause

__all__ = ["check"]


def check(
    setup: Setup,
    dys: list[np.ndarray],
    first: Result,
    models: dict[str, Model],
    leaves: list[str],
    report: KernelReport,
) -> None:
    """Add a cause for each leaf whose gradient depends on a layout, a limit where it is refused.

    jax arrays have no layout that a kernel sees.
    """
    make = {"numpy": layouts.numpy_layouts, "torch": layouts.torch_layouts}.get(setup.backend.name)
    if make is None:
        return
    for what in ("dy", "the inputs"):
        names = [name for name, _ in make(_largest(setup, dys, what))]
        for k, layout in enumerate(names):
            _one(
                setup,
                dys,
                first,
                models,
                leaves,
                report,
                _change(setup, make, what, k),
                what,
                layout,
            )
    _expanded(setup, dys, models, leaves, report)


def _largest(setup: Setup, dys: list[np.ndarray], what: str) -> Any:
    arrays = dys if what == "dy" else [setup.values[n] for n in setup.leaves]
    return setup.backend.make(max(arrays, key=np.ndim), setup.dtype, setup.device)


def _change(setup: Setup, make, what: str, k: int):
    """(arguments, None) or (None, cotangents) -> the same with layout k, as `Setup.run` takes."""

    def laid_out(array):
        found = [a for _, a in make(array)]
        return found[k] if k < len(found) else array

    def change(arguments, cotangents):
        if cotangents is not None:
            return None, [laid_out(d) for d in cotangents] if what == "dy" else cotangents
        if what == "dy":
            return arguments, None
        floats = setup.dtypes
        return {n: laid_out(a) if n in floats else a for n, a in arguments.items()}, None

    return change


def _one(setup, dys, first, models, leaves, report, change, what: str, layout: str) -> None:
    try:
        run = setup.run(setup.values, dys, change)
    except Mutates as error:
        report.causes.append(Cause("mutates-input", error.name, str(error)))
        return
    except CallError as error:
        if layout == "read-only" and "read-only" in str(error):
            owner = "dy" if what == "dy" else "an argument"
            cause = Cause("mutates-input", None, f"{setup.label} writes into {owner}: {error}")
            report.causes.append(cause)
        else:
            report.limits.append(f"{what} as {layout} is refused: {error}")
        return
    for name in leaves:
        got, wanted = run.gradients.get(name), first.gradients[name]
        known = any(c.leaf == name for c in report.causes)
        if known or (got is not None and _same(got, wanted, models[name])):
            continue
        message = (
            f"with {what} as {layout} the gradient is another: memory is read as if it were "
            "contiguous. Use the strides, or make a contiguous copy first"
        )
        report.causes.append(Cause("layout", name, message))
        report.leaves[name].verdict = "wrong"


def _expanded(setup, dys, models, leaves, report: KernelReport) -> None:
    """dy of one number with strides 0, as from `y.sum().backward()`."""

    def change(arguments, cotangents):
        if cotangents is None:
            return arguments, None
        if setup.backend.name == "numpy":
            return None, [np.broadcast_to(np.ones((), d.dtype), d.shape) for d in cotangents]
        return None, [d.new_ones(()).expand(d.shape) for d in cotangents]

    ones = [np.ones_like(dy) for dy in dys]
    try:
        plain = setup.run(setup.values, ones)
    except CallError:
        return
    _one(
        setup,
        ones,
        plain,
        models,
        leaves,
        report,
        change,
        "dy",
        "one number with strides 0 (expand)",
    )


def _same(got: np.ndarray, wanted: np.ndarray, model: Model) -> bool:
    """Equal up to the order of sums, which may depend on the layout."""
    if got.shape != wanted.shape:
        return False
    fits = np.isfinite(wanted)
    error = np.where(fits, np.nan_to_num(got - wanted, nan=np.inf), 0.0)
    wanted = np.where(fits, wanted, 0.0)
    mean, _ = model.z(error)
    size = np.sqrt(np.mean(wanted**2)) if wanted.size else 0.0
    off = np.sqrt(np.mean(error**2)) if error.size else 0.0
    return mean <= 8 * np.sqrt(model.terms) and (off <= 0.05 * size or mean <= 8)
