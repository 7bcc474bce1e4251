"""Rules for one output to whose gradient something is added."""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.factors import describe
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import close, factor, residual, tol


def additive(e: Evidence) -> Cause | None:
    """One output: the error is a multiple of something known, or one constant on some entries."""
    error = (e.G - e.J).ravel()
    if e.J.shape[0] != 1 or not np.any(error) or error.size < 2:
        return None  # a single number is a multiple of any other
    known = {n: x.ravel() for n, x in e.values.items() if x.size == error.size}
    ones = np.ones(error.size)
    for label, table in _one_hots(e).items():
        known[f"the one-hot of {label}"] = table
        columns = np.broadcast_to(table.reshape(-1, e.shape[-1]).any(axis=0), e.shape)
        spread = factor(error, columns.ravel() - table)
        if spread is not None and len(e.shape) > 1 and not np.all(columns):
            message = (
                f"{label} is used as a slice: its term is in every row, {_times(spread, e)} too "
                "much "
                f"(p[:, {label}] for p[arange(N), {label}])"
            )
            return Cause("broadcast", e.name, message, spread)
    for text, z in known.items():
        c = factor(error, z)
        if c is not None:
            return Cause(
                "additive",
                e.name,
                f"yours has {_times(c, e)} x {text} too much",
                c,
                residual(error, c * z),
            )
        basis = np.stack([z, ones], axis=1)
        fit = np.linalg.lstsq(basis, error, rcond=None)[0]
        if z.size > 4 and close(error, basis @ fit):
            return Cause(
                "additive",
                e.name,
                f"yours has {_times(fit[0], e)} x {text} and the constant {fit[1]:.4g} too much",
            )
    return _softmaxes(e, error)


def constant_on_some(e: Evidence) -> Cause | None:
    """One output: the same constant is added to some of the entries."""
    error = (e.G - e.J).ravel()
    on = np.abs(error) > 1e-9 * np.max(np.abs(error), initial=0.0)
    if e.J.shape[0] != 1 or np.count_nonzero(on) < 3:
        return None
    c = error[on].mean()
    if not np.allclose(error[on], c, rtol=tol(), atol=0):
        return None
    where = "every entry" if np.all(on) else f"{np.count_nonzero(on)} of {on.size} entries"
    return Cause(
        "additive",
        e.name,
        f"yours has the constant {_times(c, e)} too much in {where} (a term like the one-hot of "
        "the labels?)",
        float(c),
    )


def _times(c: float, e: Evidence) -> str:
    named = describe(c, e.problem, e.name, e.yshape)
    return f"{c:.6g}{f' = {named}' if named else ''}"


def _one_hots(e: Evidence) -> dict[str, np.ndarray]:
    """Integer arguments as one-hot tables of the leaf's shape, where they fit: labels (N,) for
    logits (N, K).
    """
    tables = {}
    for name, value in e.problem.arguments.items():
        if (
            not isinstance(value, np.ndarray)
            or value.dtype.kind not in "iu"
            or value.shape != e.shape[:-1]
            or not value.ndim
        ):
            continue
        if value.min() >= 0 and value.max() < e.shape[-1]:
            tables[name] = (value[..., None] == np.arange(e.shape[-1])).astype(float).ravel()
    return tables


def softmax(z: np.ndarray, axis) -> np.ndarray:
    """Return exp z / sum exp z along ``axis``, an int or a tuple."""
    p = np.exp(z - z.max(axis=axis, keepdims=True))
    return p / p.sum(axis=axis, keepdims=True)


def _softmaxes(e: Evidence, error: np.ndarray) -> Cause | None:
    """The error is the softmax along one axis minus that along another."""
    axes = [*range(len(e.shape)), None]
    p = {axis: softmax(e.x, axis).ravel() for axis in axes if axis is None or e.shape[axis] > 1}
    for right, wrong in itertools.permutations(p, 2):
        c = factor(error, p[wrong] - p[right])
        if c is not None and c > 0:
            where = "the whole array" if wrong is None else f"axis {wrong}"
            return Cause(
                "wrong-operand",
                e.name,
                f"yours takes the softmax over {where}, the function over axis {right}",
                what=f"{where} for axis {right}",
            )
    return None
