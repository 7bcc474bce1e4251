"""Where a gradient is wrong: axis by axis with directions on slices, then entry by entry where
that is cheap.
"""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.point import LeafAt
from autocnn.gradcheck.report import Entry
from autocnn.gradcheck.witnesses import RUNGS, jvp, slope

__all__ = ["Located", "locate"]

# numbers that a dense gradient may touch: runs x (entries of all arguments and outputs); beyond it,
# slices
WORK = 1e7


class Located(NamedTuple):
    """The worst entries, how many are wrong (counted up to 8 where that is dear), both gradients
    if computed in full.
    """

    worst: list[Entry]
    wrong: int
    yours: np.ndarray | None
    gradient: np.ndarray | None


def locate(leaf: LeafAt, work: float = WORK) -> Located:
    """At most three worst entries of a wrong leaf, for one random cotangent."""
    rng = np.random.default_rng(1)
    out, x = leaf.point.run(), leaf.x
    v = rng.standard_normal(out.flat.size)
    g = np.array(out.backward(v)[leaf.name], dtype=np.float64)

    def entry(index) -> float:
        u = np.zeros(x.shape)
        u[index] = 1.0
        return float(v @ jvp(leaf, u)) if leaf.witness.exact else slope(leaf, u, v).value

    runs = x.size * (1 if leaf.witness.exact else 2 * RUNGS)
    if x.size <= 400 or runs * (out.flat.size + sum(z.size for z in leaf.values.values())) <= work:
        r = np.array([entry(i) for i in np.ndindex(x.shape)]).reshape(x.shape)
        off = np.abs(g - r) > 1e-9 * np.max(np.abs(r), initial=0.0)
        return Located(_worst(g, r), int(np.count_nonzero(off)), g, r)
    candidates = _candidates(leaf, v, g, rng)
    r = g.copy()
    for index in candidates:
        r[index] = entry(index)
    return Located(_worst(g, r, candidates), len(candidates), None, None)


def _worst(g: np.ndarray, r: np.ndarray, only=None) -> list[Entry]:
    gap = np.abs(g - r)
    order = np.argsort(gap, axis=None)[::-1][:3]
    indices = [tuple(int(k) for k in np.unravel_index(i, g.shape)) for i in order]
    return [
        Entry(i, float(g[i]), float(r[i]))
        for i in indices
        if gap[i] > 0 and (only is None or i in only)
    ]


def _candidates(
    leaf: LeafAt, v: np.ndarray, g: np.ndarray, rng: np.random.Generator, limit: int = 8
) -> list[tuple[int, ...]]:
    """Entries that lie in a wrong half, quarter, eighth ... of the flattened leaf: n log n
    becomes log n.
    """
    flat = g.ravel()
    spans, found = [(0, flat.size)], []
    while spans and len(found) < limit:
        a, b = spans.pop()
        u = np.zeros(flat.size)
        u[a:b] = rng.standard_normal(b - a)
        seen = slope(leaf, u.reshape(g.shape), v)
        mine = float(flat @ u)
        scale = float(np.abs(flat * u).sum()) + seen.spread
        if abs(mine - seen.value) <= 64 * np.finfo(float).eps * scale + 4 * seen.error:
            continue
        if b - a == 1:
            found.append(tuple(int(k) for k in np.unravel_index(a, g.shape)))
        else:
            middle = (a + b) // 2
            spans += [(a, middle), (middle, b)]
    return found
