"""How far a right gradient may be off in its own precision: an error model for each entry of each
leaf, measured and not assumed.

A kernel rounds its operands, its intermediate values and its sums. What that does to an entry is
measured by moving all operands (and the cotangent) of the float64 reference by random relative
amounts of one unit roundoff u: the entry's standard deviation is u times its condition number, the
length and cancellation of its sums included. Where operands of random sign are summed that is
u sqrt(T) of a typical term; where they share a sign, u sqrt(T) / T of the sum. On top of it come
the rounding of the result, and a floor of u times the leaf's root mean square, since a kernel may
form a small entry from large ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.kernels.backends import DTYPES

__all__ = ["MAX_Z", "RMS_Z", "Model", "perturbed", "rms", "shrunk", "sum_lengths", "unit_errors"]

Gradients = dict[str, np.ndarray]
#: (values in float64 by name, cotangents in float64) -> gradients in float64
Golden = Callable[[dict[str, np.ndarray], list[np.ndarray]], Gradients]

RMS_Z = 5.0  # a right kernel rounds at several places, each worth about one standard deviation
MAX_Z = 24.0  # of the largest entry; condition numbers from a few draws are off by a factor of 3
DRAWS = 6


class Model(NamedTuple):
    """One leaf's error model: `sigma` for each entry in its own precision, `terms` the length of
    its longest sum, `unit` the unit roundoff.
    """

    sigma: np.ndarray
    terms: float
    unit: float

    def shaken(self, gradient: np.ndarray, noise: float) -> "Model":
        """The model with noise of `noise` of each entry, or of the root mean square."""
        size = np.maximum(np.abs(gradient), rms(gradient))
        return self._replace(sigma=np.hypot(self.sigma, noise * size))

    def blurred(self, bar: np.ndarray | None) -> "Model":
        """The model with the error bar of the golden gradient itself, None for none."""
        return self if bar is None else self._replace(sigma=np.hypot(self.sigma, bar))

    def z(self, error: np.ndarray) -> tuple[float, float]:
        """(root mean square, maximum) of error / sigma. An error where sigma is 0 counts as inf."""
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(error == 0, 0.0, np.abs(error) / self.sigma)
        return rms(z), float(np.max(z, initial=0.0))

    def allows(self, error: np.ndarray) -> bool:
        """Could a right kernel of this precision be off by `error`?"""
        mean, top = self.z(error)
        return mean <= RMS_Z and top <= MAX_Z


def rms(x: np.ndarray) -> float:
    """Root mean square; 0.0 for an empty array."""
    x = np.asarray(x, dtype=np.float64)
    if not x.size:
        return 0.0
    top = float(np.max(np.abs(x)))
    if not np.isfinite(top) or top == 0.0:
        return top
    return top * float(np.sqrt(np.mean((x / top) ** 2)))


def perturbed(array: np.ndarray, size: float, rng: np.random.Generator) -> np.ndarray:
    """`array` with each float entry moved by a relative amount, uniform in [-size, size]."""
    if array.dtype.kind != "f":
        return array
    return array * (1 + size * rng.uniform(-1, 1, array.shape))


def unit_errors(
    golden: Golden,
    gradients: Gradients,
    values: dict[str, np.ndarray],
    dys: list[np.ndarray],
    leaves: tuple[str, ...],
    unit: float,
    rng: np.random.Generator,
) -> Gradients:
    """For each entry of each leaf, the error that rounding every operand once would make."""
    total = {n: np.zeros(g.shape) for n, g in gradients.items()}
    for _ in range(DRAWS):
        moved = {n: perturbed(v, unit, rng) if n in leaves else v for n, v in values.items()}
        found = golden(moved, [perturbed(dy, unit, rng) for dy in dys])
        for n in total:
            total[n] += np.nan_to_num((found[n] - gradients[n]) ** 2, posinf=0.0)
    return {n: np.sqrt(3 * t / DRAWS) for n, t in total.items()}


def model(gradient: np.ndarray, error: np.ndarray, terms: float, dtype: str) -> Model:
    """The error model of one leaf from its float64 gradient and `unit_errors`."""
    unit, smallest, _ = DTYPES[dtype]
    result = np.hypot(gradient, rms(gradient)) * unit
    return Model(np.hypot(error, result) + smallest * np.sqrt(terms), terms, unit)


def sum_lengths(
    golden: Golden, values: dict, dys: list[np.ndarray], gradients: Gradients, rng
) -> dict[str, float]:
    """T for each leaf: how many entries of the cotangents an entry of the gradient sums over,
    estimated from the gradients of single entries.
    """
    size = sum(dy.size for dy in dys)
    touched = {n: 0.0 for n in gradients}
    for _ in range(3):
        one = [np.zeros_like(dy) for dy in dys]
        k = int(rng.integers(len(dys)))
        if not dys[k].size:
            continue
        one[k].flat[int(rng.integers(dys[k].size))] = 1.0
        for n, g in golden(values, one).items():
            touched[n] = max(touched[n], float(np.count_nonzero(g)))
    longest = max(touched.values(), default=1.0)
    return {n: max(1.0, longest, size * touched[n] / max(1, g.size)) for n, g in gradients.items()}


def shrunk(dys: list[np.ndarray], terms: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The cotangents with all entries zero but a share of 1 / terms: sums of length about one."""
    kept = []
    for dy in dys:
        few = max(1, int(dy.size / terms))
        mask = np.zeros(dy.size)
        mask[rng.choice(dy.size, size=min(few, dy.size), replace=False)] = 1.0
        kept.append(dy * mask.reshape(dy.shape))
    return kept
