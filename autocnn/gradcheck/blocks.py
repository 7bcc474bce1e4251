"""One block of a leaf as a leaf of its own: one gate of an LSTM with packed weights."""

from dataclasses import replace

import numpy as np

from autocnn.gradcheck.outputs import name_gradients
from autocnn.gradcheck.patterns import gate
from autocnn.gradcheck.problem import Problem

__all__ = ["block_problem", "only_block"]

Index = tuple[slice, ...]


def only_block(wrong: np.ndarray, lengths: set[int]) -> tuple[Index, str] | None:
    """(index, words) of the block that holds all wrong entries, where it is smaller than the
    leaf and more than one entry. `lengths` are those of the other arrays' axes.
    """
    if not np.any(wrong) or np.all(wrong) or not wrong.ndim:
        return None
    index, words = [], []
    for k, n in enumerate(wrong.shape):
        hit = np.flatnonzero(wrong.any(axis=tuple(a for a in range(wrong.ndim) if a != k)))
        first, last = int(hit[0]), int(hit[-1])
        index.append(slice(first, last + 1))
        if last - first + 1 < n:
            named = gate(first, last, n, lengths)
            here = f"axis {k}: {first}..{last} of 0..{n - 1}"
            words.append(f"{named} ({here})" if named else here)
    block = wrong[tuple(index)]
    if not words or block.size < 2 or np.count_nonzero(block) < 0.5 * block.size:
        return None
    return tuple(index), "; ".join(words)


def block_problem(problem: Problem, name: str, index: Index) -> Problem:
    """The same function with only one block of a leaf differentiated, under the leaf's name."""
    whole = np.array(problem.arguments[name])

    def through(call):
        def with_block(arguments):
            block = arguments[name]
            full = whole.astype(np.result_type(whole, block))
            full[index] = block
            y, backward, held = call({**arguments, name: full})
            if backward is None:
                return y, backward, held

            def part_of_backward(dy):
                return _cut(backward(dy), problem, name, index)

            return y, part_of_backward, held

        return with_block

    build = problem.build
    return replace(
        problem.at(**{name: np.ascontiguousarray(whole[index])}),
        call=through(problem.call),
        lifted=through(problem.lifted) if problem.lifted is not None else None,
        build=(lambda transform: through(build(transform))) if build is not None else None,
    )


def _cut(grads, problem: Problem, name: str, index: Index):
    arguments = {**problem.arguments}
    named = name_gradients(grads, problem.leaves, arguments, problem.label)
    return {**named, name: np.asarray(named[name])[index]}
