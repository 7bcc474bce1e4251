"""A smaller case that still fails: cut every axis of one length in all arguments at once, as
long as the bug stays.
"""

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np

from autocnn.gradcheck.problem import CallError, Problem

SECONDS = 15.0  # a last resort, for functions of which one call takes tens of milliseconds


def arrays_of(problem: Problem) -> dict[str, np.ndarray]:
    """Return those of the problem's arguments that are arrays, by name."""
    return {n: np.asarray(a) for n, a in problem.arguments.items() if isinstance(a, np.ndarray)}


def lengths(problem: Problem) -> list[int]:
    """The distinct lengths of all axes, longest first."""
    return sorted({n for a in arrays_of(problem).values() for n in a.shape if n > 1}, reverse=True)


def cut(problem: Problem, length: int, new: int) -> Problem:
    """Every axis of `length` cut to `new`: sizes that are equal are taken to mean the same
    thing.
    """
    arguments = {}
    for name, array in arrays_of(problem).items():
        index = tuple(slice(new) if n == length else slice(None) for n in array.shape)
        arguments[name] = np.ascontiguousarray(array[index]).reshape(array[index].shape)
    return problem.at(**arguments)


def variants(problem: Problem, most: int = 40) -> Iterator[Problem]:
    """The problem at other sizes, one length changed at a time: all axes of that length, then one
    axis, then one axis of each of two arguments, since equal sizes need not mean the same.
    """
    arrays = arrays_of(problem)
    places = [(n, k) for n, a in arrays.items() for k, size in enumerate(a.shape) if size > 1]
    chosen = [
        [p for p in places if _size(problem, p) == length] for length in lengths(problem)[::-1]
    ]
    chosen += [[p] for p in places]
    chosen += [
        [p, q]
        for p, q in itertools.combinations(places, 2)
        if p[0] != q[0] and _size(problem, p) == _size(problem, q)
    ]
    unique = list(dict.fromkeys(tuple(which) for which in chosen))
    tries = itertools.chain(
        ((w, s) for w in unique for s in (-1, 1)), ((w, s) for w in unique for s in (2, -2))
    )
    for which, step in itertools.islice(tries, most):
        size = _size(problem, which[0]) + step
        if size > 1:
            yield _resized(problem, which, size)


def _resized(problem: Problem, which, size: int) -> Problem:
    """The problem with the chosen axes cut, or grown by rows that are there already, changed."""
    arguments: dict[str, np.ndarray] = {}
    for name, axis in which:
        array = arguments.get(name, np.asarray(problem.arguments[name]))
        new = np.take(array, np.arange(size) % array.shape[axis], axis)
        if size > array.shape[axis] and new.dtype.kind == "f":
            scale = np.where(np.arange(size) < array.shape[axis], 1.0, 0.7)
            new = new * scale.reshape([-1 if k == axis else 1 for k in range(new.ndim)])
        arguments[name] = np.ascontiguousarray(new).reshape(new.shape)
    return problem.at(**arguments)


def _size(problem: Problem, place: tuple[str, int]) -> int:
    return np.shape(problem.arguments[place[0]])[place[1]]


def shrink(
    problem: Problem,
    fails: Callable,
    enough: Callable,
    most: int = 200,
    seconds: float = SECONDS,
) -> Problem:
    """Cut greedily until enough(problem), nothing more can be cut, or `most` cuts were tried, while
    fails(problem).

    Cuts are counted, and a clock of processor time stops only what would take far too long. Lengths
    stay distinct and above 1 where they were, so that 1 / N and 1 / k can still be told apart.
    """
    stop = time.process_time() + seconds
    progress = True
    while progress and not enough(problem) and time.process_time() < stop and most > 0:
        progress = False
        for length in lengths(problem):
            taken = set(lengths(problem)) - {length}
            for new in sorted({2, 3, 4, 5, 7, length // 2, length - 1}):
                if not 1 < new < length or new in taken:
                    continue
                smaller, most = cut(problem, length, new), most - 1
                try:
                    good = fails(smaller)
                except (CallError, ValueError):
                    continue
                if good:
                    problem, progress = smaller, True
                    break
                if time.process_time() > stop or most <= 0:
                    break
            if progress or enough(problem):
                break
    return problem
