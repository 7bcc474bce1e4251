"""Where a problem is measured: a point (a problem at given values) and one leaf of it with its
witness."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.problem import Output, Problem, run

__all__ = ["LeafAt", "Point", "Values", "Witness", "redraw", "rms", "rms_or_zero"]

Values = dict[str, np.ndarray]


class Witness(NamedTuple):
    """How to measure one leaf: method "complex step" or "real differences", on the lifted copy of
    the function or on itself, and a note on why."""

    method: str
    lifted: bool
    note: str = ""

    @property
    def exact(self) -> bool:
        """True for the complex step, which is right to rounding."""
        return self.method == "complex step"


@dataclass(frozen=True)
class Point:
    """A problem at given values of its leaves."""

    problem: Problem
    values: Values

    def run(self, what: str = "forward", lifted: bool = False) -> Output:
        """Call forward on fresh copies of the values."""
        return run(self.problem, self.values, what, lifted)

    def replace(self, /, **values: np.ndarray) -> "Point":
        """The same problem with other values of some leaves."""
        return Point(self.problem, {**self.values, **values})

    def shifted(self, name: str, step: np.ndarray) -> "Point":
        """The point with `step` added to one leaf, in the step's dtype."""
        return self.replace(**{name: self.values[name] + step})

    def redraw(self, rng: np.random.Generator, attempt: int) -> "Point":
        """Another point, drawn by `redraw`."""
        return Point(self.problem, redraw(self.values, rng, attempt))


@dataclass(frozen=True)
class LeafAt:
    """One leaf at one point, and the witness that measures it there."""

    point: Point
    name: str
    witness: Witness

    @property
    def problem(self) -> Problem:
        return self.point.problem

    @property
    def values(self) -> Values:
        return self.point.values

    @property
    def x(self) -> np.ndarray:
        """The leaf's value."""
        return self.point.values[self.name]

    def at(self, point: Point) -> "LeafAt":
        """The same leaf and witness at another point."""
        return LeafAt(point, self.name, self.witness)

    def by(self, witness: Witness) -> "LeafAt":
        """The same leaf by another witness."""
        return LeafAt(self.point, self.name, witness)

    def shifted(self, step: np.ndarray) -> Point:
        """The point with `step` added to this leaf."""
        return self.point.shifted(self.name, step)

    @property
    def eps(self) -> float:
        """The rounding by which a right gradient of this leaf may be off, relative."""
        return self.problem.eps_of(self.name)

    def yours(self, v: np.ndarray) -> np.ndarray:
        """Your gradient of this leaf for the flat cotangent v, after a forward of its own."""
        return np.array(self.point.run().backward(v)[self.name], dtype=np.float64)


def rms(x: np.ndarray) -> float:
    """Root mean square, 1 where that is 0: a step needs some length."""
    x = np.asarray(x, dtype=np.float64)
    top = float(np.max(np.abs(x))) if x.size else 0.0
    return top * float(np.sqrt(np.mean((x / top) ** 2))) if top else 1.0


def rms_or_zero(x: np.ndarray) -> float:
    """Root mean square, 0 for zeros."""
    return rms(x) if np.any(x) else 0.0


def redraw(values: Values, rng: np.random.Generator, attempt: int) -> Values:
    """Other values: near the given ones at attempt 0, then of unit size with the leaf's sign and
    bounds kept."""
    if attempt == 0:
        return {n: x * (1 + 0.1 * rng.standard_normal(x.shape)) for n, x in values.items()}
    fresh = {}
    for name, x in values.items():
        if np.all((x > 0) & (x < 1)):
            fresh[name] = rng.uniform(0.2, 0.8, x.shape)
        elif np.all(x > 0) or np.all(x < 0):
            fresh[name] = np.sign(x) * rng.uniform(0.5, 1.5, x.shape)
        else:
            fresh[name] = rng.standard_normal(x.shape)
    return fresh
