"""One recorded run: what every statement of the backward pass yielded, and what depends on what."""

import ast
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.source.instrument import Site
from autocnn.gradcheck.source.session import FAILURES, NoPlace, Point, Session
from autocnn.gradcheck.source.trace import Event
from autocnn.gradcheck.source.values import close

__all__ = ["Recording", "record"]

Key = tuple[int, int]


@dataclass(eq=False)
class Recording:
    """The events of one forward and one backward call at a point.

    `values` holds the events of statements in the backward pass, in order. `influence[site]` are
    the statement sites whose values change with what `site` yields, `leaves[site]` the leaves.
    """

    session: Session
    point: Point
    forward: list[Event]
    backward: list[Event]
    kept: list[Any]
    out: Any
    gradients: dict[str, Any]
    scopes: dict[int, dict[str, Any]]
    repeatable: bool
    beside_loss: bool = False  # the gradients are computed by the function itself
    influence: dict[int, set[int]] = field(default_factory=dict)
    leaves: dict[int, set[str]] = field(default_factory=dict)
    known: dict[tuple, list] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.forward = [e for e in self.forward if e.arrays]
        found = [e for e in self.backward if self.site(e).kind in ("value", "after")]
        self.values = [e for e in found if e.arrays]
        self.discrete = list(
            dict.fromkeys(e.site for e in found if not e.arrays and self.site(e).kind == "value")
        )
        self.by_site: dict[int, list[Event]] = {}
        for event in self.values:
            self.by_site.setdefault(event.site, []).append(event)
        sizes = [_rms(a) for e in self.values for a in e.arrays if a.size]
        self.scale = float(np.median([s for s in sizes if s > 0] or [1.0]))
        self.seen = self.session.seen(self.point, self.gradients)
        self.wrong = [
            n for n in self.session.leaves if not self.session.agrees(self.point, n, self.seen[n])
        ]

    def site(self, event: Event | int) -> Site:
        """The site of an event."""
        return self.session.sites.all[event if isinstance(event, int) else event.site]

    def rerun(self) -> Any:
        """The forward call whose backward may be called again."""
        return self.out if self.repeatable else self.session.forward(self.point.values)

    def with_values(self, new: dict[Key, list[np.ndarray]]) -> dict[str, Any]:
        """The gradients when some sites yield other arrays."""
        return self._run(lambda tracer: tracer.replace(new))

    def with_steps(self, steps: dict[Key, list[np.ndarray]]) -> dict[str, Any]:
        """The gradients when arrays are added to what some sites yield."""
        return self._run(lambda tracer: tracer.shift(steps))

    def _run(self, prepare) -> dict[str, Any]:
        out = self.rerun()
        prepare(self.session.tracer)
        self.session.tracer.limit(self.session.patience)
        try:
            return self.session.gradients(out, self.point.dy)
        finally:
            self.session.tracer.reset()

    def measure_influence(self, site: int) -> None:
        """Disturb what one site yields and note what changes."""
        if site in self.influence:
            return
        session, tracer = self.session, self.session.tracer
        rng = np.random.default_rng(site)
        steps = {
            e[:2]: [
                rng.standard_normal(a.shape) * max(_rms(a), 1e-3 * self.scale) if a.size else a
                for a in e.arrays
            ]
            for e in self.by_site[site]
        }
        out = self.rerun()
        tracer.shift(steps)
        tracer.watched = None
        tracer.events = []
        tracer.limit(session.patience)
        changed: set[int] = set()
        hit: set[str] = set()
        try:
            gradients = session.gradients(out, self.point.dy)
            after: dict[Key, Event] = {e[:2]: e for e in tracer.events}
            for event in self.values:
                other = after.get(event[:2])
                if event.site != site and (other is None or _differ(event, other)):
                    changed.add(event.site)
            for name, seen in session.seen(self.point, gradients).items():
                old = self.seen[name]
                unknown = seen is None or old is None
                same = (
                    _same(gradients.get(name), self.gradients.get(name))
                    if unknown
                    else close(old, seen, 1e-12)
                )
                if not same:
                    hit.add(name)
        except FAILURES:
            changed, hit = set(self.by_site) - {site}, set(session.leaves)
        finally:
            tracer.reset()
        self.influence[site], self.leaves[site] = changed, hit


def _rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.abs(a) ** 2)))


def _differ(a: Event, b: Event) -> bool:
    return len(a.arrays) != len(b.arrays) or any(
        not close(p, q, 1e-13) for p, q in zip(a.arrays, b.arrays, strict=True)
    )


def _same(a: Any, b: Any) -> bool:
    try:
        return np.array_equal(np.asarray(a), np.asarray(b))
    except Exception:
        return False


def record(session: Session, point: Point) -> Recording:
    """Run the instrumented program once at a point and keep what it yields."""
    tracer = session.tracer
    scopes: dict[int, dict[str, Any]] = {}

    def look(site: int, turn: int, value: Any, frame: Any) -> None:
        found = session.sites.all[site]
        if found.kind == "value" and isinstance(found.statement, ast.Return):
            scopes[id(found.function)] = dict(frame.f_locals)

    try:
        tracer.watched, tracer.events, tracer.look = None, [], look
        out = session.forward(point.values)
        forward, kept = tracer.events, tracer.kept
        tracer.watched, tracer.events, tracer.look = None, [], None
        gradients = {k: _copy(v) for k, v in session.gradients(out, point.dy).items()}
        backward = tracer.events
        kept = kept + tracer.kept
        tracer.reset()
        if not backward:
            raise NoPlace("the source of the backward pass cannot be had")
        again = session.gradients(out, point.dy)
        repeatable = all(_same(gradients.get(n), again.get(n)) for n in session.leaves)
        forward, backward, beside = _told_apart(session, point, forward, backward)
    except FAILURES as error:
        raise NoPlace(f"the instrumented copy raised {type(error).__name__}: {error}") from error
    finally:
        tracer.reset()
        tracer.kept = []
    return Recording(
        session, point, forward, backward, kept, out, gradients, scopes, repeatable, beside
    )


def _told_apart(
    session: Session, point: Point, forward: list[Event], backward: list[Event]
) -> tuple[list[Event], list[Event], bool]:
    """The events without those of the other pass, where some statements run in both: helpers, and
    functions that compute gradients beside their loss. What the output depends on is forward's.
    The last part tells that there are gradients in the forward pass."""
    sites = session.sites.all
    both = {e.site for e in forward} & {e.site for e in backward}
    both = {s for s in both if sites[s].kind in ("value", "after")}
    if not both:
        return forward, backward, False
    y = session.forward(point.values).flat
    mine = {s for s in both if _reaches(session, point, [e for e in forward if e.site == s], y)}
    statements = {id(sites[s].statement) for s in mine}
    others = {id(sites[s].statement) for s in both} - statements
    returned = {e.identity for e in forward if id(sites[e.site].statement) in others}

    def gradient(e: Event) -> bool:
        s = sites[e.site].statement
        return id(s) in others or (isinstance(s, ast.Return) and e.identity in returned)

    return (
        [e for e in forward if not gradient(e)],
        [e for e in backward if e.site not in both or e.site in both - mine],
        bool(others),
    )


def _reaches(session: Session, point: Point, events: list[Event], y: np.ndarray) -> bool:
    """Does the output change with what a site yields?"""
    steps = {
        e[:2]: [
            np.random.default_rng(e.turn).standard_normal(a.shape) * (_rms(a) or 1.0)
            for a in e.arrays
        ]
        for e in events
        if e.arrays
    }
    session.tracer.shift(steps)
    session.tracer.limit(session.patience)
    try:
        return not np.array_equal(session.forward(point.values).flat, y)
    except FAILURES:
        return True
    finally:
        session.tracer.reset()


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
