"""Names for a wrong gradient in low precision: hypotheses, each a gradient computed in float64, one
of which fits yours within rounding.

A hypothesis must fit at three points (other cotangents, other values), so that nothing is named by
chance. None fits: "unclassified", with what can be said.
"""

from types import SimpleNamespace

import numpy as np

from autocnn.gradcheck import factors
from autocnn.gradcheck.kernels import operands, places, probes, routes
from autocnn.gradcheck.kernels.point import Point, fits_all
from autocnn.gradcheck.kernels.report import KernelLeaf
from autocnn.gradcheck.kernels.rounding import Model, rms
from autocnn.gradcheck.kernels.setup import OUTPUT, Setup
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.report import Cause

__all__ = ["name"]


def name(setup: Setup, leaf: KernelLeaf, model: Model, mine, golden: dict, dys: list, rng) -> Cause:
    """The cause of one leaf's error, or "unclassified"."""
    points = [Point(setup.values, dys, mine, golden, model.sigma, model.unit, leaf.name)]
    points += _more_points(setup, points[0], rng)
    slack = max(1.0, leaf.rms_z and min(2.0, leaf.ruler / model.unit if leaf.ruler else 1.0))
    for rule in RULES:
        try:
            cause = rule(setup, points, slack)
        except CallError:  # a changed argument is refused: the rule has nothing to say
            continue
        if cause is not None:
            return cause
    return Cause("unclassified", leaf.name, _pattern(points[0]))


def _more_points(setup: Setup, first: Point, rng) -> list[Point]:
    """One with other cotangents, one with the leaves' values in another order as well."""
    found = []
    for shuffle in (False, True):
        values = dict(first.values)
        if shuffle:
            for n in setup.dtypes:
                values[n] = rng.permutation(values[n].ravel()).reshape(values[n].shape)
        dys = setup.draw([d.shape for d in first.dys], rng)
        try:
            mine = setup.run(values, dys).gradients[first.leaf]
            golden = setup.golden(values, dys)
        except (CallError, KeyError):
            continue
        if np.all(np.isfinite(mine)) and np.all(np.isfinite(golden[first.leaf])):
            sigma = first.sigma * max(1.0, rms(golden[first.leaf]) / max(rms(first.right), 1e-300))
            found.append(Point(values, dys, mine, golden, sigma, first.unit, first.leaf))
    return found


def _zero(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    if all(not np.any(p.mine) for p in points):
        return Cause("zero", points[0].leaf, "the gradient is zero")
    return None


def _scale(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    p = points[0]
    weights = [1 / np.maximum(q.sigma, 1e-300) ** 2 for q in points]
    top = sum(float(np.sum(w * q.mine * q.right)) for w, q in zip(weights, points, strict=True))
    low = sum(float(np.sum(w * q.right**2)) for w, q in zip(weights, points, strict=True))
    if not low:
        return None
    c = top / low
    if not fits_all(points, lambda q: c * q.right, slack):
        return None
    bar = 4 * p.unit + 4 / np.sqrt(low)
    if abs(c + 1) <= bar:
        return Cause("sign", p.leaf, "the gradient has the wrong sign", -1.0)
    view = SimpleNamespace(
        arguments={**setup.options, **p.values}, functions=(setup.target, setup.reference)
    )
    shapes = [p.golden[k].shape for k in p.golden if k.startswith(OUTPUT)]
    view.functions = tuple(f for f in view.functions if hasattr(f, "__code__"))
    names = factors.matches(c, view, p.leaf, shapes[0], max(bar / abs(c), 1e-6))
    text = f" = {' or '.join(names[:3])}" if names else ""
    return Cause("scale", p.leaf, f"yours is {c:.4g} (+- {bar:.1g}) x the gradient{text}", c)


def _moved(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    shape = points[0].mine.shape
    for a in range(len(shape)):
        if shape[a] > 1 and fits_all(points, lambda q, a=a: np.flip(q.right, a), slack):
            return Cause("flipped", points[0].leaf, f"axis {a} is reversed")
        for b in range(a):
            if shape[a] == shape[b] and fits_all(
                points, lambda q, a=a, b=b: np.swapaxes(q.right, a, b), slack
            ):
                return Cause("transposed", points[0].leaf, f"axes {b} and {a} are exchanged")
        for step in (1, -1):
            if shape[a] > 2 and fits_all(
                points, lambda q, a=a, s=step: _rolled(q, a, s), slack * 2
            ):
                return Cause("shifted", points[0].leaf, f"moved by {step} along axis {a}")
    if len(shape) > 1 and fits_all(
        points, lambda q: q.right.T.reshape(shape), slack
    ):  # the memory of the transpose
        return Cause("transposed", points[0].leaf, "the transposed gradient, in this shape")
    return None


def _rolled(p: Point, axis: int, step: int) -> np.ndarray:
    """The gradient moved by one; the entry that comes in is whatever yours has there."""
    h = np.roll(p.right, step, axis)
    edge = [slice(None)] * h.ndim
    edge[axis] = 0 if step == 1 else -1
    h[tuple(edge)] = p.mine[tuple(edge)]
    return h


def _broadcast(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    for axis in range(points[0].mine.ndim):
        if points[0].mine.shape[axis] < 2:
            continue
        for what, reduce in (("sum", np.sum), ("mean", np.mean)):
            if fits_all(
                points,
                lambda q, a=axis, r=reduce: np.broadcast_to(
                    r(q.right, axis=a, keepdims=True), q.mine.shape
                ),
                slack,
            ):
                text = f"the {what} over axis {axis} stands in every entry of it"
                return Cause("broadcast", points[0].leaf, text)
    return None


def _axis_scale(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    p = points[0]
    for axis in range(p.mine.ndim):
        others = tuple(a for a in range(p.mine.ndim) if a != axis)
        if not others or p.mine.shape[axis] < 2 or p.mine.size < 3 * p.mine.shape[axis]:
            continue
        c = sum(np.sum(q.mine * q.right, axis=others, keepdims=True) for q in points[:2]) / sum(
            np.sum(q.right**2, axis=others, keepdims=True) for q in points[:2]
        )
        if fits_all(points[:2], lambda q, c=c: c * q.right, slack):
            zero = np.flatnonzero(np.abs(c.ravel()) < 0.02)
            if len(zero) and np.all(np.abs(np.delete(c.ravel(), zero) - 1) < 0.05):
                text = (
                    f"zero for {places.indices(zero)} of {c.size} along axis {axis}, right "
                    "elsewhere"
                )
                return Cause("partial", p.leaf, text)
            shown = ", ".join(f"{v:.3g}" for v in c.ravel()[:4])
            more = _known_factor(p, c, axis)
            text = f"one wrong factor for each index of axis {axis}: {shown} ...{more}"
            return Cause("axis-scale", p.leaf, text)
    return None


def _known_factor(p: Point, c: np.ndarray, axis: int) -> str:
    for other, v in p.values.items():
        if v.dtype.kind == "f" and v.size == c.size:
            for text, w in ((other, v), (f"1 / {other}", 1 / v)):
                if rms(c.ravel() - w.ravel()) <= 0.03 * rms(c):
                    return f" = {text}"
    return ""


def _elementwise(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """One factor per entry that is a known array: a slope that is missing or counted twice."""
    for other, first in points[0].values.items():
        if first.dtype.kind != "f":
            continue
        for text, f in (
            (f"{other} too many", lambda q, o=other: q.right * _fit(q, o)),
            (f"{other} missing", lambda q, o=other: q.right / _fit(q, o)),
        ):
            try:
                if fits_all(points, f, slack):
                    return Cause("axis-scale", points[0].leaf, f"a factor {text}")
            except ValueError:
                continue
    return None


def _fit(q: Point, other: str) -> np.ndarray:
    return np.broadcast_to(q.values[other], q.mine.shape)


def _additive(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    p = points[0]
    for other, v in p.values.items():
        if v.dtype.kind != "f" or v.shape != p.mine.shape or not np.any(v):
            continue
        c = float(np.vdot(p.mine - p.right, v) / np.vdot(v, v))
        if abs(c) * rms(v) > 8 * rms(p.sigma) and fits_all(
            points, lambda q, c=c, o=other: q.right + c * q.values[o], slack
        ):
            return Cause("additive", p.leaf, f"{c:.4g} x {other} is added, whatever dy is", c)
    return None


def _other_leaf(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """The gradient of another leaf, or dy itself."""
    p = points[0]
    for other in p.golden:
        if other != p.leaf and p.golden[other].shape == p.mine.shape:
            what = f"the gradient of {other}" if other in p.values else "the output itself"
            if fits_all(points, lambda q, o=other: q.golden[o], slack):
                return Cause("wrong-operand", p.leaf, f"{what} is returned for {p.leaf}")
    for k, dy in enumerate(p.dys):
        if dy.shape == p.mine.shape and fits_all(points, lambda q, k=k: q.dys[k], slack):
            return Cause("missing-path", p.leaf, "dy is returned as it came: nothing is applied")
    return None


def _pattern(p: Point) -> str:
    norms = np.linalg.norm(p.mine), np.linalg.norm(p.right)
    cosine = float(np.vdot(p.mine, p.right) / (norms[0] * norms[1])) if min(norms) else 0.0
    wrong = np.abs(p.mine - p.right) > 12 * p.sigma
    return (
        f"no hypothesis fits. Cosine with the gradient {cosine:.4f}, ratio of norms "
        f"{norms[0] / norms[1] if norms[1] else np.inf:.4g}; {np.count_nonzero(wrong)} of "
        f"{wrong.size} entries beyond rounding"
    )


#: In order, the simplest first.
RULES = (
    _zero,
    _scale,
    _additive,
    probes.not_linear,
    _other_leaf,
    _moved,
    _broadcast,
    operands.wrong_operand,
    operands.products,
    _axis_scale,
    _elementwise,
    places.mask,
    probes.dead_outputs,
    places.at_labels,
    routes.routes,
    places.slope,
    places.entries,
    probes.single_entries,
    probes.contributions,
)
