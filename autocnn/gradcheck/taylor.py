"""How a gradient fails, seen as Taylor's theorem: a right slope leaves a remainder of order h^2,
a wrong one of order h.
"""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import Point, rms
from autocnn.gradcheck.report import Report
from autocnn.gradcheck.witnesses import choose, slope

__all__ = ["Remainders", "remainders", "worst_leaf"]


class Remainders(NamedTuple):
    """|v . f(x + h u) - v . f(x) - h s| at the steps h, for your slope s = g . u and for the
    witness's.
    """

    leaf: str
    steps: np.ndarray
    yours: np.ndarray
    witness: np.ndarray


def worst_leaf(report: Report) -> str:
    """The first wrong leaf that can be drawn, or the first leaf."""
    wrong = [n for n, leaf in report.leaves.items() if leaf.verdict == "wrong"]
    drawable = [n for n in wrong if n in report.arrays]
    return next(iter(drawable or wrong or report.leaves))


def remainders(
    report: Report, leaf: str | None = None, steps: int = 24, seed: int = 0
) -> Remainders:
    """Remainders along one random direction of one leaf, with steps from its rms down by halves.

    Raises ValueError when backward gives no gradient of the leaf's shape.
    """
    problem, leaf = report.problem, leaf or worst_leaf(report)
    if leaf not in problem.leaves:
        raise ValueError(
            f"{leaf} is no leaf of {problem.label}; its leaves are {', '.join(problem.leaves)}"
        )
    rng, point = np.random.default_rng(seed), Point(problem, problem.values())
    out, x = point.run(), point.values[leaf]
    v, u = rng.standard_normal(out.flat.size), rng.standard_normal(x.shape)
    g = out.backward(v).get(leaf)
    if g is None or np.shape(g) != x.shape:
        raise ValueError(
            f"backward gives no gradient of shape {x.shape} for {leaf}: there is no slope to draw"
        )
    mine = float(np.vdot(np.array(g, dtype=np.float64), u))
    true = slope(choose(point, leaf, rng), u, v).value
    h = rms(x) * 2.0 ** -np.arange(steps)
    moved = np.array([v @ (point.shifted(leaf, t * u).run().flat - out.flat) for t in h])
    return Remainders(leaf, h, np.abs(moved - h * mine), np.abs(moved - h * true))
