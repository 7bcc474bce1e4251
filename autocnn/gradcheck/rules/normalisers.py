"""Rules for a normalisation: axes that are coupled wrongly, or a term that is missing."""

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, tol


def coupling(J: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes along which an output depends on entries other than its own (output and leaf of
    one shape).
    """
    grid = J.reshape(*shape, *shape) != 0
    found = []
    for k in range(len(shape)):
        rest = tuple(a for a in range(2 * len(shape)) if a not in (k, k + len(shape)))
        reach = grid.any(axis=rest)
        if np.any(reach & ~np.eye(shape[k], dtype=bool)):
            found.append(k)
    return tuple(found)


def coupled_wrongly(e: Evidence) -> Cause | None:
    """A sum or a mean runs over other axes than in the function."""
    if e.yshape != e.shape or e.J.shape[0] < 4:
        return None
    mine, true = coupling(e.G, e.shape), coupling(e.J, e.shape)
    if mine == true or not true:
        return None
    words = f"the function couples entries along axes {list(true)}"
    if not mine:
        return Cause(
            "missing-path",
            e.name,
            f"{words}, yours none: what goes through the sum over them (mean, variance, norm) "
            "is missing",
        )
    if not set(mine) <= set(true) and not set(true) <= set(mine):
        return Cause(
            "missing-path",
            e.name,
            f"{words}, yours along {list(mine)}: the reduction in backward runs over the wrong "
            "axes",
        )
    less = set(mine) < set(true)
    return Cause(
        "missing-path",
        e.name,
        f"{words}, yours along {list(mine)}: the reduction in backward runs over too "
        f"{'few' if less else 'many'} axes",
    )


def normaliser(e: Evidence) -> Cause | None:
    """J = a (I - mean - x_hat x_hat' / n) on each slice: which of the three terms of G is wrong?

    Along directions orthogonal to 1 and to x only the first term acts; the rest of the block is
    spanned by 1 and x.
    """
    if e.yshape != e.shape or e.J.shape[0] < 4:
        return None
    axes = coupling(e.J, e.shape)
    if (
        not axes
        or (len(axes) == len(e.shape) and len(e.shape) > 1)
        or not set(coupling(e.G, e.shape)) <= set(axes)
    ):
        return None
    rest = [k for k in range(len(e.shape)) if k not in axes]
    order = rest + list(axes)
    count = int(np.prod([e.shape[k] for k in rest]))
    grid = np.arange(e.x.size).reshape(e.shape).transpose(order).reshape(count, -1)
    seen = []
    for slice_ in grid:
        n = len(slice_)
        J, G, x = e.J[np.ix_(slice_, slice_)], e.G[np.ix_(slice_, slice_)], e.x.ravel()[slice_]
        if n < 4 or not np.any(J):
            return None
        basis, _ = np.linalg.qr(np.stack([np.ones(n), x], axis=1))
        free = np.eye(n) - basis @ basis.T
        terms = []
        for M in (J, G):
            D = _main(M, basis)
            if D is None or not close(
                free @ (M - np.diag(D)) @ free + np.eye(n), np.eye(n), 10 * tol()
            ):
                return None
            low = M - np.diag(D)
            terms.append((D, basis[:, 0] @ low @ basis[:, 0], basis[:, 1] @ low @ basis[:, 1]))
        seen.append(terms)
    return _which_term(e, seen)


def _main(M: np.ndarray, basis: np.ndarray) -> np.ndarray | None:
    """The diagonal D for which M - D lives on the span of `basis` from the left and the right,
    by least squares.
    """
    n = len(M)
    free = np.eye(n) - basis @ basis.T
    # free (M - diag d) free = 0 is linear in d; (free * free) d = diag(free M free) are its normal
    # equations.
    d, *_ = np.linalg.lstsq(free * free, np.diag(free @ M @ free), rcond=1e-10)
    return d if np.all(np.isfinite(d)) else None


def _which_term(e: Evidence, seen) -> Cause | None:
    main = [np.max(np.abs(g[0] - j[0])) > tol() * np.max(np.abs(j[0])) for j, g in seen]
    mean = [abs(g[1] - j[1]) > tol() * np.max(np.abs(j[0])) for j, g in seen]
    spread = [abs(g[2] - j[2]) > tol() * np.max(np.abs(j[0])) for j, g in seen]
    gone = [abs(g[2]) < 1e-9 * np.max(np.abs(g[0])) for _, g in seen]
    no_mean = [abs(g[1]) < 1e-9 * np.max(np.abs(g[0])) for _, g in seen]
    if any(main):
        words = (
            "its three terms have wrong weights (another variance, n - 1 for n, or a standard "
            "deviation twice?)"
        )
    elif all(no_mean) and all(gone):
        words = "mean and variance are taken for constants"
    elif any(mean) and not any(spread):
        words = (
            "the mean's route is missing"
            if all(no_mean)
            else "the mean's route has a wrong weight (a sum for a mean?)"
        )
    elif any(spread) and not any(mean):
        words = (
            "the variance's route is missing"
            if all(gone)
            else "the variance's route has a wrong weight (x - mean for x_hat, or twice?)"
        )
    elif any(mean) and any(spread):
        words = "the routes through mean and variance have wrong weights (sums for means?)"
    else:
        return None
    return Cause("missing-path", e.name, f"the function normalises its input; {words}")
