"""Random directions and sums over arrays of any size, a block at a time: none of them makes a copy
of an array."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.chunks import BLOCK, Index, blocks, flat

__all__ = ["Direction", "Measured", "measure", "unit_of"]

PERIOD = 2**16 + 1
SAMPLE = 2**16  # entries of the output that are kept


class Direction:
    """A random direction of a shape, made again whenever it is read: the Gaussian numbers of one
    table, of which each block reads another stretch, times a random factor for the block.

    For an array that is not zero the product with it is zero with probability zero.
    """

    def __init__(self, shape: tuple[int, ...], *seed: int):
        rng = np.random.default_rng(seed)
        size = math.prod(shape)
        self.shape = shape
        self.blocks = list(blocks(shape))
        self._table = rng.standard_normal(min(size, PERIOD + BLOCK))
        factors = rng.uniform(0.5, 1.5, len(self.blocks)) * rng.choice([-1.0, 1.0])
        self._factors = factors * rng.choice([-1.0, 1.0], len(self.blocks))

    def __iter__(self) -> Iterator[tuple[Index, int, np.ndarray]]:
        """(index, position, the flat values there) for each block."""
        lengths = np.diff([start for _, start in self.blocks] + [math.prod(self.shape)])
        for (index, start), n, factor in zip(self.blocks, lengths, self._factors, strict=True):
            first = start % PERIOD
            yield index, start, factor * self._table[first : first + n]

    def array(self, dtype: np.dtype) -> np.ndarray:
        """The whole direction as an array."""
        whole = np.empty(self.shape, dtype)
        for index, _, u in self:
            whole[index] = u.reshape(whole[index].shape)
        return whole

    def is_equal(self, array: np.ndarray) -> bool:
        """Is `array` still what `array(dtype)` gave?"""
        return all(
            np.array_equal(flat(array, index), u.astype(array.dtype)) for index, _, u in self
        )

    def move(
        self,
        x: np.ndarray,
        step: float,
        unit: float,
        target: np.ndarray,
        among: range | None = None,
    ) -> None:
        """Write x + step w into `target`, with w = u min(|x|, unit): entries move in proportion to
        their size, and keep their sign. Zeros move by u unit. `among` are the blocks that move, by
        default all."""
        for k, (index, _, u) in enumerate(self):
            part = x[index]
            if among is None or k in among:
                part = _shifted(flat(x, index), step, u, unit).reshape(np.shape(part))
            target[index] = part

    def project(
        self,
        g: np.ndarray,
        x: np.ndarray,
        steps: tuple[float, ...],
        unit: float,
        among: range | None = None,
    ) -> tuple[list[float], float]:
        """(for each step, g . (the move by step - the move by -step) / (2 step), as `move` rounds
        them; sum |g w|)."""
        sums: list[list[float]] = [[] for _ in steps]
        sizes = []
        for k, (index, _, u) in enumerate(self):
            if among is not None and k not in among:
                continue
            slopes, part = flat(g, index).astype(np.float64), flat(x, index)
            w = u * _reach(part, unit)
            sizes.append(_dot(np.abs(slopes), np.abs(w)))
            plain = _dot(slopes, w)
            for found, step in zip(sums, steps, strict=True):
                if abs(step) > 2.0**-20 and x.dtype == np.float64:  # rounding of the move is lost
                    found.append(plain)
                    continue
                apart = [_shifted(part, s, u, unit).astype(np.float64) for s in (step, -step)]
                found.append(_dot(slopes, apart[0] - apart[1]) / (2 * step))
        return [math.fsum(s) for s in sums], math.fsum(sizes)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """a . b without BLAS, whose threads cost more than they save on a block."""
    return float(np.einsum("i,i->", a, b))


def _reach(x: np.ndarray, unit: float) -> np.ndarray:
    size = np.minimum(np.abs(x), unit).astype(np.float64)
    if not size.all():
        size[size == 0] = unit
    return size


def _shifted(x: np.ndarray, step: float, u: np.ndarray, unit: float) -> np.ndarray:
    return (x + step * (u * _reach(x, unit))).astype(x.dtype)


def unit_of(x: np.ndarray) -> float:
    """Root mean square of x, 1 where that is 0 (see `point.rms`)."""
    tops, squares = [], []
    for index, _ in blocks(x.shape):
        part = flat(x, index).astype(np.float64)
        top = float(np.max(np.abs(part)))
        tops.append(top)
        squares.append(top * top * float(np.mean((part / top) ** 2)) * part.size if top else 0.0)
    return math.sqrt(math.fsum(squares) / x.size) if max(tops) else 1.0


class Measured(NamedTuple):
    """Sums over the outputs y with the cotangent v: v . y, sum |v y|, sqrt(sum (v y)^2), whether
    all of y is finite, and some entries of y with those of v, `share` of all."""

    value: float
    size: float
    root: float
    finite: bool
    sample: np.ndarray
    weights: np.ndarray
    share: float
    dtypes: tuple[np.dtype, ...]


def measure(parts: list[np.ndarray], v: list[Direction]) -> Measured:
    """Read the outputs once."""
    total = sum(p.size for p in parts)
    every = -(-total // SAMPLE)
    products, sizes, squares, finite = [], [], [], True
    sample, weights = [], []
    for part, direction in zip(parts, v, strict=True):
        for index, start, u in direction:
            y = flat(part, index).astype(np.float64)
            u = u.astype(part.dtype).astype(np.float64)
            product = u * y
            products.append(float(np.sum(product)))
            sizes.append(float(np.sum(np.abs(product))))
            squares.append(_dot(product, product))
            finite &= bool(np.isfinite(products[-1]))
            sample.append(y[-start % every :: every].copy())
            weights.append(u[-start % every :: every].copy())
    kept, known = np.concatenate(sample), np.concatenate(weights)
    share = len(kept) / total
    value = math.fsum(products) if finite else math.nan
    root = math.sqrt(math.fsum(squares)) if finite else math.nan
    dtypes = tuple(p.dtype for p in parts)
    return Measured(value, sum(sizes), root, finite, kept, known, share, dtypes)
