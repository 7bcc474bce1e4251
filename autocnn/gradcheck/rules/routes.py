"""Rules for routes of the chain rule: a skip, a second use, a mean or a variance that the
backward pass forgot.
"""

import contextlib

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.patterns import elementwise
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.rules.normalisers import coupling
from autocnn.gradcheck.tolerance import close, tol


def skip(e: Evidence) -> Cause | None:
    """The identity is absent, alone, or there twice."""
    if e.J.shape[0] != e.J.shape[1] or e.J.shape[0] < 2:
        return None
    I, error = np.eye(len(e.J)), e.G - e.J
    if np.max(np.count_nonzero(e.J, axis=1)) < 2:  # a mask or a permutation has no routes
        return None
    if close(e.G, I) and not close(e.J, I):
        return Cause(
            "missing-path",
            e.name,
            "yours is dy itself: the branch beside the skip connection is missing",
        )
    if np.any(np.diag(e.J) != 0) and not close(e.J, I):
        branch = e.J - I
        c = float(np.vdot(e.G - I, branch) / np.vdot(branch, branch))
        if abs(c) > 1e-9 and abs(c - 1) > 1e-6 and close(e.G - I, c * branch):
            return Cause(
                "scale",
                e.name,
                f"beside the skip connection the branch's gradient is {c:.9g} x what it should be",
                c,
            )
    diagonal = np.diag(error)
    if np.max(np.abs(error - np.diag(diagonal))) > tol() * max(1.0, np.max(np.abs(e.J))):
        return None
    on = np.abs(diagonal) > 1e-9
    if np.count_nonzero(on) < 2 or np.ptp(diagonal[on]) > tol():
        return None
    c = float(diagonal[on][0])
    place = "" if np.all(on) else " where the unit is on"
    if abs(c + 1) < tol():
        return Cause(
            "missing-path",
            e.name,
            f"dy itself is missing{place}: the skip connection's gradient is not added",
            c,
        )
    return Cause(
        "additive",
        e.name,
        f"{c:.6g} x dy too much{place}"
        + (": the skip connection counts twice" if abs(c - 1) < tol() else ""),
        c,
    )


def sum_route(e: Evidence) -> Cause | None:
    """Elementwise slopes that vary, and yours are off by one constant: dy itself is missing, or
    added.
    """
    both = elementwise(e)
    if both is None or len(np.unique(np.round(both[0], 9))) < 4:
        return None
    error = both[1] - both[0]
    c = float(error.mean())
    if abs(c) < 1e-9 or np.ptp(error) > 1e-9 * max(1.0, np.max(np.abs(both[0]))):
        return None
    if abs(c + 1) < 1e-9:
        return Cause(
            "missing-path", e.name, f"dy itself is missing: {e.name} is added somewhere too", c
        )
    return Cause("additive", e.name, f"{c:.6g} x dy too much", c)


def factor_outside(e: Evidence) -> Cause | None:
    """Another argument multiplies the result where it should multiply dy, before the sums: G is J
    with that factor on the leaf's side.
    """
    if e.yshape != e.shape or e.J.shape[0] < 4 or close(e.G, e.J):
        return None
    for name, z in e.values.items():
        if name == e.name or z.ndim > len(e.shape) or z.size < 2 or not np.all(z):
            continue
        for factor in _spread(z, e.shape):
            if np.ptp(factor) == 0:
                continue
            for words, side in (("", factor), ("1 / ", 1 / factor)):
                if close(e.G * side[:, None], e.J * side[None, :]):
                    message = (
                        f"{words}{name} multiplies the result where it should multiply dy: "
                        f"{name} belongs inside the sums, before the mean is taken"
                    )
                    return Cause("missing-path", e.name, message, what=name)
    return None


def _spread(z: np.ndarray, shape: tuple[int, ...]):
    """z over an array of this shape, flat: as numpy broadcasts it, or along any one axis."""
    with contextlib.suppress(ValueError):
        yield np.broadcast_to(z, shape).ravel()
    if z.ndim == 1:
        for k, n in enumerate(shape[:-1]):
            if n == z.size:
                along = z.reshape([-1 if a == k else 1 for a in range(len(shape))])
                yield np.broadcast_to(along, shape).ravel()


def one_use(e: Evidence) -> Cause | None:
    """The leaf multiplies the rest of the function, which depends on the leaf again: only one of
    the uses is there.

    If y = A(x) x and G = A(x), then G x = y; if only the other use is there, (J - G) x = y.
    """
    x, y = e.x.ravel(), e.y
    if x.size < 2 or not np.any(y) or close(e.J @ x, y, 10 * tol()):
        return None
    if close(e.G @ x, y):
        return Cause(
            "missing-path",
            e.name,
            f"yours takes the factor that multiplies {e.name} for a constant, but it depends on "
            f"{e.name} too (G x = y)",
        )
    if close((e.J - e.G) @ x, y):
        return Cause(
            "missing-path",
            e.name,
            f"the use of {e.name} where it multiplies last is missing ((J - G) x = y)",
        )
    return None


def direct(e: Evidence) -> Cause | None:
    """J - G is diagonal where J is not: the leaf also reaches its own output directly, entry by
    entry, and that is missing.
    """
    if e.J.shape[0] != e.J.shape[1] or e.J.shape[0] < 4:
        return None
    gap, size = e.J - e.G, tol() * np.max(np.abs(e.J))
    each = np.diag(gap)
    if (
        np.max(np.abs(e.J - np.diag(np.diag(e.J)))) <= size
        or np.max(np.abs(gap - np.diag(each))) > size
    ):
        return None
    if np.count_nonzero(np.abs(each) > size) < 3 or np.linalg.norm(np.diag(e.G)) >= np.linalg.norm(
        np.diag(e.J)
    ):
        return None  # something too much on the diagonal is no missing route
    return Cause(
        "missing-path",
        e.name,
        f"right but for each output's dependence on its own entry of {e.name}: a direct, "
        "elementwise route (a gate's carry, a "
        "weighted skip) is missing",
    )


def low_rank(e: Evidence) -> Cause | None:
    """On each block that the function couples, the error has rank one or two while J has not: a
    reduction is wrong.
    """
    if e.yshape != e.shape or e.J.shape[0] < 4:
        return None
    axes = coupling(e.J, e.shape)
    if not axes or coupling(e.G, e.shape) != axes:
        return None
    order = [k for k in range(len(e.shape)) if k not in axes] + list(axes)
    block = int(np.prod([e.shape[k] for k in axes]))
    if block < 4:
        return None
    grid = np.arange(e.x.size).reshape(e.shape).transpose(order).reshape(-1, block)
    worst = 0
    for slice_ in grid:
        error, J = (M[np.ix_(slice_, slice_)] for M in (e.G - e.J, e.J))
        if not np.any(error):
            continue
        worst = max(worst, np.linalg.matrix_rank(error, tol=1e-8 * np.max(np.abs(error))))
        if worst >= min(3, np.linalg.matrix_rank(J, tol=1e-8 * np.max(np.abs(J)))):
            return None
    if not worst:
        return None
    return Cause(
        "missing-path",
        e.name,
        f"yours differs by a term of rank {worst} along axes {list(axes)}: a sum over them is "
        "missing or has wrong weights",
    )
