"""Hypotheses about a wrong kernel gradient: a route through a mean, a variance or a normaliser is
absent, seen in the shape of the error along one axis.
"""

import numpy as np

from autocnn.gradcheck.kernels.point import Point
from autocnn.gradcheck.kernels.setup import OUTPUT, Setup
from autocnn.gradcheck.report import Cause

__all__ = ["routes"]


def routes(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """The error lies, along one axis, in the span of 1, or of 1 and x: a mean's or a variance's
    route.
    """
    p = points[0]
    for axis in range(p.mine.ndim):
        n = p.mine.shape[axis]
        if n < 4:
            continue
        for text, build in (
            ("a constant: the route through a mean (or a sum) is wrong or absent", _ones),
            ("a multiple of x: the route through a norm or a product is wrong or absent", _line),
            ("a constant plus a multiple of x: the routes through mean and variance", _affine),
            ("a multiple of the output: the route through a normaliser is wrong or absent", _out),
        ):
            if all(
                (h := build(q, axis)) is not None and q.fits(q.right + h, slack) for q in points
            ):
                return Cause("missing-path", p.leaf, f"along axis {axis} the error is {text}")
    return None


def _project(e: np.ndarray, basis: list[np.ndarray], axis: int) -> np.ndarray:
    """e projected on the span of the basis, for each line along an axis."""
    lines = np.moveaxis(e, axis, -1)
    columns = np.stack([np.moveaxis(b, axis, -1) for b in basis], axis=-1)
    gram = np.swapaxes(columns, -1, -2) @ columns
    tiny = 1e-12 * np.trace(gram, axis1=-2, axis2=-1)[..., None, None] * np.eye(len(basis))
    c = np.linalg.solve(
        gram + tiny + 1e-300 * np.eye(len(basis)), np.swapaxes(columns, -1, -2) @ lines[..., None]
    )
    return np.moveaxis((columns @ c)[..., 0], -1, axis)


def _ones(q: Point, axis: int) -> np.ndarray:
    return _project(q.mine - q.right, [np.ones_like(q.mine)], axis)


def _line(q: Point, axis: int) -> np.ndarray:
    return _project(q.mine - q.right, [q.values[q.leaf]], axis)


def _affine(q: Point, axis: int) -> np.ndarray:
    return _project(q.mine - q.right, [np.ones_like(q.mine), q.values[q.leaf]], axis)


def _out(q: Point, axis: int) -> np.ndarray | None:
    y = next(iter(v for k, v in q.golden.items() if k.startswith(OUTPUT)))
    return _project(q.mine - q.right, [y], axis) if y.shape == q.mine.shape else None
