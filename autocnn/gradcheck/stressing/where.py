"""Where a mistake begins among the settings: right at stride >= k, wrong at groups >= 2."""

import itertools
from typing import Any

from autocnn.gradcheck.stressing.cases import Space

__all__ = ["plain", "where"]


def where(results: dict[tuple, bool | None], space: Space) -> str:
    """For each name whose values divide right from wrong: which values show it."""
    ran = [(dict(k), bad) for k, bad in results.items() if bad is not None]
    if all(bad for _, bad in ran):
        return "wrong in every case that ran"
    choices, settings = space.choices, space.settings
    parts = _relations(ran, space)
    for name in sorted(choices, key=lambda n: n not in settings):
        values = [v for v in choices[name] if any(c[name] == v for c, _ in ran)]
        wrong = [v for v in values if any(bad and c[name] == v for c, bad in ran)]
        right = [v for v in values if v not in wrong]
        plain = _plainly(right, values) and _plainly(wrong, values)
        if right and wrong and (name in settings or plain):
            what = name.rstrip("?")
            parts.append(
                f"right at {what} {_values(right, values)}, wrong at {_values(wrong, values)}"
            )
    return "; ".join(parts[:3]) or "no single setting divides right cases from wrong ones"


def _relations(ran: list, space: Space) -> list[str]:
    """Two settings whose order divides right from wrong where the lengths are the ordinary ones:
    right at stride >= k.
    """
    choices, settings = space.choices, space.settings
    lengths = [n for n in choices if n not in settings]
    first = ran[0][0]
    ran = [(c, bad) for c, bad in ran if all(c[n] == first[n] for n in lengths)]
    numeric = [n for n in choices if n in settings and all(isinstance(x, int) for x in choices[n])]
    found = []
    for a, b in itertools.permutations(numeric, 2):
        for sign, test in (
            (">=", lambda c, a=a, b=b: c[a] >= c[b]),
            (">", lambda c, a=a, b=b: c[a] > c[b]),
        ):
            inside = [bad for c, bad in ran if test(c)]
            outside = [bad for c, bad in ran if not test(c)]
            if len(inside) > 1 and len(outside) > 1 and not any(inside) and all(outside):
                found.append(f"right at {a} {sign} {b}, wrong at smaller {a}")
    return found[:1]


def _plainly(shown: list, every: list) -> bool:
    """Is it one value, or all from one on, or all up to one?"""
    return len(shown) == 1 or shown in (every[: len(shown)], every[-len(shown) :])


def _values(shown: list, every: list) -> str:
    numbers = all(isinstance(v, int) and not isinstance(v, bool) for v in every)
    if len(shown) == 1:
        return str(plain(shown[0]))
    if numbers and shown == every[-len(shown) :]:
        return f">= {min(shown)}"
    if numbers and shown == every[: len(shown)]:
        return f"<= {max(shown)}"
    return ", ".join(str(plain(v)) for v in shown)


def plain(value: Any) -> Any:
    """A NumPy scalar as a Python number."""
    return value.item() if hasattr(value, "item") else value
