"""Could some value of one statement make every gradient right? If not, it is not to blame alone."""

from typing import NamedTuple

import numpy as np

from autocnn.gradcheck.source.recording import Key, Recording
from autocnn.gradcheck.source.session import FAILURES
from autocnn.gradcheck.source.trace import Event
from autocnn.gradcheck.source.values import size

__all__ = ["Repair", "repair"]

NEWTON = 6
BENT = 120  # unknowns, where backward is not linear in them: each step costs as many runs


class Repair(NamedTuple):
    """`possible`: True, False, or None where it could not be decided. `values` are the arrays that
    make every leaf right; `unique` says that no others do."""

    possible: bool | None
    values: dict[Key, list[np.ndarray]]
    unique: bool = False
    jacobian: np.ndarray | None = None

    def fits(self, site: int, turn: int, arrays: list[np.ndarray]) -> bool:
        """True when these arrays at one turn are as good as the repaired ones."""
        wanted = self.values[site, turn]
        if len(arrays) != len(wanted) or any(
            a.shape != b.shape for a, b in zip(arrays, wanted, strict=True)
        ):
            return False
        new, old = (np.concatenate([a.ravel() for a in group]) for group in (arrays, wanted))
        size = float(np.max(np.abs(old))) + float(np.max(np.abs(new))) if new.size else 0.0
        if not np.isfinite(size):
            return False
        if not new.size or np.max(np.abs(new - old)) <= 1e-6 * size:
            return True
        if self.jacobian is None:
            return False
        start = 0
        for key, group in self.values.items():
            if key == (site, turn):
                break
            start += sum(a.size for a in group)
        part = self.jacobian[:, start : start + new.size]
        moved = np.max(np.abs(part @ (new - old)))
        return bool(moved <= 1e-7 * np.max(np.abs(part) @ (np.abs(new) + np.abs(old))))


def repair(recording: Recording, site: int, most: int = 700) -> Repair:
    """Solve for the values of one site (all turns together) that make all leaves right."""
    events = recording.by_site[site]
    if recording.site(site).kind == "after" and len(events) > 1:
        events = events[-1:]  # the last state holds all that was written before
    unknowns = sum(size(e.arrays) for e in events)
    session = recording.session
    if any(recording.seen[n] is None for n in session.leaves):
        return Repair(None, {})
    if unknowns > most or unknowns * session.seconds > 0.3 * session.effort.left:
        return Repair(None, {})
    values = {e[:2]: [np.array(a, dtype=float) for a in e.arrays] for e in events}
    residual = _residual(recording, recording.seen)
    first = float(np.linalg.norm(residual))
    rank, never = 0, Repair(None, {})
    for _ in range(NEWTON):
        jacobian, linear = _jacobian(recording, events, values, residual)
        if jacobian is None or not (
            np.all(np.isfinite(jacobian)) and np.all(np.isfinite(residual))
        ):
            return Repair(None, {})
        never = Repair(False if linear else None, {})
        step, _, rank, _ = np.linalg.lstsq(jacobian, residual, rcond=1e-11)
        left = float(np.linalg.norm(residual - jacobian @ step))
        if left > 0.5 * float(np.linalg.norm(residual)) and left > 1e-6 * first:
            return never
        length, now = 1.0, float(np.linalg.norm(residual))
        while True:
            nearer = _plus(events, values, length * step)
            seen = _seen(recording, nearer)
            if seen is None:
                return Repair(None, {})
            worse = float(np.linalg.norm(_residual(recording, seen))) > now
            if not worse or length < 0.1:
                break
            length /= 2  # backward bends: go a shorter way
        values = nearer
        if all(session.agrees(recording.point, n, seen[n], 100.0) for n in session.leaves):
            return Repair(True, values, rank == unknowns, jacobian)
        residual = _residual(recording, seen)
        if left > 1e-6 * first and float(np.linalg.norm(residual)) > 0.9 * first:
            return never
    return never


def _residual(recording: Recording, seen: dict) -> np.ndarray:
    """True minus seen, every leaf in units of its own size."""
    parts = []
    for name in recording.session.leaves:
        truth = recording.point.truth[name]
        unit = float(np.max(np.abs(truth))) if truth.size else 1.0
        parts.append((truth - seen[name]) / (unit or recording.point.scale or 1.0))
    return np.concatenate(parts)


def _seen(recording: Recording, values: dict[Key, list[np.ndarray]]) -> dict | None:
    try:
        seen = recording.session.seen(recording.point, recording.with_values(values))
    except FAILURES:
        return None
    return None if any(s is None for s in seen.values()) else seen


def _plus(events: list[Event], values, step: np.ndarray) -> dict[Key, list[np.ndarray]]:
    new, start = {}, 0
    for event in events:
        arrays = []
        for a in values[event[:2]]:
            arrays.append(a + step[start : start + a.size].reshape(a.shape))
            start += a.size
        new[event[:2]] = arrays
    return new


def _jacobian(recording, events, values, residual: np.ndarray):
    """d(seen) / d(values), by differences of the length of the values themselves where backward
    is linear in them, else by short ones."""
    total = sum(size(e.arrays) for e in events)
    flat = np.concatenate([a.ravel() for e in events for a in values[e[:2]]])
    unit = max(float(np.sqrt(np.mean(flat**2))), 1e-3 * recording.scale)
    rng = np.random.default_rng(0)

    def at(step: np.ndarray) -> np.ndarray | None:
        seen = _seen(recording, _plus(events, values, step))
        return None if seen is None else -_residual(recording, seen)

    probe = unit * rng.standard_normal(total)
    middle, right, left = -residual, at(probe), at(-probe)
    if right is None or left is None:
        return None, False
    bend = np.abs(right + left - 2 * middle)
    linear = np.all(bend <= 1e-9 * (np.abs(right) + np.abs(left) + np.abs(middle)).max())
    if not linear and total > BENT:
        return None, False
    columns = []
    for k in range(total):
        if recording.session.left() < 0.4:
            return None, False
        step = np.zeros(total)
        step[k] = unit if linear else 1e-5 * unit
        there = at(step)
        if there is None:
            return None, False
        if linear:
            columns.append((there - middle) / step[k])
        else:
            here = at(-step)
            if here is None:
                return None, False
            columns.append((there - here) / (2 * step[k]))
    return np.stack(columns, axis=1), bool(linear)
