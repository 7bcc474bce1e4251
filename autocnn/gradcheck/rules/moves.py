"""Rules for a gradient whose axes are exchanged, reversed, rolled or shifted."""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.factors import describe
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, factor, residual


def moves(shape: tuple[int, ...]):
    """(code, words, function on arrays of (outputs, *shape)) for each rearrangement that keeps
    the leaf's shape.
    """
    axes = range(len(shape))
    for order in itertools.permutations(axes):
        if tuple(order) == tuple(axes) or tuple(shape[k] for k in order) != shape:
            continue
        moved = [k for k in axes if order[k] != k]
        code = "transposed" if len(moved) == 2 else "permuted"
        words = (
            f"with axes {moved[0]} and {moved[1]} exchanged"
            if len(moved) == 2
            else f"with its axes in the order {order}"
        )
        yield code, words, lambda a, order=order: a.transpose(0, *(k + 1 for k in order))
    for count in range(1, len(shape) + 1):
        for which in itertools.combinations([k for k in axes if shape[k] > 1], count):
            words = (
                f"reversed along {'axis' if count == 1 else 'axes'} {', '.join(map(str, which))}"
            )
            yield "flipped", words, lambda a, which=which: np.flip(a, [k + 1 for k in which])
    for k in axes:
        for step in range(1, shape[k]):
            words = f"rolled by {step if step <= shape[k] // 2 else step - shape[k]} along axis {k}"
            yield "shifted", words, lambda a, k=k, step=step: np.roll(a, step, k + 1)
    if len(shape) > 1 and len({*shape}) == 1:
        for order in itertools.permutations(axes):
            for which in itertools.product([False, True], repeat=len(shape)):
                if tuple(order) != tuple(axes) and any(which):
                    turned = [k + 1 for k in axes if which[k]]
                    yield (
                        "permuted",
                        "turned",
                        lambda a, o=order, t=turned: np.flip(
                            a.transpose(0, *(k + 1 for k in o)), t
                        ),
                    )
    for order in itertools.permutations(axes):
        mixed = tuple(shape[k] for k in order)
        if tuple(order) != tuple(axes) and mixed != shape:
            words = f"laid out as {mixed} and reshaped to {shape} instead of transposed back"
            yield (
                "permuted",
                words,
                lambda a, o=order: a.transpose(0, *(k + 1 for k in o)).reshape(a.shape),
            )


def moved(e: Evidence) -> Cause | None:
    """G is J with the leaf's axes exchanged, reversed or rolled; shifted also where the entries
    that fall out are lost.
    """
    if e.x.size < 2:
        return None
    J, G = e.grids
    for code, words, move in moves(e.shape):
        if close(G, move(J)):
            return Cause(code, e.name, f"yours is the gradient {words}", None, residual(G, move(J)))
        c = factor(G, move(J))
        if c is not None and code != "shifted":
            named = describe(c, e.problem, e.name, e.yshape)
            return Cause(
                code,
                e.name,
                f"yours is {c:.6g}{f' = {named}' if named else ''} x the gradient {words}",
                c,
            )
    return _shifted(e, J, G)


def _shifted(e: Evidence, J, G) -> Cause | None:
    """Moved by the same step along one or two axes, with what crosses the border lost."""
    for steps in itertools.product(*(range(-3, 4) if n > 2 else (0,) for n in e.shape)):
        if not any(steps) or np.count_nonzero(steps) > 2:
            continue
        to = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(steps, e.shape, strict=True))
        come = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(steps, e.shape, strict=True))
        a, b = G[(slice(None), *to)], J[(slice(None), *come)]
        if a.size >= 0.3 * G.size and _telling(b) and close(a, b):
            where = ", ".join(f"{s:+d} along axis {k}" for k, s in enumerate(steps) if s)
            return Cause(
                "shifted",
                e.name,
                f"yours is the gradient moved by {where} (padding cropped at the wrong side?)",
                None,
                residual(a, b),
            )
    return None


def _telling(J):
    """Say whether J is rich enough to be recognised: slopes of few values, 0 and 1 in one row,
    match by chance.
    """
    return len(np.unique(J)) > 5 or len(np.unique(J.reshape(len(J), -1), axis=0)) > 5
