"""True cotangents of every value and every use in a forward pass, one inner product at a time."""

import ast
import itertools
from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.source.session import FAILURES, STEP, Point, Session
from autocnn.gradcheck.source.trace import Event

__all__ = ["Adjoints", "Match"]


class Match(NamedTuple):
    """What a value of the backward pass was found to be. `strong` when it is the cotangent of one
    value or one use, in its own shape; `partial` when it is that of some of a value's uses only."""

    strong: bool
    what: str
    label: str = ""
    partial: bool = False


def direction(shape: tuple[int, ...], second: bool = False) -> np.ndarray:
    """The fixed Gaussian array of a shape."""
    seed = [len(shape), *shape, int(second)]
    return np.random.default_rng(seed).standard_normal(shape)


class Adjoints:
    """Compares arrays with the cotangents of the recorded forward events."""

    def __init__(self, session: Session, point: Point, events: list[Event]) -> None:
        self.session, self.point = session, point
        self.known: dict[tuple, float] = {}
        self.runs = 0
        self.groups: dict[int, list[Event]] = {}
        for event in events:
            self.groups.setdefault(event.identity, []).append(event)
        self.events = [e for e in events if not self._redundant(e)]
        self.labels = {e[:2]: self._label(e) for e in events}

    def _label(self, event: Event) -> str:
        site = self.session.sites.all[event.site]
        if site.target:
            return site.target
        return ast.unparse(site.node) if isinstance(site.node, ast.expr) else ""

    def _redundant(self, event: Event) -> bool:
        """A name that is read once has the cotangent of what was assigned to it."""
        group = self.groups[event.identity]
        site = self.session.sites.all[event.site]
        defined = self.session.sites.all[group[0].site].kind not in ("part", "test")
        return site.kind in ("part", "test") and len(group) == 2 and event is group[1] and defined

    def _is_use(self, event: Event) -> bool:
        """True where a name or an attribute is read: the definition has the sum of all uses."""
        site = self.session.sites.all[event.site]
        return site.kind == "part" and isinstance(site.node, ast.Name | ast.Attribute)

    def _one_of_many(self, event: Event) -> bool:
        """True for one use among several of the same value."""
        group = self.groups[event.identity]
        return self._is_use(event) and sum(self._is_use(e) for e in group) > 1

    def along(self, event: Event, k: int, u: np.ndarray, key: tuple) -> float:
        """<true cotangent of the k-th array of an event, u>."""
        key = event.site, event.turn, k, *key
        if key not in self.known:
            self.known[key] = self._measure(event, k, u)
            self.runs += 1
        return self.known[key]

    def _measure(self, event: Event, k: int, u: np.ndarray) -> float:
        session, point = self.session, self.point

        def shifted(step: np.ndarray, lifted: bool) -> np.ndarray:
            steps = [np.zeros_like(a) for a in event.arrays]
            steps[k] = step
            session.tracer.shift({event[:2]: steps})
            try:
                return session.forward(point.values, lifted).flat
            finally:
                session.tracer.reset()

        try:
            if session.exact:
                y = shifted(1j * STEP * u, True)
                return float(point.dy @ y.imag) / STEP if y.dtype.kind == "c" else 0.0
            unit = float(np.sqrt(np.mean(event.arrays[k] ** 2))) or 1.0
            return session._difference(lambda t: shifted(t * u, False), point.dy, unit)
        except FAILURES:
            return float("nan")

    def named(self, gradient: str, shape: tuple[int, ...] | None = None) -> bool:
        """True where the forward pass has a variable (of this shape) whose gradient the name would
        be."""
        return "[" not in gradient and any(
            names_fit(gradient, label) and shape in (None, e.arrays[0].shape)
            for e in self.events
            if self.session.sites.all[e.site].kind in ("value", "argument")
            and (label := self.labels[e[:2]])
        )

    def match(self, value: np.ndarray, name: str, most: int = 60) -> Match | None:
        """The cotangent that equals `value`: strong matches first, names that fit first."""
        if not value.size or not np.any(value):
            return None
        limit = self.runs + most
        u = direction(value.shape)
        same = sorted(
            (
                (not names_fit(name, self.labels[e[:2]]), self._is_use(e), -n, k, e)
                for n, e in enumerate(self.events)
                for k, a in enumerate(e.arrays)
                if a.shape == value.shape
            ),
            key=lambda item: item[:4],
        )
        want = float(np.sum(value * u))
        size = float(np.linalg.norm(value) * np.linalg.norm(u))
        asked = False
        for unfit, _, _, k, event in same:
            if self._exhausted(limit):
                break
            if unfit and not asked:  # the numbers that the name promises, laid out otherwise
                asked = True
                found = self._reshaped(value, name, limit, size, fit=True)
                if found is not None:
                    return found
            if self._equal(self.along(event, k, u, ("same",)), want, size):
                second = direction(value.shape, True)
                again = self.along(event, k, second, ("again",))
                if self._equal(again, float(np.sum(value * second)), size):
                    label = self.labels[event[:2]]
                    return Match(True, f"the cotangent of {label}", label, self._one_of_many(event))
        return self._partial(value, want, u, size) or self._reshaped(value, name, limit, size)

    def _exhausted(self, limit: int) -> bool:
        session = self.session
        return self.runs > limit or session.left() < 0.7

    def _equal(self, a: float, b: float, size: float) -> bool:
        return abs(a - b) <= 10 * self.session.tolerance * size

    def _partial(self, value, want: float, u: np.ndarray, size: float) -> Match | None:
        """The sum over some uses of one object, or over some turns of one site."""
        for group in self.groups.values():
            uses = [
                e
                for e in group
                if len(e.arrays) == 1 and e.arrays[0].shape == value.shape and self._is_use(e)
            ]
            parts = [self.known.get((e.site, e.turn, 0, "same")) for e in uses]
            parts = [p for p in parts if p is not None and p == p]
            if not 2 <= len(parts) <= 9:
                continue
            for count in range(2, len(parts) + 1):
                for some in itertools.combinations(parts, count):
                    if self._equal(sum(some), want, size):
                        label = self.labels[uses[0][:2]]
                        what = f"the cotangent of {count} uses of {label}"
                        return Match(True, what, label, count < len(uses))
        by_site: dict[int, list[float]] = {}
        for event in self.events:
            part = self.known.get((event.site, event.turn, 0, "same"))
            if part is not None and event.arrays[0].shape == value.shape:
                by_site.setdefault(event.site, []).append(part)
        for site, parts in by_site.items():
            for sums in (np.cumsum(parts), np.cumsum(parts[::-1])):
                if len(parts) > 1 and any(self._equal(s, want, size) for s in sums[1:]):
                    label = self.labels[site, 0]
                    what = f"the cotangent of {label}, summed over passes"
                    return Match(True, what, label)
        return None

    def _reshaped(
        self, value: np.ndarray, name: str, limit: int, size: float, fit: bool = False
    ) -> Match | None:
        """The cotangent of something in another layout, or summed over axes. With `fit`, of what
        the name promises, in another layout only."""
        for event in sorted(self.events, key=lambda e: not names_fit(name, self.labels[e[:2]])):
            label = self.labels[event[:2]]
            if self._exhausted(limit) or (fit and not names_fit(name, label)):
                return None
            array = event.arrays[0]
            if len(event.arrays) != 1 or array.shape == value.shape:
                continue
            for key, there, back in layouts(value.shape, array.shape):
                if fit and key[0] == "sum":
                    continue
                u = direction(array.shape)
                if there is not None:
                    u = there(direction(value.shape))
                want = float(
                    np.sum(value * direction(value.shape))
                    if back is None
                    else np.sum(back(value) * u)
                )
                if self._equal(self.along(event, 0, u, key), want, size):
                    return Match(fit, f"the cotangent of {label} in another layout", label)
        return None


def layouts(value: tuple[int, ...], other: tuple[int, ...]):
    """(key, how a direction of `value`'s shape becomes one of `other`'s, how a value is reduced to
    `other`'s shape) for every way in which a value may hold the numbers of a cotangent."""
    if np.prod(value) == np.prod(other):
        if sorted(value) == sorted(other) and len(value) <= 4:
            for order in itertools.permutations(range(len(value))):
                if tuple(value[k] for k in order) == other and order != tuple(range(len(value))):
                    yield ("turned", value, order), (lambda u, o=order: u.transpose(o)), None
        yield ("reshaped", value), (lambda u: u.reshape(other)), None
        return
    for small, large, reduce in ((value, other, False), (other, value, True)):
        axes = summed_axes(small, large)
        if axes is None:
            continue
        if reduce:
            yield ("sum", axes), None, (lambda v, a=axes: v.sum(axis=a).reshape(other))
        else:
            keep = tuple(1 if k in axes else n for k, n in enumerate(large))
            yield (
                ("spread", value),
                (lambda u, s=keep: np.broadcast_to(u.reshape(s), other)),
                None,
            )


def summed_axes(small: tuple[int, ...], large: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of `large` over which a sum has the shape `small` (with or without its ones)."""
    if len(large) > 5:
        return None
    for count in range(1, len(large) + 1):
        for axes in itertools.combinations(range(len(large)), count):
            dropped = tuple(n for k, n in enumerate(large) if k not in axes)
            kept = tuple(1 if k in axes else n for k, n in enumerate(large))
            if small in (dropped, kept):
                return axes
    return None


_PREFIXES = ("d_", "grad_", "g_", "d", "g", "grad", "delta_")
_SUFFIXES = ("_grad", "_gradient", "_bar", "_g")


def names_fit(gradient: str, name: str) -> bool:
    """True when one name says that it is the gradient of the other: dx and x, grad_w and w."""
    gradient = gradient.split(".")[-1].split("[")[0].strip("'\"").lower()
    name = name.split(".")[-1].split("[")[0].strip("'\"").lower()
    if not gradient or not name:
        return False
    return gradient in {p + name for p in _PREFIXES} | {name + s for s in _SUFFIXES} | {name}
