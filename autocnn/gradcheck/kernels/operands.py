"""Hypotheses about a wrong kernel gradient: the right formula at another operand, cotangent or
option.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from autocnn.gradcheck.kernels.point import Point
from autocnn.gradcheck.kernels.setup import Setup
from autocnn.gradcheck.report import Cause

__all__ = ["products", "wrong_operand"]


def _altered(setup: Setup, p: Point) -> Iterator[tuple[str, Callable[[Point], tuple]]]:
    """(description, point -> (setup, values, cotangents)): the gradient at another operand."""
    for other, v in p.values.items():
        if v.dtype.kind not in "fiu":
            continue
        changes: list[tuple[str, Callable]] = []
        if v.dtype.kind == "f":
            changes += [("1", np.ones_like), ("0", np.zeros_like), ("its magnitude", np.abs)]
            changes += [("its negative", np.negative)]
        else:
            top = int(v.max(initial=0)) + 1
            changes += [("itself plus 1", lambda a, n=top: (a + 1) % n)]
            changes += [("itself minus 1", lambda a, n=top: (a - 1) % n)]
        for axis in range(v.ndim):
            if v.shape[axis] > 1:
                changes.append(
                    (f"itself reversed along axis {axis}", lambda a, x=axis: np.flip(a, x))
                )
                changes.append(
                    (f"itself shifted along axis {axis}", lambda a, x=axis: np.roll(a, 1, x))
                )
                changes.append(
                    (f"itself shifted back along axis {axis}", lambda a, x=axis: np.roll(a, -1, x))
                )
            for b in range(axis):
                if v.shape[axis] == v.shape[b] > 1:
                    changes.append(
                        (
                            f"its transpose (axes {b}, {axis})",
                            lambda a, x=axis, y=b: np.swapaxes(a, x, y),
                        )
                    )
        for text, change in changes:
            yield (
                f"{text} in place of {other}",
                lambda q, o=other, f=change: (setup, {**q.values, o: f(q.values[o])}, q.dys),
            )
    for k, dy in enumerate(p.dys):
        label = "dy" if len(p.dys) == 1 else f"dy of output {k}"
        for text, change in _dy_changes(dy):
            yield (
                f"{label} {text}",
                lambda q, k=k, f=change: (
                    setup,
                    q.values,
                    [f(d) if j == k else d for j, d in enumerate(q.dys)],
                ),
            )
    for option, value in setup.options.items():
        for other in _other_options(value):
            altered = _with_option(setup, option, other)
            yield (
                f"{option}={other!r} in place of {value!r}",
                lambda q, s=altered: (s, q.values, q.dys),
            )


def _dy_changes(dy: np.ndarray) -> Iterator[tuple[str, Callable]]:
    yield "taken as 1", np.ones_like
    for axis in range(dy.ndim):
        n = dy.shape[axis]
        if n < 2:
            continue
        yield f"averaged over axis {axis}", lambda d, a=axis: d.mean(a, keepdims=True) + 0 * d
        yield f"summed over axis {axis}", lambda d, a=axis: d.sum(a, keepdims=True) + 0 * d
        yield f"reversed along axis {axis}", lambda d, a=axis: np.flip(d, a)
        yield f"shifted along axis {axis}", lambda d, a=axis: np.roll(d, 1, a)
        yield f"shifted back along axis {axis}", lambda d, a=axis: np.roll(d, -1, a)
        yield (
            f"taken from index 0 of axis {axis} alone",
            lambda d, a=axis: np.take(d, [0], a) + 0 * d,
        )
        for b in range(axis):
            if dy.shape[b] == n:
                yield f"transposed (axes {b}, {axis})", lambda d, a=axis, b=b: np.swapaxes(d, a, b)


def _other_options(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [v for v in (value - 1, value + 1, 0, 1) if v != value]
    if isinstance(value, float):
        found = [0.0, 1.0, 1 - value, value**2, abs(value) ** 0.5, 2 * value, value / 2]
        found += [1 / value] if value else []
        return [v for v in found if v != value]
    return [None] if value is not None and not callable(value) else []


def _with_option(setup: Setup, option: str, value: Any) -> Setup:
    return dataclasses.replace(setup, options={**setup.options, option: value})


def wrong_operand(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """Name an operand of the gradient's products that was another one, or None."""
    p = points[0]

    def gradient(q: Point, build) -> np.ndarray | None:
        try:
            other, values, dys = build(q)
            return other.golden(values, dys)[p.leaf]
        except Exception:  # an altered argument that the reference refuses
            return None

    for text, build in _altered(setup, p):
        h = gradient(p, build)
        if not p.fits(h, slack) or not all(q.fits(gradient(q, build), slack) for q in points[1:]):
            continue
        return Cause("wrong-operand", p.leaf, f"the gradient with {text}")
    return None


def products(setup: Setup, points: list[Point], slack: float) -> Cause | None:
    """dy times a known array, summed over the leading axes where the leaf is smaller: a factor of
    the chain rule is left out, or an operand is used before it was normalised.
    """
    p = points[0]
    for k, dy in enumerate(p.dys):
        known = {n: v for n, v in p.values.items() if v.dtype.kind == "f" and v.shape == dy.shape}
        for other in known:

            def h(q: Point, o=other, k=k) -> np.ndarray | None:
                product = q.dys[k] * q.values[o]
                lead = product.ndim - q.mine.ndim
                product = product.sum(tuple(range(lead))) if lead > 0 else product
                return product if product.shape == q.mine.shape else None

            if all(q.fits(h(q), slack) for q in points):
                text = f"it is the sum of dy x {other}, {other} taken as it came"
                return Cause("wrong-operand", p.leaf, text)
    return None
