"""A leaf at full size: your gradient against differences of the function along random directions.

F(t) = v . f(x + t w) is a sum over so many entries that its rounding and its terms of higher order
cancel: with n entries both are sqrt(n) times smaller, relative to S = sum |g w|, than in one entry.
A central difference is therefore exact to 1e-10 S and better, with no complex numbers and no second
copy of the output. A kink on the way leaves more; then shorter steps are asked.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.chunks import blocks
from autocnn.gradcheck.large.calls import FullSize
from autocnn.gradcheck.large.directions import (
    Direction,
    Measured,
    measure,
    unit_of,
)

__all__ = ["STEPS", "Along", "Compared", "Facts", "compare", "difference", "read_gradients"]

MARGIN = 64
STEPS = {
    "float64": (2.0**-10, 2.0**-15, 2.0**-20, 2.0**-26, 2.0**-32),
    "float32": (2.0**-4, 2.0**-6, 2.0**-8, 2.0**-10),
}


class Along(NamedTuple):
    """Your gradient of one leaf along one direction w: g . w for each step, sum |g w|, and the
    cotangent with the function's value there."""

    leaf: str
    w: Direction
    unit: float
    steps: tuple[float, ...]
    yours: list[float]
    size: float
    v: list[Direction]
    here: Measured
    seed: tuple[int, ...]  # of v


class Facts(NamedTuple):
    """A gradient's shape and dtype (None where it is no array), and how many of its entries are inf
    or nan, with the first of them."""

    came: bool
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    nonfinite: tuple[int, tuple[int, ...]] | None = None


class Compared(NamedTuple):
    """The comparison along one direction. `scale` is sum |g w| + sum |v J w|, `jump` the jump of
    the slope at the point itself, `step` the step at which error was least."""

    verdict: str
    error: float
    tolerance: float
    scale: float
    tied: bool
    vanishes: bool
    step: float

    @property
    def digits(self) -> float:
        """Digits of agreement, relative to the scale."""
        return min(16.0, -math.log10(max(self.error / self.scale, 1e-16))) if self.scale else 16.0


def read_gradients(
    full: FullSize, seed: tuple[int, ...], names: Iterable[str]
) -> tuple[dict[str, Along], dict[str, Facts], Measured]:
    """Call forward and backward with a cotangent drawn from `seed`, and read each gradient once,
    along a direction of its own. Returns that, what is known of all gradients, and the outputs."""
    v, here, grads = full.gradients(*seed)
    read, facts = {}, {}
    for k, name in enumerate(full.problem.leaves):
        grad, x = grads.pop(name, None), full.value(name)
        if grad is None or isinstance(grad, list | tuple | dict):
            facts[name] = Facts(grad is not None, None, None)
            continue
        g = np.asarray(grad)
        facts[name] = Facts(True, g.shape, g.dtype)
        if name not in names or g.shape != x.shape or g.dtype.kind != "f":
            continue
        w, unit = Direction(x.shape, *seed, 7, k), unit_of(x)
        steps = STEPS.get(x.dtype.name, STEPS["float32"])
        yours, size = w.project(g, x, steps, unit)
        if not math.isfinite(size):
            facts[name] = facts[name]._replace(nonfinite=_nonfinite(g))
            continue
        read[name] = Along(name, w, unit, steps, yours, size, v, here, seed)
    return read, facts, here


def _nonfinite(g: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """(how many entries are inf or nan, the first of them)."""
    count, first = 0, ()
    for index, start in blocks(g.shape):
        bad = np.flatnonzero(~np.isfinite(np.asarray(g[index]).reshape(-1)))
        if len(bad) and not count:
            first = tuple(int(i) for i in np.unravel_index(start + int(bad[0]), g.shape))
        count += len(bad)
    return count, first


def difference(
    full: FullSize, a: Along, step: float, x: np.ndarray, among: range | None = None
) -> tuple[float, float, float]:
    """(v . (f(x + step w) - f(x - step w)) / (2 step), sum |v J w|, the bend v . (f(x + step w) +
    f(x - step w) - 2 f(x)) / step)."""
    moved, sides = np.empty_like(x), []
    for side in (step, -step):
        a.w.move(x, side, a.unit, moved, among)
        what = f"forward (at full size, {a.leaf} moved)"
        sides.append(measure(full.forward(what, **{a.leaf: moved}).parts, a.v))
    right, left = sides
    here = a.here
    apart = np.abs(right.weights) @ np.abs(right.sample - left.sample)
    return (
        (right.value - left.value) / (2 * step),
        float(apart) / (2 * abs(step) * here.share),
        (right.value + left.value - 2 * here.value) / step,
    )


def compare(full: FullSize, a: Along, eps: float, x: np.ndarray | None = None) -> Compared:
    """Your gradient against differences with shorter and shorter steps, until two of them say the
    same."""
    x = full.value(a.leaf) if x is None else x
    sure = 1e-4 if eps < 1e-12 else 3e-2
    best: tuple[float, float, float, float] | None = None  # blur, miss, scale, step
    bends, before = [], math.nan
    for step, mine in zip(a.steps, a.yours, strict=True):
        slope, spread, bend = difference(full, a, step, x)
        miss, scale = slope - mine, a.size + spread
        rounding = 8 * eps * a.here.root / abs(step)
        bends.append((bend, rounding))
        if math.isfinite(miss):
            blur = abs(miss - before) + rounding
            if math.isfinite(blur) and (best is None or blur < best[0]):
                best = (blur, miss, scale, step)
            if best and 4 * best[0] <= max(MARGIN * eps, 0.05 / x.size) * scale:
                break
        before = miss
    if best is None:
        return Compared("unresolved", math.inf, 0.0, a.size, False, False, a.steps[-1])
    blur, miss, scale, step = best
    error, tolerance = abs(miss), MARGIN * eps * scale + 4 * blur
    large = a.here.size  # what rounding of the whole output can do, per unit of relative change
    tied = _stays(bends)
    if error <= tolerance and 4 * blur <= (sure + MARGIN * eps) * scale:
        verdict = "agree"
    elif error <= MARGIN * eps * large or 4 * blur > sure * scale:
        verdict = "unresolved"
    else:
        verdict = "wrong"
    slope = miss + a.yours[a.steps.index(step)]
    vanishes = abs(slope) <= 1e-9 * large and a.size <= 1e-9 * large
    return Compared(verdict, error, tolerance, scale, tied, vanishes, step)


def _stays(bends: list[tuple[float, float]]) -> bool:
    """Does the bend stay as the step shrinks? Then the slope jumps at the point itself."""
    clear = [b for b, noise in bends if math.isfinite(b) and abs(b) > 30 * noise]
    if len(clear) < 2:
        return False
    a, b = clear[-2:]
    return a != 0 and 0.8 < b / a < 1.25
