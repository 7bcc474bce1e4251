"""Hypotheses about a wrong kernel gradient by where it is wrong: a block, a mask, the labels, or
entry by entry.
"""

from collections.abc import Callable

import numpy as np

from autocnn.gradcheck.kernels.point import Point
from autocnn.gradcheck.kernels.rounding import rms
from autocnn.gradcheck.kernels.setup import Setup
from autocnn.gradcheck.report import Cause

__all__ = ["at_labels", "entries", "indices", "mask", "slope"]


def entries(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Right everywhere but in a block of the leaf."""
    p = points[0]
    wrong = np.all([np.abs(q.mine - q.right) > 12 * slack * q.sigma for q in points], axis=0)
    if not np.any(wrong) or np.mean(wrong) > 0.75 or p.mine.size < 4:
        return None
    spans = []
    for axis, size in enumerate(wrong.shape):
        hit = np.flatnonzero(wrong.any(axis=tuple(a for a in range(wrong.ndim) if a != axis)))
        if len(hit) < size:
            tail = hit[-1] == size - 1 and hit[-1] - hit[0] + 1 == len(hit)
            spans.append((axis, hit, size, tail))
    box = [np.arange(n) for n in wrong.shape]
    for axis, hit, _, _ in spans:
        box[axis] = hit
    inside = wrong[np.ix_(*box)]
    rest = [np.delete(q.mine - q.right, box[s[0]], axis=s[0]) for s in spans[:1] for q in points]
    if not spans or np.mean(inside) < 0.6 or not rest:
        return None
    axis, hit, size, tail = spans[0]
    zero = all(not np.any(q.mine[np.ix_(*box)]) for q in points)
    text = ", ".join(f"{indices(h)} of {n} along axis {a}" for a, h, n, _ in spans)
    what = "zero" if zero else "wrong"
    if tail:
        what += " at the end (a tile that is not full, or a mask of another size)"
    return Cause("partial", p.leaf, f"right but for {text}: {what}")


def indices(hit: np.ndarray) -> str:
    """Positions along an axis, in words."""
    if len(hit) == hit[-1] - hit[0] + 1:
        return f"index {hit[0]}" if len(hit) == 1 else f"indices {hit[0]} to {hit[-1]}"
    step = np.unique(np.diff(hit))
    if len(step) == 1:
        return f"every {step[0]}th index from {hit[0]}"
    return f"{len(hit)} indices"


def mask(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Wrong exactly where another array of its shape is on one side of 0."""
    p = points[0]
    known: list[tuple[str, Callable[[Point], np.ndarray]]] = [
        (n, lambda q, n=n: q.values[n])
        for n, v in p.values.items()
        if v.dtype.kind == "f" and v.shape == p.mine.shape
    ]
    known += [
        (f"dy{k or ''}", lambda q, k=k: q.dys[k])
        for k, d in enumerate(p.dys)
        if d.shape == p.mine.shape
    ]
    for label, get in known:
        for side, sign in (("<= 0", -1), ("> 0", 1)):
            good = True
            for q in points:
                wrong = np.abs(q.mine - q.right) > 12 * slack * q.sigma
                on = sign * get(q) > 0
                good &= bool(
                    np.any(wrong)
                    and not np.any(wrong & ~on)
                    and np.mean(wrong[on]) > 0.8
                    and np.mean(~on) > 0.1
                )
            if good:
                zero = all(not np.any(q.mine[sign * get(q) > 0]) for q in points)
                text = f"wrong exactly where {label} {side}" + (": zero there" if zero else "")
                return Cause("mask", p.leaf, text)
    return None


def at_labels(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Wrong exactly at the entries that an integer argument points to."""
    p = points[0]
    for other, v in p.values.items():
        if v.dtype.kind not in "iu" or v.shape != p.mine.shape[:-1] or not v.size:
            continue
        if v.min() < 0 or v.max() >= p.mine.shape[-1]:
            continue
        at = np.arange(p.mine.shape[-1]) == v[..., None]
        if all(
            np.mean(wrong[at]) > 0.8 and not np.any(wrong[~at])
            for wrong in (np.abs(q.mine - q.right) > 12 * slack * q.sigma for q in points)
        ):
            text = f"wrong exactly at the entries {other} points to: its term is missing or wrong"
            return Cause("missing-path", p.leaf, text)
    return None


def slope(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Each entry is off by a factor of its own, the same for every cotangent."""
    p, q = points[:2] if len(points) > 1 else (points[0], points[0])
    shapes = [d.shape for d in p.dys]
    if p is q or p.mine.shape not in shapes or p.mine.size < 4:
        return None
    dy = (p.dys[shapes.index(p.mine.shape)], q.dys[shapes.index(p.mine.shape)])
    slope = q.mine / dy[1]
    clear = np.abs(dy[1]) > 0.1 * rms(dy[1])
    gap = np.where(clear, p.mine - slope * dy[0], 0.0)
    true = np.where(clear, p.right - q.right / dy[1] * dy[0], 0.0)
    if rms(true) > 0.02 * rms(p.right) or rms(gap) > 0.1 * rms(p.mine - p.right):
        return None
    worst = np.unravel_index(np.argmax(np.abs(np.where(clear, q.mine - q.right, 0))), gap.shape)
    mine, right = slope[worst], q.right[worst] / dy[1][worst]
    where = "".join(
        f" at {n} = {v[worst]:.3g}" for n, v in p.values.items() if v.shape == p.mine.shape
    )
    text = f"entry by entry the slope is another function's: {mine:.4g} for {right:.4g}{where}"
    return Cause("wrong-operand", p.leaf, text)
