"""Rules for a gradient that is right but for a factor or a sum over the whole of it."""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.factors import matches
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import CLOSE, close, factor, residual, tol


def zero(e: Evidence) -> Cause | None:
    """G is 0 everywhere, where J is not: the gradient was never computed."""
    if not np.any(e.G) and np.any(e.J):
        if e.x.size > 1 and np.max(np.abs(e.J.sum(axis=1))) < 10 * tol() * np.max(np.abs(e.J)):
            message = (
                "yours is zero up to rounding, as is the sum of the gradient over all its entries: "
                "summed over too many axes?"
            )
            return Cause("broadcast", e.name, message)
        return Cause(
            "zero",
            e.name,
            "your gradient is zero for every dy: allocated and never filled, or not on the way "
            "back",
            0.0,
        )
    return None


def scale(e: Evidence) -> Cause | None:
    """G = c J, with c named; c = -1 is a sign."""
    c = factor(e.G, e.J)
    if c is None:
        return None
    if abs(c - 1) < 10 * tol():  # closer to right than any factor that a person would write
        return None
    left = residual(e.G, c * e.J)
    if abs(c + 1) < tol():
        return Cause("sign", e.name, "yours is exactly minus the gradient", -1.0, left)
    names = matches(c, e.problem, e.name, e.yshape, max(1e-9, tol() - CLOSE))
    return scale_cause(e.name, c, names, left)


def scale_cause(name: str, c: float, names: list[str], left: float | None) -> Cause:
    """The cause for yours = c x the gradient, when c may be called any of `names`."""
    called = f" = {' or '.join(names[:2])}" if names else ""
    if names and names[0].lstrip("-").startswith("1 /"):
        called += ": divided once too often (a mean where the sum belongs?)"
    elif names:
        called += ": multiplied once too often, or a division is missing"
    called += "; the sign is wrong too" if c < 0 else ""
    return Cause("scale", name, f"yours is {_number(c)} x the gradient{called}", c, left)


def _number(c: float) -> str:
    """A factor in the precision in which it is known."""
    return f"exactly {c:.9g}" if tol() == CLOSE else f"{c:.4g} (to float32's rounding)"


def broadcast(e: Evidence) -> Cause | None:
    """G is constant along an axis along which J is not: reduced too far, or one slice used for
    all.
    """
    J, G = e.grids
    if not np.any(G):
        return None
    for count in range(len(e.shape), 0, -1):
        for axes in itertools.combinations(
            [k for k in range(len(e.shape)) if e.shape[k] > 1], count
        ):
            ax = tuple(k + 1 for k in axes)
            if not close(np.broadcast_to(G.mean(axis=ax, keepdims=True), G.shape), G):
                continue
            if close(np.broadcast_to(J.mean(axis=ax, keepdims=True), J.shape), J):
                continue
            where = f"{'axis' if count == 1 else 'axes'} {', '.join(map(str, axes))}"
            total = np.broadcast_to(J.sum(axis=ax, keepdims=True), G.shape)
            c = factor(G, total)
            if c is not None:
                how = "the sum" if abs(c - 1) < tol() else f"{c:.6g} x the sum"
                return Cause(
                    "broadcast",
                    e.name,
                    f"yours is constant along {where} of the leaf: {how} of the gradient over it",
                    None,
                    residual(G, c * total),
                )
            for k in range(e.shape[axes[0]]) if count == 1 else ():
                if close(G, np.broadcast_to(np.take(J, [k], ax[0]), G.shape)):
                    return Cause(
                        "broadcast",
                        e.name,
                        f"yours is constant along {where}: the gradient of slice {k} for every "
                        "slice",
                    )
    return None


def axis_scale(e: Evidence) -> Cause | None:
    """Each entry of the leaf gets c_i times its derivative, and c depends on one or two axes
    only.
    """
    ratio = ratios(e.G, e.J)
    if ratio is None or np.any(ratio == 0):
        return None
    grid = ratio.reshape(e.shape)
    for count in (1, 2):
        for axes in itertools.combinations(range(len(e.shape)), count):
            if count == len(e.shape):
                continue
            rest = tuple(k for k in range(len(e.shape)) if k not in axes)
            known = ~np.isnan(grid)
            each = np.where(known, grid, 0).sum(axis=rest, keepdims=True) / np.maximum(
                known.sum(axis=rest, keepdims=True), 1
            )
            shared = np.count_nonzero(known) >= 2 * np.count_nonzero(
                known.any(axis=rest)
            )  # else any factors would do
            if shared and np.all(~known | (np.abs(grid - each) <= tol() * np.abs(each))):
                return _axis_cause(
                    e,
                    each.ravel(),
                    f"{'axis' if count == 1 else 'axes'} {', '.join(map(str, axes))}",
                )
    if len(e.shape) == 1 and e.x.size > 1 and np.all(np.isfinite(ratio)):
        return _known_factors(
            e, ratio, "axis 0"
        )  # any entrywise mistake has a factor for each entry: it must be known
    return None


def _axis_cause(e: Evidence, each: np.ndarray, where: str) -> Cause:
    factors = ", ".join(f"{c:.4g}" for c in each[:4]) + (" ..." if each.size > 4 else "")
    return _known_factors(e, each, where) or Cause(
        "axis-scale",
        e.name,
        f"one wrong factor for each index of {where}: {factors} (a scale or standard deviation "
        "missing or twice?)",
    )


def _known_factors(e: Evidence, each: np.ndarray, where: str) -> Cause | None:
    """The factors are another argument's entries, their inverses or their squares."""
    for name, other in e.values.items():
        if name != e.name and other.size == each.size:
            for text, value in (
                (name, other),
                (f"1 / {name}", 1 / np.where(other == 0, np.nan, other)),
                (f"{name}^2", other**2),
            ):
                if close(each, value.ravel()):
                    return Cause(
                        "axis-scale", e.name, f"one factor for each index of {where}: {text}"
                    )
    return None


def ratios(G: np.ndarray, J: np.ndarray) -> np.ndarray | None:
    """s with G[:, i] = s_i J[:, i] (nan where the column of J is zero), or None where a column
    is no multiple.
    """
    square = np.einsum("ji,ji->i", J, J)
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.einsum("ji,ji->i", G, J) / square
    s[square == 0] = np.nan
    fitted = np.nan_to_num(s) * J
    if np.max(np.abs(G - fitted), initial=0.0) > tol() * np.max(np.abs(G), initial=0.0):
        return None
    s[np.abs(s) < 1e-9] = 0.0
    return s
