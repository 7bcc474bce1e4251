"""Rules for a right formula with a wrong operand: the true gradient is evaluated at altered
arguments until yours appears.
"""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence, your_jacobian
from autocnn.gradcheck.perturbed import jacobian_at
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules.substitutes import candidates, first_fit
from autocnn.gradcheck.rules.whole import ratios
from autocnn.gradcheck.tolerance import CLOSE, close, tol


def wrong_operand(e: Evidence) -> Cause | None:
    """G = J at altered arguments: one argument transposed, reversed, shifted, activated,
    exchanged with another.
    """
    words = first_fit(e, candidates(e))
    if words is None:
        return None
    zero = words.split(" = ")[0] if " = 0 in place of " in words else ""
    if zero and not zero.startswith("-"):
        message = f"yours is the gradient with {words}: every term with {zero} is missing"
        return Cause("missing-path", e.name, message, what=words)
    return Cause("wrong-operand", e.name, f"yours is the gradient with {words}", what=words)


def operand_before_activation(e: Evidence) -> Cause | None:
    """Each row of G is a multiple of J's row at an altered argument: the operand is wrong, and the
    slope that dy meets before it is right (it is another one at the altered argument).
    """
    if e.J.shape[0] < 3 or np.max(np.count_nonzero(e.G, axis=1)) < 2:
        return None
    for name, z in e.values.items():
        if name == e.name or z.ndim < 2:
            continue
        axes = range(z.ndim)
        moved = [
            (f"{name}'" if z.ndim == 2 else f"{name} transposed to {order}", z.transpose(order))
            for order in itertools.permutations(axes)
            if tuple(order) != tuple(axes) and z.transpose(order).shape == z.shape
        ]
        moved += [
            (f"{name} reversed along axis {k}", np.flip(z, k)) for k in axes if z.shape[k] > 1
        ]
        for words, new in moved:
            J = jacobian_at(e, {**e.values, name: new})
            if J is not None and _parallel(e.G, J) and not _parallel(e.G, e.J):
                what = f"{words} in place of {name}"
                return Cause(
                    "wrong-operand", e.name, f"yours is the gradient with {what}", what=what
                )
    return None


def _parallel(A: np.ndarray, B: np.ndarray) -> bool:
    """Is each row of A a multiple of B's, with several entries in most rows?"""
    coarse = tol() > CLOSE
    least = (0.05 if coarse else 1e-9) * min(np.max(np.abs(A)), np.max(np.abs(B)))
    rows = [
        (a, b)
        for a, b in zip(A, B, strict=True)
        if (min if coarse else max)(np.max(np.abs(a)), np.max(np.abs(b))) > least
    ]
    telling = 0
    for a, b in rows:
        if not np.any(a) or not np.any(b):
            return False
        c = float(a @ b) / float(b @ b)
        size = max(np.max(np.abs(c * b)), least)
        if np.max(np.abs(a - c * b)) > tol() * size:
            return False
        telling += np.count_nonzero(b) > 1
    return telling >= max(2, len(rows) // 2)


def first_group(e: Evidence) -> Cause | None:
    """G = J with another argument's first channel group in place of all its groups."""
    words = first_fit(e, _first_groups(e))
    return None if words is None else Cause("group", e.name, f"yours is the gradient with {words}")


def _first_groups(e: Evidence):
    for name, z in e.values.items():
        for k, n in enumerate(z.shape):
            for groups in (g for g in range(2, n + 1) if n % g == 0):
                for which in (0, groups - 1):
                    block = np.take(z, range(which * n // groups, (which + 1) * n // groups), k)
                    words = f"group {which} of {groups} of {name} (axis {k}) used for every group"
                    if e.name != name and len(z.shape) > 1:
                        yield words, {name: np.concatenate([block] * groups, axis=k)}


def linear_operand(e: Evidence) -> Cause | None:
    """f is linear in the leaf, and wherever it uses a number of its operand, yours uses one other
    number instead.

    Then G is the gradient of the same linear function with another operand: equal entries of J stay
    equal in G.
    """
    live = e.J != 0
    if e.J.shape[0] < 3 or not np.array_equal(live, e.G != 0) or not _independent(e):
        return None
    size = np.max(np.abs(e.J))
    _, kinds, counts = np.unique(
        np.round(e.J[live] / size, 10), return_inverse=True, return_counts=True
    )
    if counts.size < 4 or np.min(counts) < 2:
        return None
    mean = np.bincount(kinds, e.G[live]) / counts
    if (
        not close(mean[kinds], e.G[live])
        or np.mean(np.abs(e.G[live] - e.J[live]) > tol() * size) < 0.5
    ):
        return None
    return Cause(
        "wrong-operand",
        e.name,
        f"the function is linear in {e.name}; yours has other numbers in the place of what it "
        "is multiplied by",
    )


def _independent(e: Evidence) -> bool:
    """Do neither J nor G change with the leaf?"""
    values = {**e.values, e.name: np.random.default_rng(14).standard_normal(e.shape)}
    J = jacobian_at(e, values)
    return (
        J is not None
        and close(J, e.J, 1e-10)
        and close(your_jacobian(e.leaf.point.replace(**values), e.name), e.G, 1e-10)
    )


def inner_factor(e: Evidence) -> Cause | None:
    """G / J depends on one axis of the outputs and one of the leaf only: a factor at the units
    in between is another.
    """
    live = e.J != 0
    if (
        ratios(e.G, e.J) is not None
        or not np.array_equal(live, e.G != 0)
        or min(len(e.yshape), len(e.shape)) < 2
    ):
        return None
    ratio = np.divide(e.G, e.J, out=np.zeros_like(e.J), where=live).reshape(*e.yshape, *e.shape)
    on, axes = live.reshape(ratio.shape), range(ratio.ndim)
    for a in range(len(e.yshape)):
        for b in range(len(e.yshape), ratio.ndim):
            rest = tuple(k for k in axes if k not in (a, b))
            count = np.count_nonzero(on, axis=rest, keepdims=True)
            each = ratio.sum(axis=rest, keepdims=True) / np.maximum(count, 1)
            shared = np.all((count == 0) | (count > 2)) and np.count_nonzero(count) > 2
            if shared and np.all(~on | (np.abs(ratio - each) <= 1e-6 * np.abs(each))):
                words = (
                    f"one factor for each index of the output's axis {a} and of {e.name}'s axis "
                    f"{b - len(e.yshape)}"
                )
                message = (
                    f"right but for {words}: the slope of a unit in between is missing or "
                    "another function's"
                )
                return Cause("wrong-operand", e.name, message, what=words)
    return None


def input_for_output(e: Evidence) -> Cause | None:
    """The formula is written for the output but applied to the input: your backward at x := f(x)
    is right for x.
    """
    if e.yshape != e.shape:
        return None
    v = np.random.default_rng(4).standard_normal(e.J.shape[0])
    try:
        g = e.leaf.at(e.leaf.point.replace(**{e.name: e.y.reshape(e.shape)})).yours(v)
    except CallError:
        return None
    if close(g.ravel(), v @ e.J):
        return Cause(
            "wrong-operand",
            e.name,
            f"the formula is right for the output, but it is applied to {e.name}",
        )
    return None


def shape_hint(yours: np.ndarray, leaf: np.ndarray, r: np.ndarray) -> str:
    """What a gradient of the wrong shape would need, when that makes it right: transposing,
    cropping, summing.
    """
    for order in itertools.permutations(range(yours.ndim)):
        if tuple(yours.shape[k] for k in order) == leaf.shape and close(yours.transpose(order), r):
            return (
                "it is right once transposed"
                if yours.ndim == 2
                else f"it is right as transpose{order}"
            )
    if yours.ndim == leaf.ndim and all(
        a >= b and (a - b) % 2 == 0 for a, b in zip(yours.shape, leaf.shape, strict=True)
    ):
        cut = tuple(
            slice((a - b) // 2, (a - b) // 2 + b)
            for a, b in zip(yours.shape, leaf.shape, strict=True)
        )
        if close(yours[cut], r):
            return (
                "it is right once the padding is cropped: "
                f"[{', '.join(f'{s.start}:{s.stop}' for s in cut)}]"
            )
    if yours.ndim == leaf.ndim and all(
        a <= b for a, b in zip(yours.shape, leaf.shape, strict=True)
    ):
        grown = np.zeros(leaf.shape)
        grown[tuple(slice(a) for a in yours.shape)] = yours
        if close(grown, r):
            return (
                "the last rows or columns, which no window reads, are missing: allocate zeros "
                "of the input's shape"
            )
    for count in range(1, yours.ndim + 1):
        for axes in itertools.combinations(range(yours.ndim), count):
            total = yours.sum(axis=axes)
            if total.shape == leaf.shape and close(total, r):
                return f"it is right once summed over axis {', '.join(map(str, axes))}"
    if yours.size == leaf.size and close(yours.reshape(leaf.shape), r):
        return f"it is right once reshaped to {leaf.shape}"
    if yours.size == 1 and close(yours.ravel()[:1], np.array([r.sum()])):
        return "it is summed over every axis of the leaf"
    return ""
