"""The verdict on every statement of the backward pass."""

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np

from autocnn.gradcheck.source.adjoints import Adjoints, Match, names_fit
from autocnn.gradcheck.source.recording import Recording
from autocnn.gradcheck.source.values import close

__all__ = ["Judged", "judge"]

TURNS = 24  # of a loop that are looked at


@dataclass(eq=False)
class Judged:
    """One site of the backward pass: what its values match, and whether that proves it right.

    `strength` is 3 for a proof (the cotangent that the variable's name says, in its own shape, or
    the forward value of that name), 2 where a later proven value depends on it, 1.5 where it is a
    new cotangent of something else, 1 for a weaker sign, 0 for none, -1 where it is known to be
    wrong (a returned gradient).
    """

    site: int
    strength: float = 0
    match: Match | None = None
    reason: str = ""
    idle: bool = False  # it leaves its variable as it was
    broken: bool = False  # its name promises a cotangent that its value is not


def judge(recording: Recording, adjoints: Adjoints) -> dict[int, Judged]:
    """Judge every site that yields float arrays in the backward pass."""
    found = {site: Judged(site) for site in recording.by_site}
    for judged in found.values():
        _judge_site(recording, adjoints, judged)
    for site in recording.by_site:
        recording.measure_influence(site)
    _returned(recording, found)
    for site, judged in found.items():
        proven = [
            t
            for t in recording.influence[site]
            if found[t].strength in (1.5, 3) and _after(recording, site, t)
        ]
        sure = any(found[t].strength >= 3 for t in proven)
        if proven and 0 <= judged.strength < (2 if sure else 1.2):
            judged.strength = 2 if sure else 1.2
            judged.reason = "what follows from it is right"
    return found


def _after(recording: Recording, site: int, other: int) -> bool:
    """True when every turn of `site` can have been seen by `other`: no loop, or the same loop."""
    return len(recording.by_site[other]) >= len(recording.by_site[site]) or (
        recording.site(other).kind == "after" or len(recording.by_site[site]) == 1
    )


def _judge_site(recording: Recording, adjoints: Adjoints, judged: Judged) -> None:
    site = recording.site(judged.site)
    events = recording.by_site[judged.site]
    strengths, match = [], None
    some = events[:: max(1, len(events) // TURNS)]
    for event in [*some, *events[-1:]]:
        worth = 3.0
        for array in event.arrays:
            if array.size < 2 and len(event.arrays) > 1:
                continue  # an eps or a count among the arrays of an unpacked cache
            if not array.size or not np.any(array):
                worth = min(worth, 1)
                continue
            label = _forward_value(recording, array, site.target)
            if label is not None:
                judged.reason = f"the value of {label}"
                own = label == _last_name(site.target)
                judged.broken = not own and adjoints.named(site.target)
                worth = min(worth, 3 if own else 0 if judged.broken else 1)
                continue
            one = adjoints.match(array, site.target)
            match = match or one
            if one is None:
                worth = 0
                judged.broken = adjoints.named(site.target, array.shape)
            elif not one.strong:
                worth = min(worth, 1)
            else:
                before = _seen_before(recording, event, array)
                judged.idle |= before is not None and before == site.target != ""
                fits = names_fit(site.target, one.label)
                if not fits and adjoints.named(site.target, array.shape):
                    worth, judged.broken = 0, True
                    break
                if judged.idle or one.partial or (before is not None and not fits):
                    worth = min(worth, 1)
                elif not fits:
                    worth = min(worth, 1.5)
        strengths.append(worth)
        if worth == 0:
            break
    judged.strength, judged.match = min(strengths, default=0), match
    if match is not None and judged.strength:
        judged.reason = match.what


def _last_name(target: str) -> str:
    return target.split(".")[-1].split("[")[-1].strip("'\"]")


def _forward_value(recording: Recording, array: np.ndarray, target: str) -> str | None:
    """The name of the forward value that equals `array`, the target's own name if that is one."""
    if array.size < 2:
        return None
    if not recording.known:
        for event in recording.forward:
            for a in event.arrays:
                if a.size > 1:
                    recording.known.setdefault(a.shape, []).append((a, event.site))
    found = None
    for a, number in recording.known.get(array.shape, ()):
        if np.array_equal(a, array):
            site = recording.site(number)
            name = _last_name(
                site.target or (ast.unparse(site.node) if isinstance(site.node, ast.expr) else "")
            )
            if name == _last_name(target):
                return name
            found = found or name
    return found


def _seen_before(recording: Recording, event: Any, array: np.ndarray) -> str | None:
    """The variable that held the same numbers earlier in the backward pass, or "dy"."""
    if array.size == recording.point.dy.size and close(array.ravel(), recording.point.dy, 1e-12):
        return "dy"
    for other in recording.values:
        if other is event:
            return None
        if other.site != event.site and any(close(a, array, 1e-12) for a in other.arrays):
            return recording.site(other).target
    return None


def _returned(recording: Recording, found: dict[int, Judged]) -> None:
    """What equals a wrong leaf's gradient is not proven right by being the cotangent of one use."""
    for name in recording.wrong:
        try:
            gradient = np.asarray(recording.gradients.get(name), dtype=float)
        except (TypeError, ValueError):
            continue
        for site, judged in found.items():
            last = recording.by_site[site][-1]
            if len(last.arrays) == 1 and close(last.arrays[0], gradient, 1e-12):
                match = judged.match
                whole = match is not None and not match.partial and match.label != name
                if judged.strength == 3 and whole:
                    continue
                judged.strength = min(judged.strength, 0)
                judged.reason = f"the gradient of {name} is wrong"
                if isinstance(recording.site(site).statement, ast.Return):
                    judged.strength = -1
