"""Rules about outputs: dy paired with the wrong ones, weighted wrongly, or kept from other steps
and positions.
"""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.patterns import kept
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, residual, tol


def exchanged(e: Evidence) -> Cause | None:
    """Row j of G is row p(j) of J: dy is paired with the wrong rows, windows or positions."""
    m = e.J.shape[0]
    if m < 2 or m > 2000:
        return None
    J, G = e.J.reshape(*e.yshape, -1), e.G.reshape(*e.yshape, -1)
    for words, moved in _rearranged(J, e.yshape):
        if close(G, moved):
            return Cause(
                "wrong-operand",
                e.name,
                f"dy is paired with the wrong outputs ({words}): the parts do not match",
                what=words,
            )
    partner = _partners(e.G, e.J)
    if partner is None or len(set(partner)) < m // 2 or partner == list(range(m)):
        return None
    message = (
        "dy is paired with the wrong outputs (in another order): rows of dy and of the operand "
        "do not match"
    )
    return Cause("wrong-operand", e.name, message)


def _rearranged(J: np.ndarray, yshape: tuple[int, ...]):
    """(words, J with its outputs rolled, reversed or transposed)."""
    axes = range(len(yshape))
    for k, n in enumerate(yshape):
        for step in range(1, n):
            yield (
                f"rolled by {step if step <= n // 2 else step - n} along axis {k}",
                np.roll(J, step, k),
            )
    for count in range(1, len(yshape) + 1):
        for which in itertools.combinations([k for k in axes if yshape[k] > 1], count):
            yield f"reversed along axis {', '.join(map(str, which))}", np.flip(J, which)
    for a, b in itertools.combinations(axes, 2):
        if yshape[a] == yshape[b] > 1:
            yield f"axes {a} and {b} exchanged", np.swapaxes(J, a, b)


def _partners(G: np.ndarray, J: np.ndarray) -> list[int] | None:
    """p with G[j] = J[p[j]], or None."""
    top = np.max(np.abs(J))
    places: dict[tuple, list[int]] = {}
    for j, row in enumerate(J):
        places.setdefault(tuple(np.round(row / top, 6) + 0.0), []).append(j)
    partner = []
    for j, row in enumerate(G):
        found = places.get(tuple(np.round(row / top, 6) + 0.0))
        if not found or (np.any(row) and not close(row, J[found[0]])):
            return None
        partner.append(j if j in found else found[0])
    return partner


def jacobian_not_transposed(e: Evidence) -> Cause | None:
    """G = J': backward applies the forward map again instead of its transpose."""
    if (
        e.J.shape[0] != e.J.shape[1]
        or e.J.shape[0] < 3
        or close(e.J, e.J.T)
        or not close(e.G, e.J.T)
    ):
        return None
    message = (
        "yours applies the Jacobian where its transpose belongs (J dy for J' dy): a matrix, "
        "order or direction not reversed"
    )
    return Cause("transposed", e.name, message, None, residual(e.G, e.J.T))


def output_factors(e: Evidence) -> Cause | None:
    """G = diag(s) J: each output's dy gets a factor, one for each channel, feature or position."""
    square = np.einsum("ji,ji->j", e.J, e.J)
    if e.J.shape[0] < 3 or not np.any(square):
        return None
    s = np.einsum("ji,ji->j", e.G, e.J) / np.where(square > 0, square, 1.0)
    if not close(s[:, None] * e.J, e.G) or np.any((s == 0) & (square > 0)):
        return None
    live = square > 0
    grid, known = s.reshape(e.yshape), live.reshape(e.yshape)
    several = (
        np.max(np.count_nonzero(e.J, axis=1)) > 1
    )  # entries for each output: else any mistake has such factors
    found = _known_output_factors(e, s, live) if several else None
    if found:
        message = (
            f"the dy of each output is multiplied by {found} once too often (or not divided by it)"
        )
        return Cause("axis-scale", e.name, message)
    long = [k for k, n in enumerate(e.yshape) if n > 1]
    for k in long if len(long) > 1 else ():  # along a single axis any factors would do
        rest = tuple(a for a in range(len(e.yshape)) if a != k)
        each = np.where(known, grid, 0).sum(axis=rest, keepdims=True) / np.maximum(
            known.sum(axis=rest, keepdims=True), 1
        )
        if np.all(~known | (np.abs(grid - each) <= tol() * np.abs(each))):
            some = ", ".join(f"{c:.4g}" for c in each.ravel()[:4])
            return Cause(
                "axis-scale",
                e.name,
                f"one wrong factor for each index of the output's axis {k}: {some} ...",
            )
    if not several:
        return None
    if len(np.unique(np.round(s[live], 9))) <= max(2, np.count_nonzero(live) // 4):
        return Cause(
            "axis-scale",
            e.name,
            f"a wrong factor for {np.count_nonzero(np.abs(s - 1) > tol())} of {s.size} outputs "
            "(a count at the border?)",
        )
    if len(long) > 1:
        message = (
            "right but for one factor at each output: the slope that dy meets first is another "
            "function's"
        )
        return Cause("wrong-operand", e.name, message)
    return None


def _known_output_factors(e: Evidence, s: np.ndarray, live: np.ndarray) -> str | None:
    """What the factors s are: the output, another argument (along one axis or all), its inverse
    or its square.
    """
    for text, z in {"y": e.y, **{n: x for n, x in e.values.items() if n != e.name}}.items():
        if z.size == s.size:
            factors = z.ravel()
        elif z.ndim == 1 and z.size in e.yshape and z.size > 1:
            factors = np.broadcast_to(
                _along(z, e.yshape.index(z.size), len(e.yshape)), e.yshape
            ).ravel()
        else:
            continue
        if np.all(factors):
            for words, values in (
                (text, factors),
                (f"1 / {text}", 1 / factors),
                (f"{text}^2", factors**2),
            ):
                if close(s[live], values[live]):
                    return words
    return None


def _along(z: np.ndarray, axis: int, ndim: int) -> np.ndarray:
    return z.reshape([-1 if k == axis else 1 for k in range(ndim)])


def same_index_only(e: Evidence) -> Cause | None:
    """Of J only the entries are kept whose output and leaf share an index: what passes between
    steps is missing.
    """
    keep = kept(e)
    if keep is None or e.J.shape[0] < 2:
        return None
    live = e.J != 0
    for a, n in enumerate(e.yshape):
        for b, m in enumerate(e.shape):
            if n != m or n < 2:
                continue
            same = _along(np.arange(n), a, len(e.yshape)).ravel() if len(e.yshape) == 1 else None
            rows = (
                np.broadcast_to(_along(np.arange(n), a, len(e.yshape)), e.yshape).ravel()
                if same is None
                else same
            )
            columns = np.broadcast_to(_along(np.arange(n), b, len(e.shape)), e.shape).ravel()
            if np.array_equal(keep & live, live & (rows[:, None] == columns[None, :])):
                message = (
                    f"only what stays at its index along axis {b} is there: the route to other "
                    "steps or positions is missing"
                )
                return Cause("missing-path", e.name, message)
    return None
