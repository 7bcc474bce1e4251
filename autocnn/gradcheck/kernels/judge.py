"""The verdict on one leaf of a kernel: rounding, a kink, less precision than its dtype has, a
mistake, or too little gradient to tell.
"""

import numpy as np

from autocnn.gradcheck.kernels import naming, rounding
from autocnn.gradcheck.kernels.backends import DTYPES
from autocnn.gradcheck.kernels.report import KernelLeaf
from autocnn.gradcheck.kernels.rounding import Model, rms
from autocnn.gradcheck.kernels.setup import Setup
from autocnn.gradcheck.report import Cause

__all__ = ["judge"]

POINTS = 6  # nearby points at which persistence is measured
PERSISTS = 0.5  # correlation of errors at nearby points: 0 for noise, 1 for a mistake
STEADY = 0.9  # correlation that makes a mistake of an error within rounding
BLIND = 6.0  # a gradient below this many sigmas cannot be told from none
#: roundoffs of matrix units that take float32 operands
REDUCED = (("TF32", 2.0**-11), ("bfloat16", 2.0**-8))
LONG = 32  # terms of a sum that is worth a wider accumulator
LOSS = 3.0  # errors of the reference, from which its digits are missed
LOST = 8.0  # roundoffs, from which they are missed whatever the reference does
NOISE = 1e-4  # of a gradient: what differs by more from call to call is no order of sums
RMS_REDUCED = 3.0  # roundings of reduced precision in one product


def judge(setup, leaf: KernelLeaf, model: Model, got, golden, ruler, dys, rng, report) -> None:
    """The verdict on one leaf whose gradient is there and finite."""
    right = golden[leaf.name]
    error = got[0] - right
    size = rms(right)
    scale = max(map(rms, dys))
    if size <= 1e-12 * scale:  # zero for every cotangent: what is left is rounding of dy itself
        model = model._replace(sigma=np.hypot(model.sigma, 8 * model.unit * scale))
    leaf.relative = rms(error) / size if size else float(rms(error) > 0)
    if ruler is not None and np.all(np.isfinite(ruler)):
        leaf.ruler = rms(ruler - right) / size if size else 0.0
        worse = min(16.0, model.z(ruler - right)[0] / 2)
        if rms(ruler - right) > 4 * size:  # nothing but rounding is left of it
            model = model._replace(sigma=np.hypot(model.sigma, 4 * rms(ruler - right)))
        if worse > 1:
            model = model._replace(sigma=model.sigma * worse)
    leaf.rms_z, leaf.max_z = model.z(error)
    where = np.unravel_index(np.argmax(np.abs(error)), error.shape)
    leaf.worst = tuple(map(int, where)), float(got[0][where]), float(right[where])
    if len(got) > 1:
        noisy = _with_noise(leaf, model, got, right, report)
        if noisy is None:
            return
        model = noisy
    if _steady(setup, leaf, model, got[0], right, golden, dys, rng, report):
        return
    if model.allows(error) or _at_kinks(setup, leaf, model, error, golden, dys, rng):
        _can_it_fail(setup, leaf, model, right, dys, golden, rng, report)
        _beside_the_ruler(setup, leaf, model)
        return
    if setup.dtype == "float32" and setup.backend.name != "numpy":
        precise = setup.run(setup.values, dys, precise=True).gradients[leaf.name]
        if model.allows(precise - right):
            leaf.verdict = "pass with limits"
            leaf.limits.append("products of reduced precision: right once they are set to highest")
            return
    _noise_or_mistake(setup, leaf, model, got[0], right, golden, dys, rng, report)


def _beside_the_ruler(setup: Setup, leaf: KernelLeaf, model: Model) -> None:
    """Within what sums in the dtype may lose, and still several times as far off as the reference
    in the same dtype, which keeps them in a wider one, or as one rounding of the result."""
    if setup.dtype not in ("bfloat16", "float16") or leaf.verdict != "pass" or leaf.ruler is None:
        return
    bound = min(LOSS * max(leaf.ruler, model.unit / 2), LOST * model.unit)
    if leaf.terms < LONG or leaf.relative <= bound:
        return
    leaf.verdict = "pass with limits"
    leaf.limits.append(
        f"precision: {leaf.relative:.1g} of the gradient is lost, the reference loses "
        f"{leaf.ruler:.1g} in {setup.dtype}: sums of {leaf.terms:.0f} terms, or a value "
        "on the way, are kept in a narrow dtype; accumulate in float32"
    )


def _steady(setup, leaf, model: Model, mine, right, golden, dys, rng, report) -> bool:
    """A mistake smaller than rounding's allowance, found since it is the same at every point, and
    named. Right kernels stay well below one sigma, or their errors are drawn afresh.
    """
    error = mine - right
    if not (leaf.rms_z > 1 and model.allows(error)) or right.size < 8:
        return False
    if _persistence(setup, leaf.name, model, error, dys, rng) < STEADY:
        return False
    cause = naming.name(setup, leaf, model, mine, golden, dys, rng)
    if cause.code not in ("scale", "axis-scale", "missing-path", "wrong-operand", "additive"):
        return False
    if cause.factor is not None and abs(cause.factor - 1) <= 3 * model.unit:
        return False  # results that are truncated where they should be rounded
    leaf.verdict = "wrong"
    report.causes.append(cause)
    return True


def _with_noise(leaf: KernelLeaf, model: Model, got, right, report) -> Model | None:
    """Same arguments, same gradient, up to the order of sums: the model with what differs from call
    to call; None where that is more than noise, which is a mistake."""
    spread = np.max(got, axis=0) - np.min(got, axis=0)
    if not np.any(spread):
        return model
    mean, _ = model.z(spread)
    if mean <= 8 + 4 * np.sqrt(leaf.terms) and rms(spread) <= 0.1 * rms(right):
        leaf.notes.append(
            f"calls differ by up to {np.max(spread):.1g}, within rounding: sums in another order "
            "each time (atomics)"
        )
        return model
    entries = np.maximum(np.abs(right), rms(right))
    relative = spread / np.where(entries > 0, entries, 1.0)
    if np.any(right) and np.max(relative) <= NOISE:
        leaf.verdict = "pass with limits"
        leaf.limits.append(
            f"calls with the same arguments differ by {np.max(relative):.1g} of the gradient: "
            "noise, as of sums in varying order (atomics); digits below it were not compared"
        )
        leaf.noise = rms(relative)
        return model.shaken(right, leaf.noise)
    leaf.verdict = "wrong"
    message = (
        f"two calls with the same arguments differ by {rms(spread) / max(rms(right), 1e-300):.1g} "
        f"of the gradient, {mean:.1g} x rounding: updates lost in a race, or memory that is not "
        "initialised"
    )
    report.causes.append(Cause("nondeterministic", leaf.name, message))
    return None


def _at_kinks(setup, leaf, model: Model, error, golden, dys, rng) -> bool:
    """True when every entry beyond its model lies at a tie or kink that rounding can cross."""
    out = np.abs(error) > rounding.MAX_Z / 2 * model.sigma
    if not np.any(out) or np.mean(out) > 0.2:
        return False
    seen = np.zeros(error.shape)
    for _ in range(32):
        near = {
            n: rounding.perturbed(v, 2 * model.unit, rng) if n in setup.leaves else v
            for n, v in setup.values.items()
        }
        moved = np.abs(setup.golden(near, dys)[leaf.name] - golden[leaf.name])
        seen = np.maximum(seen, np.nan_to_num(moved, posinf=0.0))
    if not np.all(seen[out] >= 0.45 * np.abs(error[out])):
        return False
    if not model.allows(np.where(out, 0.0, error)):
        return False
    leaf.notes.append(
        f"{np.count_nonzero(out)} of {out.size} entries lie at a kink or a tie that rounding "
        "crosses; there either side is right"
    )
    return True


def _can_it_fail(setup, leaf, model: Model, right, dys, golden, rng, report) -> None:
    """A comparison that no gradient could fail decides nothing: ask again with short sums."""
    if model.z(right)[0] > BLIND:
        return
    if rms(right) <= 1e-9 * rms(model.sigma) / model.unit:
        leaf.notes.append("the gradient is zero up to rounding, and so is yours")
        return
    if _right_when_short(setup, leaf, dys, rng):
        leaf.verdict = "pass with limits"
        leaf.limits.append(
            f"{leaf.terms:.0f} terms cancel until rounding hides the gradient; right for "
            "cotangents with few entries"
        )
        return
    leaf.verdict = "undecidable"
    leaf.notes.append(
        f"rounding in {setup.dtype} is as large as the gradient at these values: give others "
        "(larger or less cancelling), or a wider dtype"
    )


def _right_when_short(setup, leaf, dys, rng) -> bool:
    """Is the gradient right for cotangents that leave about one term in each sum?"""
    for _ in range(3):
        few = rounding.shrunk(dys, leaf.terms, rng)
        right = setup.golden(setup.values, few)
        if not np.any(right[leaf.name]):
            continue
        unit = DTYPES[setup.dtype][0]
        errors = rounding.unit_errors(
            setup.golden, right, setup.values, few, setup.leaves, unit, rng
        )
        model = rounding.model(right[leaf.name], errors[leaf.name], leaf.terms, setup.dtype)
        got = setup.run(setup.values, few).gradients.get(leaf.name)
        if got is None or not model.allows(got - right[leaf.name]):
            return False
        if model.z(right[leaf.name])[0] <= BLIND:
            return False
    return True


def _persistence(setup: Setup, name: str, model: Model, error, dys, rng, factor=1.0) -> float:
    """Correlation of the errors here and at nearby points, many units of roundoff away."""
    step = {"float32": 2.0**-8, "float16": 2.0**-7, "bfloat16": 2.0**-5}.get(setup.dtype, 2.0**-20)
    weight = np.hypot(model.sigma, 1e-3 * rms(model.sigma))
    samples = [error / weight]
    for _ in range(POINTS):
        values = setup.rounded(
            {
                n: rounding.perturbed(v, step, rng) if n in setup.leaves else v
                for n, v in setup.values.items()
            }
        )
        near = [setup.represent(rounding.perturbed(dy, step, rng)) for dy in dys]
        got = setup.run(values, near).gradients.get(name)
        if got is None or not np.all(np.isfinite(got)):
            continue
        samples.append((got - factor * setup.golden(values, near)[name]) / weight)
    total, power = np.sum(samples, axis=0), sum(float(np.sum(s * s)) for s in samples)
    count = len(samples)
    if count < 2 or not power:
        return 1.0
    return (float(np.sum(total * total)) - power) / ((count - 1) * power)


def _noise_or_mistake(setup, leaf, model: Model, mine, right, golden, dys, rng, report) -> None:
    error = mine - right
    factor = float(np.vdot(mine, right) / np.vdot(right, right)) if np.any(right) else 1.0
    persists = _persistence(setup, leaf.name, model, error, dys, rng)
    if persists < PERSISTS:
        _judge_noise(setup, leaf, model, error, right, report)
        return
    if setup.dtype == "float32" and abs(factor - 1) <= 2.0**-10:
        rest = mine - factor * right
        again = _persistence(setup, leaf.name, model, rest, dys, rng, factor)
        if again < PERSISTS and leaf.relative < 0.01:
            leaf.verdict = "pass with limits"
            leaf.limits.append(f"operands are truncated: all entries are {factor - 1:.1e} off")
            return
    cause = naming.name(setup, leaf, model, mine, golden, dys, rng)
    bound = leaf.terms * model.unit
    if (
        cause.code in ("unclassified", "scale")
        and leaf.relative <= 4 * bound
        and _right_when_short(setup, leaf, dys, rng)
    ):
        text = (
            f"sums of {leaf.terms:.0f} terms lose {leaf.relative:.1g} of the gradient, right "
            f"for short ones: they are kept in {setup.dtype}; accumulate in a wider dtype"
        )
        if leaf.relative < 0.05:
            leaf.verdict = "pass with limits"
            leaf.limits.append(text)
            return
        cause = Cause("precision", leaf.name, text)
    leaf.verdict = "wrong"
    report.causes.append(cause)


def _judge_noise(setup, leaf, model: Model, error, right, report) -> None:
    """Errors that are drawn afresh at each point: less precision than the dtype has, or garbage."""
    mean, _ = model.z(error)
    unit = model.unit * mean
    if setup.dtype in ("float32", "float64"):
        for what, u in REDUCED:
            if unit <= RMS_REDUCED * u:
                leaf.verdict = "pass with limits"
                leaf.limits.append(
                    f"the error is noise of {unit:.1g} of the operands, like {what} products: no "
                    f"better than {leaf.relative:.1g} of the gradient"
                )
                return
    if mean <= rounding.RMS_Z * np.sqrt(leaf.terms) and leaf.relative < 0.3:
        leaf.verdict = "pass with limits"
        leaf.limits.append(
            f"the error is noise, {mean:.2g} x what rounding the operands gives: sums of "
            f"{leaf.terms:.0f} terms kept in {setup.dtype}"
        )
        return
    if leaf.relative < 0.1 and mean <= 64:
        leaf.verdict = "pass with limits"
        leaf.limits.append(
            f"the error is noise, {mean:.2g} x what rounding the operands gives: intermediate "
            "values lose digits by cancellation, or are kept in a narrower dtype"
        )
        return
    leaf.verdict = "wrong"
    message = (
        f"the error is noise of {leaf.relative:.1g} of the gradient, {mean:.1g} x its rounding: "
        "digits are lost by cancellation, or memory is not initialised"
    )
    report.causes.append(Cause("precision", leaf.name, message))
