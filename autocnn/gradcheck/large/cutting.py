"""A smaller copy of a problem: every long axis cut, as far as the function still runs."""

import itertools
from collections.abc import Iterator

import numpy as np

from autocnn.gradcheck.problem import CallError, Problem, run
from autocnn.gradcheck.shrink import arrays_of

__all__ = ["smaller_copy"]

LONG = 40  # an axis up to this length stays as it is
ENOUGH = 4000  # entries of all arguments in which nothing needs to be cut any more
#: Lengths that are tried, the first that no other axis has: sizes that differ stay different.
_LINE = (31, 37, 29, 23, 19, 17, 16, 32, 64)
_PLANE = (13, 17, 19, 23, 11, 29, 31, 16, 32, 64)
_DEEP = (5, 7, 11, 13, 3, 8, 16, 32, 64)

Axis = tuple[str, int]


def smaller_copy(problem: Problem, needed: set[str]) -> Problem | None:
    """The problem on the leading entries of its arguments, at most a few thousand, where forward
    and backward run and give the leaves `needed` gradients of the right shape; else None."""
    small = problem
    while _entries(small) > ENOUGH:
        found = next((p for p in _cuts(small) if _runs(p, needed)), None)
        if found is None:
            break
        small = found
    return small if 20 * _entries(small) < _entries(problem) else None


def _entries(problem: Problem) -> int:
    return sum(a.size for a in arrays_of(problem).values())


def _length(problem: Problem, axis: Axis) -> int:
    return np.shape(problem.arguments[axis[0]])[axis[1]]


def _cuts(problem: Problem) -> Iterator[Problem]:
    """One length cut: a single axis, then two and three of the same length, then all. Arrays with
    most entries first. Where integers index what was cut, they are taken modulo its length."""
    arrays = sorted(arrays_of(problem).items(), key=lambda item: -item[1].size)
    axes = [(n, k) for n, a in arrays for k, length in enumerate(a.shape) if length > LONG]
    for first in axes:
        length = _length(problem, first)
        same = [a for a in axes if a != first and _length(problem, a) == length]
        groups = [(first,), *((first, a) for a in same)]
        groups += [(first, *pair) for pair in itertools.combinations(same, 2)]
        groups += [(first, *same)] if len(same) > 2 else []
        taken = {n for a in arrays_of(problem).values() for n in a.shape}
        most = max(np.ndim(problem.arguments[n]) for n, _ in axes)
        tried = _LINE if most == 1 else _PLANE if most == 2 else _DEEP
        new = [n for n in tried if n not in taken and n < length]
        for group, size in itertools.product(groups, [*new[:1], *new[-2:], length // 2]):
            cut = _cut(problem, group, size)
            yield cut
            folded = _folded(cut, length, size)
            if folded is not None:
                yield folded


def _cut(problem: Problem, axes: tuple[Axis, ...], size: int) -> Problem:
    arguments = {}
    for name in dict.fromkeys(n for n, _ in axes):
        array = problem.arguments[name]
        cut = {k for n, k in axes if n == name}
        index = tuple(slice(size) if k in cut else slice(None) for k in range(array.ndim))
        arguments[name] = array[index].copy()
    return problem.at(**arguments)


def _folded(problem: Problem, length: int, size: int) -> Problem | None:
    """Integers that reach into an axis of `length`, modulo its new size."""
    indices = {
        n: a % size
        for n, a in arrays_of(problem).items()
        if a.dtype.kind in "iu" and a.size and size <= np.max(a) < length and np.min(a) >= 0
    }
    return problem.at(**indices) if indices else None


def _runs(problem: Problem, needed: set[str]) -> bool:
    try:
        out = run(problem, {})
        grads = out.backward(np.ones(out.flat.size))
    except (CallError, ValueError):
        return False
    if not np.all(np.isfinite(out.flat)):
        return False
    return all(
        grads.get(n) is not None and np.shape(grads[n]) == np.shape(problem.arguments[n])
        for n in needed
    )
