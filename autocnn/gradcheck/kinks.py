"""At a kink a function has many right gradients: is yours one of them, and by which convention?"""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import LeafAt, rms
from autocnn.gradcheck.precision import is_coarse
from autocnn.gradcheck.verdict import Probe, compare, probe
from autocnn.gradcheck.witnesses import jvp, real_jvp

__all__ = ["TieFinding", "examine", "nearby", "within_rounding"]

AROUND = 24
MORE = 240  # further points before a gradient is called no subgradient
OUTPUTS = 12
ENTRIES = 6  # of the leaf, whose own slopes are looked at
TRIES = 3  # cotangents of the outputs that are not tied


class TieFinding(NamedTuple):
    """`elsewhere`: yours agrees at points near by, and in the outputs that are not tied. `valid`:
    it is a subgradient here, as far as can be told.
    """

    elsewhere: bool
    valid: bool
    message: str


def nearby(leaf: LeafAt, rng: np.random.Generator) -> LeafAt:
    """The leaf at a point so near that only ties are broken (a real difference needs some room
    between the kinks).
    """
    size = 1e-7 if leaf.witness.exact else 1e-2
    near = {n: x + size * rms(x) * rng.standard_normal(x.shape) for n, x in leaf.values.items()}
    return leaf.at(leaf.point.replace(**near))


def within_rounding(leaf: LeafAt, rng: np.random.Generator) -> bool:
    """Do points that differ in the last digits only have other slopes? Then a tie lies here, though
    the slopes from the right and from the left may be equal."""
    u = rng.standard_normal(leaf.x.shape)
    slopes = np.array([_slopes(_around(leaf, rng), u) for _ in range(6)])
    return bool(np.any(np.ptp(slopes, axis=0) > 1e-6 * np.max(np.abs(slopes), initial=0.0)))


def _around(leaf: LeafAt, rng: np.random.Generator) -> LeafAt:
    """The leaf at a point of which each value differs in its last digits, and a zero by as much as
    is not lost in a sum with numbers a hundred times the others: ties that lie here are broken,
    kinks near by are not crossed. Real differences take as much room as they need.
    """
    size = 8 * leaf.problem.eps if leaf.witness.exact else 1e-2 if _coarse(leaf) else 1e-6
    zero = max(size, min(1e-2, 1e3 * leaf.problem.eps))
    near = {
        n: x + np.where(x == 0, zero * rms(x), size * x) * rng.standard_normal(x.shape)
        for n, x in leaf.values.items()
    }
    return leaf.at(leaf.point.replace(**near))


def _slopes(leaf: LeafAt, u: np.ndarray) -> np.ndarray:
    """J u from the right, by steps that are shorter than the way to a point of `_around`."""
    if leaf.witness.exact or _coarse(leaf):
        return jvp(leaf, u)
    return real_jvp(leaf.point, leaf.name, u, 2.0**-26 * rms(leaf.x))[0]


def _coarse(leaf: LeafAt) -> bool:
    return is_coarse(leaf.problem.eps)


def examine(leaf: LeafAt, rng: np.random.Generator) -> TieFinding:
    """Decide a mismatch at a point where the slopes from the right and from the left differ, or
    those at points a few roundings away.
    """
    votes = []
    for _ in range(5):
        near = nearby(leaf, rng)
        votes.append(compare(near, probe(near.point, rng, 1), rng).verdict)
    if votes.count("wrong") > 1:
        return TieFinding(False, False, "also wrong away from the tie")
    return _subgradient(leaf, rng)


class _Hull(NamedTuple):
    """Slopes of each output along a direction, at the point and around it."""

    u: np.ndarray
    low: np.ndarray
    high: np.ndarray
    around: np.ndarray  # (points, outputs)

    @property
    def scale(self) -> np.ndarray:
        return np.abs(self.low) + np.abs(self.high)


def _hull(leaf: LeafAt, points: list[LeafAt], u: np.ndarray) -> _Hull:
    here = _slopes(leaf, u), -_slopes(leaf, -u)
    around = np.array([_slopes(p, u) for p in points])
    every = np.vstack([*here, around])
    return _Hull(u, every.min(axis=0), every.max(axis=0), around)


def _subgradient(leaf: LeafAt, rng: np.random.Generator) -> TieFinding:
    """Is each tied output's gradient within the slopes that are found around the tie, along several
    directions, and the gradient of the others right?

    Clarke's subdifferential is the hull of the gradients near by, so g . u lies between the least
    and the largest of them for every u. With too many ties in one output (a whole network's loss)
    the points drawn do not span the hull: only directions along which they do are looked at.
    """
    shape = leaf.x.shape
    points = [_around(leaf, rng) for _ in range(AROUND)]
    hulls = [_hull(leaf, points, rng.standard_normal(shape)) for _ in range(2)]
    differ = _tied(leaf, hulls)
    if not np.all(differ) and _wrong_in(leaf, ~differ, rng):
        return TieFinding(False, False, "also wrong where there is no tie")
    grads = {}
    for j in rng.permutation(np.flatnonzero(differ))[:OUTPUTS]:
        grads[int(j)] = leaf.yours(np.eye(1, differ.size, j)[0])
    directions = [rng.standard_normal(shape) for _ in range(2)]
    directions += [np.abs(rng.standard_normal(shape)), np.ones(shape)]
    directions += _entries(leaf, grads, points)
    hulls += [_hull(leaf, points, u) for u in directions]
    positions: list[float] = []
    for hull in hulls:
        for j, grad in grads.items():
            size = hull.scale[j] or 1.0
            if len(np.unique(np.round(hull.around[:, j] / size, 4))) > AROUND // 2:
                continue
            low, high, mine = hull.low[j], hull.high[j], float(np.vdot(grad, hull.u))
            width = high - low
            slack = 0.02 * width + 1e-5 * (hull.scale[j] + float(np.sum(np.abs(grad * hull.u))))
            if not low - slack <= mine <= high + slack:
                for _ in range(MORE):  # several ties: a rare side may not have been drawn yet
                    seen = _slopes(_around(leaf, rng), hull.u)[j]
                    low, high = min(low, seen), max(high, seen)
            if not low - slack <= mine <= high + slack:
                message = (
                    f"at a tie output {j} has slopes {low:.4g} to {high:.4g} along a "
                    f"direction, yours gives {mine:.4g}: "
                )
                return TieFinding(
                    True, False, message + "no subgradient (does every tied entry get all of it?)"
                )
            if width > 1e-4 * hull.scale[j]:
                positions.append((mine - low) / width)
    return TieFinding(
        True,
        True,
        "the point lies on a kink or tie; yours is a valid subgradient there"
        + _convention(positions),
    )


def _tied(leaf: LeafAt, hulls: list[_Hull]) -> np.ndarray:
    """Which outputs (a mask) have several slopes around the point."""
    exact = leaf.witness.exact and not _coarse(leaf)
    own, of_all = (1e-6, 1e-12) if exact else (1e-4, 1e-6)
    return np.any(
        [h.high - h.low > own * h.scale + of_all * h.scale.max(initial=0.0) for h in hulls], axis=0
    )


def _wrong_in(leaf: LeafAt, outputs: np.ndarray, rng: np.random.Generator) -> bool:
    """Is yours wrong for cotangents of these outputs (a mask) alone?"""
    for _ in range(TRIES):
        v = np.where(outputs, rng.standard_normal(outputs.size), 0.0)
        seen = Probe(v, {leaf.name: leaf.yours(v)}, leaf.point.run().flat)
        if compare(leaf, [seen], rng).verdict == "wrong":
            return True
    return False


def _entries(leaf: LeafAt, grads: dict[int, np.ndarray], points: list[LeafAt]) -> list[np.ndarray]:
    """Directions along those entries of the leaf whose gradient changes most around the tie."""
    changes = np.zeros(leaf.x.shape)
    for j, grad in grads.items():
        size = leaf.point.run().flat.size
        for near in points[:2]:
            changes = np.maximum(changes, np.abs(near.yours(np.eye(1, size, j)[0]) - grad))
    most = np.argsort(changes, axis=None)[::-1][:ENTRIES]
    chosen = [i for i in most if changes.flat[i] > 0]
    return [np.eye(1, leaf.x.size, i).reshape(leaf.x.shape) for i in chosen]


def _convention(positions: list[float]) -> str:
    """Ends of the interval: one branch takes all. The middle: shared."""
    if not positions:
        return " (too many ties in one output to name the convention)"
    inside = np.array(positions)
    if np.all(np.minimum(np.abs(inside), np.abs(inside - 1)) < 0.02):
        return (
            ": one branch takes the whole slope (a slope of 0 or 1 at a kink, one of the tied "
            "maxima)"
        )
    if np.mean(np.abs(inside - 0.5) < 0.02) > 0.5:
        return ": the branches share the slope equally (0.5 at a kink)"
    return ": the branches share the slope"
