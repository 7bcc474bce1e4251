"""Gradients that are right for one another's leaves: returned in another order, or exchanged."""

import numpy as np

from autocnn.gradcheck.point import Point
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.witnesses import choose, slope

__all__ = ["exchanged"]

PROJECTIONS = 3


def exchanged(
    point: Point, wrong: list[str], rng: np.random.Generator
) -> tuple[list[str], Cause] | None:
    """(the leaves concerned, the cause) when the wrong leaves' gradients are a permutation of the
    right ones, else None."""
    names = [n for n in point.problem.leaves if n in wrong]
    if not 2 <= len(names) <= 12:
        return None
    leaves = {n: choose(point, n, rng) for n in names}
    fits: dict[str, set[str]] = {n: set(names) for n in names}  # leaf -> returned under which names
    try:
        for _ in range(PROJECTIONS):
            out = point.run()
            v = rng.standard_normal(out.flat.size)
            grads = out.backward(v)
            for name, leaf in leaves.items():
                u = rng.standard_normal(leaf.x.shape)
                seen = slope(leaf, u, v)
                for other in names:
                    g = np.asarray(grads.get(other), dtype=np.float64)
                    if g.shape != leaf.x.shape:
                        fits[name].discard(other)
                        continue
                    scale = float(np.sum(np.abs(g * u))) + seen.spread
                    if abs(float(np.vdot(g, u)) - seen.value) > 1e-6 * scale + 4 * seen.error:
                        fits[name].discard(other)
    except (CallError, ValueError, TypeError):
        return None
    taken = {name: next(iter(found)) for name, found in fits.items() if len(found) == 1}
    if len(taken) != len(names) or len(set(taken.values())) != len(names):
        return None
    if all(name == other for name, other in taken.items()):
        return None
    everyone = list(point.problem.leaves)
    returned = {other: name for name, other in taken.items()}
    yours = ", ".join(f"d{returned.get(n, n)}" for n in everyone)
    message = (
        f"the gradients are right, but in another order: the leaves are {', '.join(everyone)}, and "
        f"you return {yours}"
    )
    same = len({leaf.x.shape for leaf in leaves.values()}) == 1
    return names, Cause("wrong-operand" if same else "permuted", None, message)
