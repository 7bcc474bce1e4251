"""Does an array of rank 2 hide a mistake that a further axis shows?

Layer norms, biases and gates treat every row alike, and so take further axes in front. A backward
pass that sums over axis 0 alone is right at rank 2 and wrong for a batch of sequences, often
without a word.
"""

from dataclasses import replace

import numpy as np

from autocnn.gradcheck.outputs import VaryingShape
from autocnn.gradcheck.point import rms
from autocnn.gradcheck.problem import CallError, Output, Problem, run

__all__ = ["hidden_by_rank"]

LARGEST = 100_000  # entries of the array that is doubled
CLOSE = 1e-6  # a mistake is far larger, and float32 inside is far closer


def hidden_by_rank(problem: Problem) -> tuple[str, str] | None:
    """Return (the leaf, what is wrong once it has a further axis), or None where nothing is, or the
    function takes no further axis, or does not treat its rows alike.

    The gradients at rank 2 must have been found right: two calls at rank 2 say what the gradients
    of one call with both arrays stacked must be.
    """
    name = _rows(problem)
    if name is None:
        return None
    try:
        return _compare(problem, name)
    except (CallError, VaryingShape, FloatingPointError):  # it says so itself: nothing is hidden
        return None


def _rows(problem: Problem) -> str | None:
    """The only array of rank 2 that has a row for each of the output's, where no other has."""
    shapes = problem.output_shapes or ()
    if len(shapes) != 1 or not shapes[0]:
        return None
    arrays = {n: np.shape(v) for n, v in problem.arguments.items() if np.ndim(v)}
    rowwise = [n for n, shape in arrays.items() if shape[0] == shapes[0][0]]
    if len(rowwise) != 1 or rowwise[0] not in problem.leaves:
        return None
    shape = arrays[rowwise[0]]
    fits = len(shape) == 2 and 1 < shape[0] != shape[1] and np.prod(shape) <= LARGEST
    return rowwise[0] if fits else None


def _compare(problem: Problem, name: str) -> tuple[str, str] | None:
    rng = np.random.default_rng(21)
    values = problem.values()
    x = values[name]
    both = np.stack([x, x + 0.3 * rms(x) * rng.standard_normal(x.shape)])
    free = replace(problem, output_shapes=None, sized=frozenset())
    stacked = replace(free, arguments={**free.arguments, name: both.astype(x.dtype)})
    whole = run(stacked, {**values, name: both})
    parts = [run(free, {**values, name: one}) for one in both]
    rows = np.concatenate([part.flat for part in parts])
    if whole.flat.shape != rows.shape or not _close(whole.flat, rows):
        return None
    dy = rng.standard_normal(rows.size)
    halves = np.split(dy, 2)
    singly = [_gradients(part, half) for part, half in zip(parts, halves, strict=True)]
    together = _gradients(whole, dy)
    for leaf in problem.leaves:
        if any(grads.get(leaf) is None for grads in (*singly, together)):
            continue
        one, other, mine = (np.asarray(g[leaf], dtype=float) for g in (*singly, together))
        right = np.stack([one, other]) if leaf == name else one + other
        if mine.shape != right.shape:
            return name, f"the gradient of {leaf} has shape {mine.shape}, not {right.shape}"
        if not _close(mine, right):
            return name, f"the gradient of {leaf} is wrong"
    return None


def _gradients(out: Output, dy: np.ndarray) -> dict:
    grads = out.backward(dy)
    return {n: None if g is None else np.array(g) for n, g in grads.items()}


def _close(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.max(np.abs(a - b), initial=0.0) <= CLOSE * np.max(np.abs(b), initial=1e-300))
