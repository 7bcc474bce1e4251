"""The same cotangent and inputs in other memory layouts must give the same gradients, and a missing
cotangent (None) those of zeros.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np

from autocnn.gradcheck import pytrees
from autocnn.gradcheck.layouts import FILL, misread
from autocnn.gradcheck.problem import COPIED, CallError, Output, Problem, run
from autocnn.gradcheck.report import Cause

__all__ = ["check_layouts"]

Layout = Callable[[np.ndarray], np.ndarray]


def sliced(array: np.ndarray) -> np.ndarray:
    """The values of `array` as every second entry of a larger one, and as its inner rows."""
    if not array.ndim:
        return array
    wide = np.full([n + 1 for n in array.shape[:-1]] + [2 * array.shape[-1]], FILL, array.dtype)
    inner = [slice(1, None)] * (array.ndim - 1)
    view = wide[(*inner, slice(None, None, 2))]
    view[...] = array
    return view


def fortran(array: np.ndarray) -> np.ndarray:
    """The array in Fortran order; a number keeps its shape (), which np.asfortranarray does not."""
    return np.asfortranarray(array) if array.ndim else array


LAYOUTS: tuple[tuple[str, Layout], ...] = (
    ("a slice of a larger array", sliced),
    ("Fortran order (the transpose of a contiguous array)", fortran),
)


def check_layouts(problem: Problem, names: list[str], rng: np.random.Generator) -> list[Cause]:
    """Causes for the leaves `names` whose gradient depends on a memory layout. A backward pass that
    refuses a layout gets a warning.
    """
    given = problem.values(None if problem.given else np.float64)
    out = run(problem, given)
    dy = rng.standard_normal(out.flat.size)
    plain = _gradients(out.backward(dy), names)
    causes: list[Cause] = []

    def again() -> Output:  # one forward is enough where backward can be called repeatedly
        return out if problem.repeatable else run(problem, given)

    if any(len(shape) for shape in out.shapes):
        for text, layout in LAYOUTS:
            causes += _with_dy(problem, again, dy, plain, text, layout)
        causes += _with_broadcast_dy(problem, again, np.ones(out.flat.size), plain)
    if any(x.ndim for x in given.values()):
        for text, layout in LAYOUTS:
            moved = {n: layout(np.array(x)) for n, x in given.items()}
            if problem.streams and _draws_otherwise(problem, moved, out.flat):
                continue
            causes += _compare(
                problem,
                plain,
                f"the inputs as {text}",
                lambda m=moved: run(_others_copied(problem), m, fresh=False).backward(dy),
            )
    if len(out.shapes) > 1:
        causes += _without_one(problem, again, dy, names)
    seen: set[tuple] = set()
    return [c for c in causes if not ((c.code, c.leaf) in seen or seen.add((c.code, c.leaf)))]


def _draws_otherwise(problem: Problem, moved: dict, y: np.ndarray) -> bool:
    """Does a random function draw other numbers for another layout, as torch's dropout does?"""
    try:
        other = run(_others_copied(problem), moved, fresh=False).flat
    except CallError:
        return False
    return not np.allclose(other, y, rtol=1e-4, atol=1e-6 * float(np.max(np.abs(y))))


def _others_copied(problem: Problem) -> Problem:
    """The problem with copies of all arguments but the leaves, for a call on arrays as they lie."""
    others = {n: v for n, v in problem.arguments.items() if n not in problem.leaves}
    return problem.at(**{n: deepcopy(v) for n, v in others.items() if isinstance(v, COPIED)})


def _gradients(grads: dict[str, Any], names) -> dict[str, np.ndarray]:
    return {n: np.array(grads[n], dtype=np.float64) for n in names if grads.get(n) is not None}


def _each(cotangent: Any, change: Callable[[np.ndarray], Any]) -> Any:
    """`change` applied to each array of a cotangent."""
    return pytrees.tree_map(lambda c: change(c) if isinstance(c, np.ndarray) else c, cotangent)


def _with_dy(problem, again, dy, plain, text: str, layout: Layout) -> list[Cause]:
    def backward(change):
        return again().backward(dy, look=lambda c: _each(c, change))

    causes = _compare(problem, plain, f"dy as {text}", lambda: backward(layout))
    if causes and causes[0].level == "error":
        told = _gradients(backward(lambda d: misread(layout(d))), list(plain))
        seen = _gradients(backward(layout), list(plain))
        if all(_same(problem, n, seen[n], told[n]) for n in seen):
            why = ": its memory is read as if it were contiguous, its strides are ignored"
            causes = [c._replace(message=c.message + why) for c in causes]
    return causes


def _with_broadcast_dy(problem, again, ones: np.ndarray, usual) -> list[Cause]:
    try:
        plain = _gradients(again().backward(ones), list(usual))
    except CallError:
        return []

    def broadcast(array: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.ones((), array.dtype), array.shape)

    return _compare(
        problem,
        plain,
        "dy as one number with strides 0 (what a sum passes back)",
        lambda: again().backward(ones, look=lambda c: _each(c, broadcast)),
        usual,
    )


def _without_one(problem, again, dy, names) -> list[Cause]:
    """None for one of several outputs, as frameworks pass for an output that is not used."""
    shapes = again().shapes
    sizes = [int(np.prod(s)) for s in shapes]
    for k in range(len(shapes)):
        start = sum(sizes[:k])
        without = dy.copy()
        without[start : start + sizes[k]] = 0.0
        plain = _gradients(again().backward(without), names)

        def drop(cotangent: Any, k: int = k) -> Any:
            parts = [c for _, c in pytrees.leaves(cotangent)]
            parts[k] = None
            return pytrees.rebuild(cotangent, iter(parts))

        causes = _compare(
            problem,
            plain,
            f"None for the cotangent of output {k}",
            lambda w=without, d=drop: again().backward(w, look=d),
        )
        if causes and causes[0].level == "error":
            return causes
        if causes and problem.passes_none:
            text = (
                f"backward fails where output {k} is not used: its cotangent is None then "
                f"({causes[0].message.partition('refused: ')[2]})"
            )
            return [Cause("raises", None, text)]
    return []  # None is refused by many right functions: nothing to say


def _compare(
    problem: Problem, plain, what: str, call: Callable[[], dict], usual: dict | None = None
) -> list[Cause]:
    """A cause for each leaf whose gradient is not `plain`; `usual` are gradients of the usual
    size, where those of `plain` may cancel.
    """
    try:
        grads = _gradients(call(), list(plain))
    except CallError as error:
        reason = error.__cause__ or error
        text = f"{what} is refused: {type(reason).__name__}: {str(reason).splitlines()[0]}"
        return [Cause("layout", None, text, level="warning")]
    return [
        Cause("layout", n, f"with {what}, of the same values, the gradient is another")
        for n in plain
        if n not in grads or not _same(problem, n, grads[n], plain[n], (usual or plain).get(n))
    ]


def _same(problem: Problem, name: str, a: np.ndarray, b: np.ndarray, usual=None) -> bool:
    """Equal up to the order of sums, which may depend on the layout."""
    if a.shape != b.shape:
        return False
    size = max(np.max(np.abs(x), initial=0.0) for x in (b, b if usual is None else usual))
    eps = problem.eps_of(name)
    room = min(1e5 * eps, max(2e-2, 64 * eps)) * size
    return bool(np.all((np.abs(a - b) <= room) | (np.isnan(a) & np.isnan(b))))
