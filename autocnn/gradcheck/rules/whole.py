"""Rules for a gradient that is right but for one operation on the whole of it: scaled, moved,
reduced, added to.
"""

import itertools

import numpy as np

from autocnn.gradcheck.evidence import Evidence
from autocnn.gradcheck.factors import describe, matches
from autocnn.gradcheck.report import Cause
from autocnn.gradcheck.tolerance import CLOSE, close, residual, tol


def zero(e: Evidence) -> Cause | None:
    """G is 0 everywhere, where J is not: the gradient was never computed."""
    if not np.any(e.G) and np.any(e.J):
        if e.x.size > 1 and np.max(np.abs(e.J.sum(axis=1))) < 10 * tol() * np.max(np.abs(e.J)):
            message = (
                "yours is zero up to rounding, as is the sum of the gradient over all its entries: "
                "summed over too many axes?"
            )
            return Cause("broadcast", e.name, message)
        return Cause(
            "zero",
            e.name,
            "your gradient is zero for every dy: allocated and never filled, or not on the way "
            "back",
            0.0,
        )
    return None


def scale(e: Evidence) -> Cause | None:
    """G = c J, with c named; c = -1 is a sign."""
    c = _factor(e.G, e.J)
    if c is None:
        return None
    if abs(c - 1) < 10 * tol():  # closer to right than any factor that a person would write
        return None
    left = residual(e.G, c * e.J)
    if abs(c + 1) < tol():
        return Cause("sign", e.name, "yours is exactly minus the gradient", -1.0, left)
    names = matches(c, e.problem, e.name, e.yshape, max(1e-9, tol() - CLOSE))
    return scale_cause(e.name, c, names, left)


def scale_cause(name: str, c: float, names: list[str], left: float | None) -> Cause:
    """The cause for yours = c x the gradient, when c may be called any of `names`."""
    called = f" = {' or '.join(names[:2])}" if names else ""
    if names and names[0].lstrip("-").startswith("1 /"):
        called += ": divided once too often (a mean where the sum belongs?)"
    elif names:
        called += ": multiplied once too often, or a division is missing"
    called += "; the sign is wrong too" if c < 0 else ""
    return Cause("scale", name, f"yours is {_number(c)} x the gradient{called}", c, left)


def _number(c: float) -> str:
    """A factor in the precision in which it is known."""
    return f"exactly {c:.9g}" if tol() == CLOSE else f"{c:.4g} (to float32's rounding)"


def _factor(G: np.ndarray, J: np.ndarray) -> float | None:
    """c with G = c J, or None."""
    square = float(np.vdot(J, J))
    c = float(np.vdot(G, J)) / square if square else 0.0
    return c if c and close(G, c * J) else None


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
        c = _factor(G, move(J))
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


def broadcast(e: Evidence) -> Cause | None:
    """G is constant along an axis along which J is not: reduced too far, or one slice used for
    all.
    """
    J, G = e.grids
    if not np.any(G):
        return None
    for count in range(len(e.shape), 0, -1):
        for axes in itertools.combinations(
            [k for k in range(len(e.shape)) if e.shape[k] > 1], count
        ):
            ax = tuple(k + 1 for k in axes)
            if not close(np.broadcast_to(G.mean(axis=ax, keepdims=True), G.shape), G):
                continue
            if close(np.broadcast_to(J.mean(axis=ax, keepdims=True), J.shape), J):
                continue
            where = f"{'axis' if count == 1 else 'axes'} {', '.join(map(str, axes))}"
            total = np.broadcast_to(J.sum(axis=ax, keepdims=True), G.shape)
            c = _factor(G, total)
            if c is not None:
                how = "the sum" if abs(c - 1) < tol() else f"{c:.6g} x the sum"
                return Cause(
                    "broadcast",
                    e.name,
                    f"yours is constant along {where} of the leaf: {how} of the gradient over it",
                    None,
                    residual(G, c * total),
                )
            for k in range(e.shape[axes[0]]) if count == 1 else ():
                if close(G, np.broadcast_to(np.take(J, [k], ax[0]), G.shape)):
                    return Cause(
                        "broadcast",
                        e.name,
                        f"yours is constant along {where}: the gradient of slice {k} for every "
                        "slice",
                    )
    return None


def axis_scale(e: Evidence) -> Cause | None:
    """Each entry of the leaf gets c_i times its derivative, and c depends on one or two axes
    only.
    """
    ratio = ratios(e.G, e.J)
    if ratio is None or np.any(ratio == 0):
        return None
    grid = ratio.reshape(e.shape)
    for count in (1, 2):
        for axes in itertools.combinations(range(len(e.shape)), count):
            if count == len(e.shape):
                continue
            rest = tuple(k for k in range(len(e.shape)) if k not in axes)
            known = ~np.isnan(grid)
            each = np.where(known, grid, 0).sum(axis=rest, keepdims=True) / np.maximum(
                known.sum(axis=rest, keepdims=True), 1
            )
            shared = np.count_nonzero(known) >= 2 * np.count_nonzero(
                known.any(axis=rest)
            )  # else any factors would do
            if shared and np.all(~known | (np.abs(grid - each) <= tol() * np.abs(each))):
                return _axis_cause(
                    e,
                    each.ravel(),
                    f"{'axis' if count == 1 else 'axes'} {', '.join(map(str, axes))}",
                )
    if len(e.shape) == 1 and e.x.size > 1 and np.all(np.isfinite(ratio)):
        return _known_factors(
            e, ratio, "axis 0"
        )  # any entrywise mistake has a factor for each entry: it must be known
    return None


def _axis_cause(e: Evidence, each: np.ndarray, where: str) -> Cause:
    factors = ", ".join(f"{c:.4g}" for c in each[:4]) + (" ..." if each.size > 4 else "")
    return _known_factors(e, each, where) or Cause(
        "axis-scale",
        e.name,
        f"one wrong factor for each index of {where}: {factors} (a scale or standard deviation "
        "missing or twice?)",
    )


def _known_factors(e: Evidence, each: np.ndarray, where: str) -> Cause | None:
    """The factors are another argument's entries, their inverses or their squares."""
    for name, other in e.values.items():
        if name != e.name and other.size == each.size:
            for text, value in (
                (name, other),
                (f"1 / {name}", 1 / np.where(other == 0, np.nan, other)),
                (f"{name}^2", other**2),
            ):
                if close(each, value.ravel()):
                    return Cause(
                        "axis-scale", e.name, f"one factor for each index of {where}: {text}"
                    )
    return None


def ratios(G: np.ndarray, J: np.ndarray) -> np.ndarray | None:
    """s with G[:, i] = s_i J[:, i] (nan where the column of J is zero), or None where a column
    is no multiple.
    """
    square = np.einsum("ji,ji->i", J, J)
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.einsum("ji,ji->i", G, J) / square
    s[square == 0] = np.nan
    fitted = np.nan_to_num(s) * J
    if np.max(np.abs(G - fitted), initial=0.0) > tol() * np.max(np.abs(G), initial=0.0):
        return None
    s[np.abs(s) < 1e-9] = 0.0
    return s


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
        spread = _factor(error, columns.ravel() - table)
        if spread is not None and len(e.shape) > 1 and not np.all(columns):
            message = (
                f"{label} is used as a slice: its term is in every row, {_times(spread, e)} too "
                "much "
                f"(p[:, {label}] for p[arange(N), {label}])"
            )
            return Cause("broadcast", e.name, message, spread)
    for text, z in known.items():
        c = _factor(error, z)
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
        c = _factor(error, p[wrong] - p[right])
        if c is not None and c > 0:
            where = "the whole array" if wrong is None else f"axis {wrong}"
            return Cause(
                "wrong-operand",
                e.name,
                f"yours takes the softmax over {where}, the function over axis {right}",
                what=f"{where} for axis {right}",
            )
    return None
