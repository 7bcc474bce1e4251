"""How exactly an explanation must fit, in the precision of the leaf that is being named."""

import contextlib
from collections.abc import Iterator

import numpy as np

__all__ = ["CLOSE", "CLOSE_IN_SINGLE", "close", "factor", "residual", "tol", "tolerating"]

CLOSE = 1e-7  # residual under which an explanation counts as exact
CLOSE_IN_SINGLE = 2e-3  # the same where the function computes in float32
_tolerance = CLOSE


def tol() -> float:
    """The residual under which an explanation counts as exact, for the leaf that is being named."""
    return _tolerance


@contextlib.contextmanager
def tolerating(eps: float) -> Iterator[None]:
    """Name in the precision `eps` for the body of `with`."""
    global _tolerance
    before, _tolerance = _tolerance, CLOSE if eps < 1e-12 else max(CLOSE_IN_SINGLE, 64 * eps)
    try:
        yield
    finally:
        _tolerance = before


def close(a: np.ndarray, b: np.ndarray, tolerance: float | None = None) -> bool:
    """a equals b to a residual of `tol()`, relative to the largest entry of b (which must not be
    zero).
    """
    tolerance = tol() if tolerance is None else max(tolerance, tol() if tol() > CLOSE else 0.0)
    top = np.max(np.abs(b), initial=0.0)
    return a.shape == b.shape and top > 0 and bool(np.max(np.abs(a - b)) <= tolerance * top)


def residual(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference, relative to the largest entry of b."""
    top = np.max(np.abs(b), initial=0.0)
    return float(np.max(np.abs(a - b), initial=0.0) / top) if top else float("inf")


def factor(G: np.ndarray, J: np.ndarray) -> float | None:
    """c with G = c J, or None."""
    square = float(np.vdot(J, J))
    c = float(np.vdot(G, J)) / square if square else 0.0
    return c if c and close(G, c * J) else None
