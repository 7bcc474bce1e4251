"""At a kink a function has many right gradients: is yours one of them, and by which convention?"""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import LeafAt, rms
from autocnn.gradcheck.problem import EPS
from autocnn.gradcheck.verdict import compare, probe
from autocnn.gradcheck.witnesses import jvp

__all__ = ["TieFinding", "examine", "nearby", "within_rounding"]

NEARBY = 24
MORE = 240  # further points before a gradient is called no subgradient
OUTPUTS = 12


class TieFinding(NamedTuple):
    """`elsewhere`: yours agrees at points near by. `valid`: it is a subgradient here, as far as
    can be told.
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
    slopes = np.array([jvp(_rounded(leaf, rng), u) for _ in range(6)])
    return bool(np.any(np.ptp(slopes, axis=0) > 1e-6 * np.max(np.abs(slopes), initial=0.0)))


def _rounded(leaf: LeafAt, rng: np.random.Generator) -> LeafAt:
    """The leaf at a point of which each value differs in its last digits."""
    last = 8 * leaf.problem.eps
    near = {}
    for name, x in leaf.values.items():
        tiny = np.where(x == 0, EPS * rms(x), x)
        near[name] = x + last * tiny * rng.standard_normal(x.shape)
    return leaf.at(leaf.point.replace(**near))


def examine(leaf: LeafAt, rng: np.random.Generator) -> TieFinding:
    """Decide a mismatch at a point where the slopes from the right and from the left differ."""
    votes = []
    for _ in range(5):
        near = nearby(leaf, rng)
        votes.append(compare(near, probe(near.point, rng, 1), rng).verdict)
    if votes.count("wrong") > 1:
        return TieFinding(False, False, "also wrong away from the tie")
    return _subgradient(leaf, rng)


def _subgradient(leaf: LeafAt, rng: np.random.Generator) -> TieFinding:
    """Is each tied output's gradient within the slopes that are found around the tie, along several
    directions?

    Clarke's subdifferential is the hull of the gradients near by, so g . u lies between the least
    and the largest of them for every u. With too many ties in one output (a whole network's loss)
    the points drawn do not span the hull: no verdict.
    """
    shape = leaf.x.shape
    directions = [rng.standard_normal(shape) for _ in range(4)]
    directions += [np.abs(rng.standard_normal(shape)), np.ones(shape)]
    points = [nearby(leaf, rng) for _ in range(NEARBY)]
    size = leaf.point.run().flat.size
    positions: list[float] = []
    grads: dict[int, np.ndarray] = {}
    tied: list[int] | None = None
    for u in directions:
        here = jvp(leaf, u), -jvp(leaf, -u)
        around = np.array([jvp(p, u) for p in points])
        low = np.minimum(np.minimum(here[0], here[1]), around.min(axis=0))
        high = np.maximum(np.maximum(here[0], here[1]), around.max(axis=0))
        scale = np.abs(low) + np.abs(high)
        if tied is None:
            differ = np.flatnonzero(high - low > 1e-4 * scale.max())
            tied = [int(j) for j in rng.permutation(differ)[:OUTPUTS]]
            for j in tied:
                basis = np.zeros(size)
                basis[j] = 1.0
                grads[j] = leaf.yours(basis)
        for j in tied:
            slopes = around[:, j]
            if len(np.unique(np.round(slopes / (scale[j] or 1.0), 4))) > NEARBY // 2:
                continue
            mine, width = float(np.vdot(grads[j], u)), high[j] - low[j]
            slack = 0.02 * width + 1e-5 * (scale[j] + float(np.sum(np.abs(grads[j] * u))))
            if (
                not low[j] - slack <= mine <= high[j] + slack
            ):  # several ties: a rare side may not have been drawn yet
                for _ in range(MORE):
                    seen = jvp(nearby(leaf, rng), u)[j]
                    low[j], high[j] = min(low[j], seen), max(high[j], seen)
            if not low[j] - slack <= mine <= high[j] + slack:
                message = (
                    f"at a tie output {j} has slopes {low[j]:.4g} to {high[j]:.4g} along a "
                    f"direction, yours gives {mine:.4g}: "
                )
                return TieFinding(
                    True, False, message + "no subgradient (does every tied entry get all of it?)"
                )
            if width > 1e-4 * scale[j]:
                positions.append((mine - low[j]) / width)
    return TieFinding(
        True,
        True,
        "the point lies on a kink or tie; yours is a valid subgradient there"
        + _convention(positions),
    )


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
