"""Where a gradient is wrong that is right on a smaller copy: halves of halves of the leaf."""

import math

from autocnn.gradcheck.large.calls import FullSize
from autocnn.gradcheck.large.slopes import Along, Compared, difference

__all__ = ["wrong_entries"]

HALVINGS = 7


def wrong_entries(full: FullSize, a: Along, result: Compared) -> tuple[int, int]:
    """(first, last) of the flattened entries among which the wrong ones are looked for: the
    narrowest range that holds nine tenths of the difference along this direction."""
    x = full.value(a.leaf)
    _, _, grads = full.gradients(*a.seed)
    g = grads[a.leaf]
    span = range(len(a.w.blocks))
    for _ in range(HALVINGS):
        if len(span) < 2:
            break
        middle = (span.start + span.stop) // 2
        halves = range(span.start, middle), range(middle, span.stop)
        misses = [_miss(full, a, g, x, half, result.step) for half in halves]
        total = sum(misses)
        half = next((h for h, m in zip(halves, misses, strict=True) if m > 0.9 * total), None)
        if half is None:
            break
        span = half
    starts = [start for _, start in a.w.blocks] + [math.prod(x.shape)]
    return starts[span.start], starts[span.stop] - 1


def _miss(full: FullSize, a: Along, g, x, among: range, step: float) -> float:
    (mine,), _ = a.w.project(g, x, (step,), a.unit, among)
    return abs(difference(full, a, step, x, among)[0] - mine)
