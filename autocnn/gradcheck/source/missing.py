"""What the statements say is missing where no edit was found: other uses of a variable, or a
cotangent that was computed and reaches no gradient."""

import ast

import numpy as np

from autocnn.gradcheck.source.adjoints import Adjoints
from autocnn.gradcheck.source.recording import Recording
from autocnn.gradcheck.source.session import FAILURES
from autocnn.gradcheck.source.trail import Judged

__all__ = ["what_is_missing"]


def what_is_missing(
    recording: Recording, adjoints: Adjoints, judged: dict[int, Judged], blamed: list[int]
) -> tuple[str, str] | None:
    """(code, words) for the sites `blamed` for the wrong leaves, or None."""
    for site in blamed:
        match = judged[site].match if site in judged else None
        where = recording.site(site)
        once = isinstance(where.statement, ast.Assign | ast.Return)
        once = once and len(recording.by_site.get(site, ())) == 1  # sums in loops grow on the way
        if once and match is not None and match.partial and match.label:
            name = where.target or "the value"
            return (
                "missing-path",
                f"{name} (line {where.statement.lineno}) is what comes back through one part of "
                f"the uses of {match.label}: what comes back through the others is missing",
            )
    return _unused(recording, adjoints, judged)


def _unused(
    recording: Recording, adjoints: Adjoints, judged: dict[int, Judged]
) -> tuple[str, str] | None:
    """A right cotangent that no gradient depends on, of a variable that a wrong leaf leads to."""
    for site, found in judged.items():
        where = recording.site(site)
        if where.kind != "value" or not isinstance(where.statement, ast.Assign):
            continue
        if recording.leaves.get(site) or recording.influence.get(site):
            continue
        match = found.match
        if match is None or not match.strong or match.partial or found.strength < 1.5:
            continue
        if _depends(recording, adjoints, match.label):
            return (
                "missing-path",
                f"{where.target} (line {where.statement.lineno}), the gradient of {match.label}, "
                "reaches no gradient that is returned: a term with it is missing",
            )
    return None


def _depends(recording: Recording, adjoints: Adjoints, label: str) -> bool:
    """Does the forward variable of this label change with a wrong leaf?"""
    session, tracer = recording.session, recording.session.tracer
    before = {
        e[:2]: e.arrays
        for e in recording.forward
        if adjoints.labels.get(e[:2]) == label and session.sites.all[e.site].kind == "value"
    }
    if not before:
        return False
    values = dict(recording.point.values)
    rng = np.random.default_rng(11)
    for name in recording.wrong:
        values[name] = values[name] * (1 + 0.01 * rng.standard_normal(values[name].shape))
    try:
        tracer.watched, tracer.events = {site for site, _ in before}, []
        session.forward(values)
        after = {e[:2]: e.arrays for e in tracer.events}
    except FAILURES:
        return False
    finally:
        tracer.reset()
    return any(
        key in after
        and any(
            a.shape == b.shape and not np.array_equal(a, b)
            for a, b in zip(arrays, after[key], strict=False)
        )
        for key, arrays in before.items()
    )
