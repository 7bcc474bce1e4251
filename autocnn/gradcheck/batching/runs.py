"""The gradients of a batch of cotangents: one after the other, and at once in each way that a
library offers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.gradcheck import pytrees
from autocnn.gradcheck.problem import Problem, run

__all__ = ["Batch", "Runs", "Unsupported", "Way", "numpy_runs", "output", "sizes"]


class Batch(NamedTuple):
    """K rows: cotangents, one array for each output, and arguments by leaf; arguments that are None
    are the given ones for all rows."""

    dys: list[np.ndarray]  # (K, *shape) each
    values: dict[str, np.ndarray] | None = None

    def row(self, k: int) -> "Batch":
        """Row k alone."""
        values = self.values and {n: v[k] for n, v in self.values.items()}
        return Batch([d[k] for d in self.dys], values)


class Way(NamedTuple):
    """One way to give a batch: in words, whether the arguments are a batch too, and
    batch -> gradients (K, *shape) by leaf, and outputs by `output` where it batches them."""

    what: str
    arguments: bool
    run: Callable[[Batch], dict[str, Any]]


class Runs(NamedTuple):
    """How one function is run: its leaves, the shapes of its outputs, one row -> gradients, and
    all ways to run a batch."""

    leaves: dict[str, np.ndarray]
    shapes: list[tuple[int, ...]]
    single: Callable[[Batch], dict[str, Any]]
    ways: list[Way]
    eps: float


class Unsupported(Exception):
    """A way that the function does not claim to support."""


def output(k: int) -> str:
    """The name of output k beside those of the leaves; ways that batch the arguments give it."""
    return f"output {k}"


def sizes(runs: Runs) -> int:
    """The length of a batch: at least 4, and not the length of any axis."""
    taken = {n for s in runs.shapes for n in s} | {n for x in runs.leaves.values() for n in x.shape}
    return next(k for k in range(4, 1000) if k not in taken)


def numpy_runs(problem: Problem, eps: float) -> Runs:
    """A backward pass in NumPy that takes dy with an extra leading axis."""
    values = problem.values(None if problem.given else np.float64)
    out = run(problem, values)
    if not any(out.shapes):
        raise Unsupported("the output is a number: there is no batch of cotangents to try")
    bounds = np.cumsum([0, *(int(np.prod(s)) for s in out.shapes)])

    def parts(dys: list[np.ndarray]) -> Callable[[Any], Any]:
        return lambda cotangent: pytrees.rebuild(cotangent, iter([np.array(d) for d in dys]))

    def single(row: Batch) -> dict[str, Any]:
        flat = np.concatenate([np.ravel(d) for d in row.dys])
        return run(problem, values).backward(flat)

    def stacked(batch: Batch) -> dict[str, Any]:
        fresh = run(problem, values)
        return fresh.backward(np.zeros(bounds[-1]), look=parts(batch.dys))

    leaves = {n: np.asarray(values[n]) for n in problem.leaves}
    way = Way("dy with a leading axis", False, stacked)
    return Runs(leaves, list(out.shapes), single, [way], eps)
