"""Hypotheses about a wrong kernel gradient that are tested by running the kernel on chosen
cotangents: sums, single entries, parts of an axis, outputs that are switched off.
"""

import itertools

import numpy as np

from autocnn.gradcheck.kernels.point import Point
from autocnn.gradcheck.kernels.rounding import rms
from autocnn.gradcheck.kernels.setup import OUTPUT, Setup
from autocnn.gradcheck.report import Cause

__all__ = ["contributions", "dead_outputs", "not_linear", "single_entries"]

SLICES = 64  # parts into which an axis of the cotangent is cut
UNITS = 10  # single entries that are tried


def _mine(setup: Setup, p: Point, dys: list[np.ndarray]) -> np.ndarray:
    return setup.run(p.values, dys).gradients[p.leaf]


def _right(setup: Setup, p: Point, dys: list[np.ndarray]) -> np.ndarray:
    return setup.golden(p.values, dys)[p.leaf]


def not_linear(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """backward(0) is not 0, or backward(-dy) is not -backward(dy)."""
    p = points[0]
    zero = _mine(setup, p, [np.zeros_like(d) for d in p.dys])
    if rms(zero) > 0.01 * rms(p.mine - p.right):
        text = "dy = 0 gives a gradient that is not 0: dy is ignored, or something is added"
        return Cause("not-linear", p.leaf, text)
    minus = _mine(setup, p, [-d for d in p.dys])
    if rms(minus + p.mine) > max(0.05 * rms(p.mine), 16 * slack * rms(p.sigma)):
        text = "backward(-dy) is not -backward(dy): dy's sign or size selects a branch"
        return Cause("not-linear", p.leaf, text)
    return None


def dead_outputs(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Cotangents of outputs that are exactly 0 must not pass a mask; others must."""
    p = points[0]
    outputs = [v for k, v in p.golden.items() if k.startswith(OUTPUT)]
    off = [d * (y == 0) for d, y in zip(p.dys, outputs, strict=True)]
    if not any(map(np.any, off)):
        return None
    mine, right = _mine(setup, p, off), _right(setup, p, off)
    if np.any(right) or rms(mine) <= 0.1 * rms(p.mine - p.right):
        return None
    on = [d * (y != 0) for d, y in zip(p.dys, outputs, strict=True)]
    rest = _right(setup, p, on)
    if rms(_mine(setup, p, on) - rest) > 0.05 * rms(rest):
        return None
    text = "cotangents of outputs that are switched off (0) come through: the mask is missing"
    return Cause("mask", p.leaf, text)


def single_entries(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Where one entry of dy arrives, in your gradient and in the right one."""
    p = points[0]
    rng = np.random.default_rng(5)
    moved, spread, own, steps = 0, set(), 0, set()
    sizes = [d.size for d in p.dys]
    for _ in range(UNITS):
        k = int(rng.choice(len(sizes), p=np.array(sizes) / sum(sizes)))
        place = np.unravel_index(int(rng.integers(sizes[k])), p.dys[k].shape)
        one = [np.zeros_like(d) for d in p.dys]
        one[k][place] = 1.0
        mine, right = _mine(setup, p, one), _right(setup, p, one)
        a, b = np.abs(mine) > 0.02 * rms(mine), np.abs(right) > 0.02 * rms(right)
        if _same_values(mine[a], right[b], p.unit) and not np.array_equal(a, b):
            moved += 1
            delta = np.argwhere(a)[0] - np.argwhere(b)[0]
            steps.add(tuple(map(int, delta)))
        if mine.shape == p.dys[k].shape:
            axes = tuple(_axes(b)), tuple(_axes(a))
            if axes[0] != axes[1]:
                spread.add(axes)
            own += bool(a.sum() == 1 and a[place] and b.sum() > 1)
    if moved >= 3 and len(steps) == 1:
        return Cause("shifted", p.leaf, f"right entries, moved by {steps.pop()}")
    if moved >= 3:
        return Cause("permuted", p.leaf, "right entries in other places: check the index")
    if own >= UNITS - 2:
        text = "each entry sees its own dy alone: the cross terms of the Jacobian are missing"
        return Cause("missing-path", p.leaf, text)
    if len(spread) == 1:
        right_axes, my_axes = spread.pop()
        if right_axes and my_axes and set(right_axes) != set(my_axes):
            text = f"reduced along axes {my_axes} where the function reduces along {right_axes}"
            return Cause("wrong-operand", p.leaf, text)
    return None


def _same_values(a: np.ndarray, b: np.ndarray, unit: float) -> bool:
    if a.size != b.size or not a.size:
        return False
    a, b = np.sort(a), np.sort(b)
    return rms(a - b) <= 16 * unit * rms(b)


def _axes(hit: np.ndarray) -> list[int]:
    """Axes along which more than one index is hit."""
    every = range(hit.ndim)
    return [
        a for a in every if np.count_nonzero(hit.any(axis=tuple(x for x in every if x != a))) > 1
    ]


def contributions(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Cut the cotangent into parts: which of them contribute as they should on their own?"""
    p = points[0]
    for k, dy in enumerate(p.dys):
        for axis in range(dy.ndim):
            if dy.shape[axis] < 2:
                continue
            where = f"axis {axis} of dy" + (f" of output {k}" if len(p.dys) > 1 else "")
            cause = _along(setup, p, k, axis, where, slack)
            if cause is not None:
                return cause
    return None


def _part(p: Point, k: int, axis: int, cut: slice) -> list[np.ndarray]:
    few = [np.zeros_like(d) for d in p.dys]
    index = (slice(None),) * axis + (cut,)
    few[k][index] = p.dys[k][index]
    return few


def _along(setup: Setup, p: Point, k: int, axis: int, where: str, slack: float) -> Cause | None:
    total = p.dys[k].shape[axis]
    step = -(-total // SLICES)
    cuts = [slice(a, min(total, a + step)) for a in range(0, total, step)]
    rights = [_right(setup, p, _part(p, k, axis, cut)) for cut in cuts]
    winner = _winner(p, rights, slack)
    if winner == "first" and p.fits(rights[0], slack):
        text = f"only index 0 of {total} along {where} contributes: the rest is left out"
        return Cause("partial", p.leaf, text)
    if winner:
        text = f"where several indices of {where} meet, only the {winner} arrives: `=` for `+=`"
        return Cause("overwritten", p.leaf, text)
    bad, silent = [], []
    for cut, right in zip(cuts, rights, strict=True):
        mine = _mine(setup, p, _part(p, k, axis, cut))
        if rms(mine - right) > 0.05 * rms(right):
            bad.append(cut)
            silent += [cut] if rms(mine) <= 0.05 * rms(right) else []
    if bad and len(bad) < len(cuts):
        text = f"{_range(bad)} of {total} along {where}"
        if len(silent) == len(bad):
            return Cause("partial", p.leaf, f"nothing comes from {text}: left out")
        if len(bad) <= 0.6 * len(cuts) and _regular(bad):
            return Cause("partial", p.leaf, f"wrong only for what comes from {text}")
    if bad and step > 1:
        index = range(bad[0].start, min(bad[0].stop, bad[0].start + 16))
        singles = [_part(p, k, axis, slice(i, i + 1)) for i in index]
        if all(_agrees(_mine(setup, p, s), _right(setup, p, s)) for s in singles):
            bad = []
    if not bad and not _agrees(p.mine, p.right, 0.02):
        lost = np.abs(p.mine - p.right) > 0.02 * rms(p.right)
        text = (
            f"each part along {where} is right on its own, their sum is not "
            f"({np.count_nonzero(lost)} of {lost.size} entries): contributions overwrite each "
            "other (`=` for `+=`, or a sum without atomics)"
        )
        return Cause("overwritten", p.leaf, text)
    return None


def _agrees(mine: np.ndarray, right: np.ndarray, share: float = 0.05) -> bool:
    return rms(mine - right) <= share * rms(right)


def _winner(p: Point, rights: list[np.ndarray], slack: float) -> str:
    """ "last" or "first" where yours is one contribution of the several that meet."""
    for which, order in (("last", rights), ("first", rights[::-1])):
        h = np.zeros_like(p.right)
        for part in order:
            h = np.where(part != 0, part, h)
        if p.fits(h, slack):
            return which
    return ""


def _regular(cuts: list[slice]) -> bool:
    starts = np.array([c.start for c in cuts])
    return len(starts) < 3 or len(np.unique(np.diff(starts))) == 1


def _range(cuts: list[slice]) -> str:
    if all(a.stop == b.start for a, b in itertools.pairwise(cuts)):
        first, last = cuts[0].start, cuts[-1].stop - 1
        return f"index {first}" if first == last else f"indices {first} to {last}"
    return "indices " + ", ".join(f"{c.start}" for c in cuts[:6]) + ("..." if len(cuts) > 6 else "")
