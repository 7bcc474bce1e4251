"""The verdict on every statement of the backward pass."""

import ast
from dataclasses import dataclass
from typing import Any

import numpy as np

from autocnn.gradcheck.source.adjoints import Adjoints, Match, names_fit
from autocnn.gradcheck.source.recording import Recording
from autocnn.gradcheck.source.values import close

__all__ = ["Judged", "judge"]


@dataclass(eq=False)
class Judged:
    """One site of the backward pass: what its values match, and whether that proves it right.

    `strength` is 3 for a proof (a cotangent in its own shape that no input already was), 2 where a
    later proven value depends on it, 1 for a weaker sign, 0 for none, -1 where it is known to be
    wrong (a returned gradient).
    """

    site: int
    strength: int = 0
    match: Match | None = None
    reason: str = ""
    idle: bool = False  # it leaves its variable as it was


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
            if found[t].strength == 3 and _after(recording, site, t)
        ]
        if judged.strength in (0, 1) and proven:
            judged.strength = 2
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
    for event in events[:: max(1, len(events) // 4)]:
        worth = 3
        for array in event.arrays:
            if not array.size or not np.any(array):
                worth = min(worth, 1)
                continue
            one = adjoints.match(array, site.target)
            match = match or one
            if one is None:
                worth = 0
            elif not one.strong:
                worth = min(worth, 1)
            else:
                before = _seen_before(recording, event, array)
                judged.idle |= before is not None and before == site.target != ""
                if judged.idle or (before is not None and not names_fit(site.target, one.label)):
                    worth = min(worth, 1)
        strengths.append(worth)
        if worth == 0:
            break
    judged.strength, judged.match = min(strengths, default=0), match
    if match is not None and judged.strength:
        judged.reason = match.what


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
                judged.strength = min(judged.strength, 0)
                judged.reason = f"the gradient of {name} is wrong"
                if isinstance(recording.site(site).statement, ast.Return):
                    judged.strength = -1
