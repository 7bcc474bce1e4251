"""`check_kernel`: a backward pass that runs in its own precision on its own device, judged by its
own rounding.

The golden gradient is the reference's in float64 on the very values that the target sees. Every
entry has an error model (`precision`). What exceeds it is noise or a mistake, and these are told
apart by persistence: move every operand by many units of roundoff and rounding errors are drawn
afresh, while a wrong formula stays wrong by the same amount.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from autocnn.gradcheck.kernels import layouts, rounding
from autocnn.gradcheck.kernels.arguments import make_setup, need_names
from autocnn.gradcheck.kernels.backends import DTYPES
from autocnn.gradcheck.kernels.judge import judge
from autocnn.gradcheck.kernels.report import KernelLeaf, KernelReport
from autocnn.gradcheck.kernels.rounding import rms
from autocnn.gradcheck.kernels.setup import OUTPUT, Mutates, Setup
from autocnn.gradcheck.report import Cause

__all__ = ["check_kernel"]

REPEATS = 3  # calls with the same arguments: sums by atomics differ from call to call


@np.errstate(all="ignore")
def check_kernel(
    target: Callable,
    reference: Callable | None = None,
    /,
    *positional: Any,
    dtype: Any = None,
    wrt: Any = None,
    library: str | None = None,
    seed: int = 0,
    timeout: float = 60.0,
    **arguments: Any,
) -> KernelReport:
    """Check the gradients of `target(**arguments)` in the precision that it computes in.

    Args:
        target: a function of NumPy arrays, torch tensors or jax arrays. It returns `(y, backward)`
            with `backward(dy) -> gradients`, or y alone where torch or jax differentiates it
            (a torch.autograd.Function, a function that applies one, a jax.custom_vjp).
        reference: the same function written plainly, taking the same arguments in float64 (and,
            to say what the dtype costs, in the target's). It may be of another library than the
            target, a torch.nn.Module (arguments that are called like its parameters, or w, b,
            gamma, beta, take their place), and in NumPy return y alone: its gradient is taken by
            the complex step, or by real differences with an error bar. None: autograd through the
            target's own forward pass, its custom rules unused (torch and jax).
        dtype: "float32", "bf16", "fp16" ...: the arguments are rounded to it. A dict gives one
            for each name. Default: the arguments' own.
        wrt: names of the arguments to differentiate. Default: every float array.
        library: "numpy", "torch" or "jax", where the arguments are NumPy arrays. Default: the
            arguments' own.
        timeout: seconds that one call may take.
        **arguments: arrays, and anything else that the function takes, by name.

    Returns a `KernelReport` whose verdict is "pass", "pass with limits" (right, with less than
    the dtype's precision or not for every layout), "wrong", or "undecidable" (rounding is as large
    as the gradient). Raises ValueError, in one line, for arguments that cannot be checked.

        report = check_kernel(layer_norm, torch_layer_norm, dtype="bf16", x=x, w=w)
        report.raise_if_wrong()
    """
    start = time.perf_counter()
    reference = need_names(target, reference, positional, arguments)
    setup = make_setup(target, reference, dtype, wrt, library, timeout, arguments)
    report = KernelReport(setup.label, setup.dtype, setup.backend.name)
    try:
        _examine(setup, report, np.random.default_rng(seed))
    except Mutates as error:
        report.causes.append(Cause("mutates-input", error.name, str(error)))
    report.seconds = time.perf_counter() - start
    return report


def _examine(setup: Setup, report: KernelReport, rng: np.random.Generator) -> None:
    dys = setup.draw(setup.shapes(), rng)
    golden = setup.golden(setup.values, dys)
    runs = [setup.run(setup.values, dys) for _ in range(REPEATS)]
    errors = rounding.unit_errors(
        setup.golden, golden, setup.values, dys, setup.leaves, DTYPES[setup.dtype][0], rng
    )
    gradients = {n: golden[n] for n in setup.leaves}
    if setup.numeric.used:
        report.notes.append(setup.numeric.note)
    lengths = rounding.sum_lengths(
        lambda v, d: {n: g for n, g in setup.golden(v, d).items() if n in setup.leaves},
        setup.values,
        dys,
        gradients,
        rng,
    )
    try:
        ruler = setup.ruler(setup.values, dys)
    except Exception as error:  # a reference that refuses the dtype is no ruler, and still golden
        ruler = {}
        report.notes.append(
            f"the reference does not run in {setup.dtype} ({type(error).__name__}): its own error "
            "there is unknown"
        )
    _compare_outputs(setup, golden, errors, ruler, runs[0], report)
    models = {}
    for name in setup.leaves:
        leaf = KernelLeaf(name, golden[name].shape, setup.dtypes[name], terms=lengths[name])
        report.leaves[name] = leaf
        models[name] = rounding.model(golden[name], errors[name], lengths[name], setup.dtype)
        models[name] = models[name].blurred(setup.numeric.errors.get(name))
        got = [run.gradients.get(name) for run in runs]
        if not _usable(setup, leaf, got, golden[name], ruler.get(name), runs[0], report):
            continue
        judge(setup, leaf, models[name], got, golden, ruler.get(name), dys, rng, report)
        models[name] = models[name].shaken(golden[name], leaf.noise)
    _one_sign(setup, dys, report)
    wrong = {c.leaf for c in report.causes}
    sound = [n for n in setup.leaves if n not in wrong and n in runs[0].gradients]
    if sound:
        layouts.check(setup, dys, runs[0], models, sound, report)


def _usable(setup, leaf: KernelLeaf, got, gradient, ruler, run, report: KernelReport) -> bool:
    """Present, of the right shape and dtype, and finite wherever the reference is."""
    name, array = leaf.name, got[0]
    if array is None:
        if np.any(gradient):
            leaf.verdict = "wrong"
            report.causes.append(
                Cause("missing", name, f"no gradient for {name}; expected shape {gradient.shape}")
            )
        else:
            leaf.notes.append("no gradient was returned, and the gradient is zero")
        return False
    if array.shape != gradient.shape:
        leaf.verdict = "wrong"
        message = f"the gradient has shape {array.shape}, {name} {gradient.shape}"
        report.causes.append(Cause("shape", name, message))
        return False
    kind = str(getattr(run.native[name], "dtype", "")).removeprefix("torch.")
    if kind != leaf.dtype:
        leaf.notes.append(f"the gradient is {kind}, {name} {leaf.dtype}")
    largest = DTYPES[setup.dtypes[name]][2]
    bad = ~np.isfinite(array)
    if not np.any(bad):
        return True
    here = np.argwhere(bad)[0]
    place = f"first at {name}[{', '.join(map(str, here))}]"
    fits = np.abs(gradient) <= largest
    if not np.any(bad & fits):
        leaf.verdict = "pass with limits"
        leaf.limits.append(f"the gradient overflows {leaf.dtype} ({place}): scale the loss down")
        return False
    if ruler is not None and not np.any(bad & np.isfinite(ruler)):
        leaf.verdict = "pass with limits"
        leaf.limits.append(
            f"{np.count_nonzero(bad)} entries are inf or nan, {place}; so are the reference's in "
            f"{setup.dtype}"
        )
        return False
    leaf.verdict = "wrong"
    message = (
        f"{np.count_nonzero(bad)} of {array.size} entries are inf or nan, {place}, where the "
        f"gradient is {gradient[tuple(here)]:.3g}: an intermediate value overflows, or divides by 0"
    )
    report.causes.append(Cause("nonfinite", name, message))
    return False


def _compare_outputs(setup, golden, errors, ruler, run, report: KernelReport) -> None:
    """The forward passes must agree before their gradients can."""
    for k, y in enumerate(run.outputs):
        key = f"{OUTPUT}{k})"
        right = golden[key]
        fits = np.isfinite(y) & np.isfinite(right)
        if not np.all(fits | ~np.isfinite(right)):
            report.limits.append(f"output {k} holds inf or nan where the reference is finite")
        model = rounding.model(right, errors[key], right.size, setup.dtype)
        error = np.where(fits, y - right, 0.0)
        floor = rms(ruler[key] - right) if key in ruler else 0.0
        tolerance = 64 * max(rms(model.sigma), floor if np.isfinite(floor) else 0.0)
        if setup.dtype == "float32":
            tolerance = max(tolerance, 2 * DTYPES["bfloat16"][0] / model.unit * rms(model.sigma))
        if rms(error) > max(tolerance, 1e-3 * rms(right)):
            where = np.unravel_index(np.argmax(np.abs(error)), error.shape)
            report.causes.append(
                Cause(
                    "forward",
                    None,
                    f"the forward passes differ: output {k} at {tuple(map(int, where))} is "
                    f"{y[where]:.6g}, the reference's {right[where]:.6g}; gradients of two "
                    "different functions cannot agree",
                )
            )


def _one_sign(setup: Setup, dys: list, report: KernelReport) -> None:
    """Long sums of one sign: where a narrow accumulator stops growing."""
    long = [leaf for leaf in report.leaves.values() if leaf.verdict == "pass" and leaf.terms >= 64]
    if not long:
        return
    positive = [setup.represent(np.abs(dy) + 0.25) for dy in dys]
    golden, run = setup.golden(setup.values, positive), setup.run(setup.values, positive)
    for leaf in long:
        right, mine = golden[leaf.name], run.gradients[leaf.name]
        fits = np.isfinite(mine) & (np.abs(right) < DTYPES[leaf.dtype][2])
        off = rms(np.where(fits, mine - right, 0.0)) / max(rms(np.where(fits, right, 0.0)), 1e-300)
        bound = DTYPES[setup.dtype][0] * leaf.terms
        if not np.any(fits) or off <= max(0.02, 16 * DTYPES[setup.dtype][0]) or off > 4 * bound:
            continue
        text = (
            f"for cotangents of one sign, sums of {leaf.terms:.0f} terms lose {off:.0%} of the "
            f"gradient: they are kept in {setup.dtype}. Accumulate in float32"
        )
        if off > 0.25:
            leaf.verdict = "wrong"
            report.causes.append(Cause("precision", leaf.name, text))
        else:
            leaf.verdict = "pass with limits"
            leaf.limits.append(text)
