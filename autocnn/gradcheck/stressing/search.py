"""`stress`: search settings and shapes for the smallest case in which backward is wrong, and say
where it begins.

Most mistakes of layers hide at one setting: `=` for `+=` at stride = kernel, a forgotten group at
groups = 1, a batch of one. The search runs every combination of the settings where there are few,
and otherwise lets hypothesis choose and shrink.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.positional import by_name
from autocnn.gradcheck.problem import CallError
from autocnn.gradcheck.protection import protected, set_stage
from autocnn.gradcheck.report import Report
from autocnn.gradcheck.stressing.cases import Case, Space, arguments, first_cases, make_space
from autocnn.gradcheck.stressing.where import plain, where

__all__ = ["StressReport", "stress"]


@dataclass
class StressReport:
    """What `stress` found. `case` is the smallest failing case (settings and shapes), `begins`
    where the mistake shows among the settings, `report` the gradcheck report of a small failing
    case without axes of length 1, at which many mistakes look alike: of `named`, if not of `case`.
    """

    label: str
    cases: int = 0
    skipped: int = 0
    case: dict[str, Any] | None = None
    report: Report | None = None
    begins: str = ""
    seconds: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)
    named: dict[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """True when some case ran and none failed."""
        return self.case is None and self.cases > 0

    def __str__(self) -> str:
        ran = f"{self.cases} cases ran, {self.skipped} were refused ({self.seconds:.2g} s)"
        if self.case is None:
            word = "OK" if self.cases else "UNDECIDED"
            return f"{word}  {self.label}: {ran}"
        shown = ", ".join(f"{n}={plain(v)}" for n, v in self.case.items())
        lines = [f"WRONG  {self.label}: {ran}", f"  smallest failing case: {shown}"]
        if self.begins:
            lines.append(f"  where it begins: {self.begins}")
        if self.named is not None:
            shown = ", ".join(f"{n}={plain(v)}" for n, v in self.named.items())
            lines.append(f"  checked at {shown}:")
        return "\n".join([*lines, str(self.report)])

    def raise_if_wrong(self) -> "StressReport":
        """Raise AssertionError with the report's text unless `ok`; otherwise return the report."""
        if not self.ok:
            raise AssertionError(str(self))
        return self


def stress(
    f: Callable,
    /,
    *,
    seed: int = 0,
    seconds: float = 20.0,
    examples: int = 200,
    make: Callable[..., dict[str, Any]] | None = None,
    timeout: float | None = None,
    **given: Any,
) -> StressReport:
    """Check `f(**arguments) -> (y, backward)` over many settings and shapes.

    Args:
        f: as for `check`.
        seed: of the arrays.
        seconds: after which no new case is started.
        timeout: seconds for the whole search; a CheckTimeout then names the call that ran too
            long, and its case.
        examples: cases that are tried at most.
        make: `make(rng, **case) -> arguments`, for arrays that settings and shapes do not give
            (labels, weights of an unusual form). Default: normal arrays.
        **given: for each argument of f
            - a range, list or set of values: a setting;
            - a tuple of names and numbers: an array, each axis a length shared by all arrays that
              name it; "C*groups" is a product, and a name ending in "?" may be absent (the rank
              varies). A length by name is from 1 to 7, or from a range given under that name;
            - an array or anything else: passed as it is.

        report = stress(max_pool, stride=range(1, 4), k=[2], x=("N", "C", "H", "W"))

    Cases that f refuses (any exception of its forward pass) are skipped. Returns a `StressReport`.
    """
    with protected(timeout):
        return _stress(f, seed, seconds, examples, make, given)


def _stress(f: Callable, seed: int, seconds: float, examples: int, make, given) -> StressReport:
    start = time.monotonic()
    f = by_name(f)
    label = getattr(f, "__name__", type(f).__name__)
    report = StressReport(label)
    space = make_space(f, given)
    choices = space.choices
    if not choices:
        raise ValueError(
            f"{label}: nothing to vary; give a setting as a range (stride=range(1, 4)) or an array "
            'by its axes (x=("N", "C", "H", "W"))'
        )
    results: dict[tuple, bool | None] = {}

    def fails(case: dict[str, Any]) -> bool:
        key = tuple(case.items())
        if key not in results:
            results[key] = _one(f, case, space, make, seed, report)
        return bool(results[key])

    for case in first_cases(space):
        if time.monotonic() - start > seconds or report.cases + report.skipped >= examples:
            break
        fails(case)
    failing = [dict(k) for k, bad in results.items() if bad]
    if not failing:
        failing = _search(choices, fails, seconds - (time.monotonic() - start), examples)
    if failing:
        smallest = _shrunk(min(failing, key=_size), choices, fails, start + seconds + 5)
        _neighbours(smallest, choices, fails, start + seconds + 10)
        found = _check(f, smallest, space, make, seed)
        if not found.ok:  # else the accuracy of a function that is called, and no mistake
            report.case = {n: v for n, v in smallest.items()}
            report.begins = where(results, space)
            report.failures = [dict(k) for k, bad in results.items() if bad]
            _tell(report, found, lambda case: _check(f, case, space, make, seed), space, start)
    report.seconds = time.monotonic() - start
    return report


#: Causes that say little about where axes have length 1.
_POOR = ("unclassified", "unused", "zero", "scale", "additive", "broadcast")
TELLING = 4  # further cases that are checked for a better name
PATIENCE = 15.0  # seconds after which they are not


def _tell(report: StressReport, smallest: Report, check, space: Space, start: float) -> None:
    """Fill in the report: of the smallest case, or of a larger one that says more."""
    report.report = smallest
    codes = [c.code for c in smallest.errors[:1]]
    if codes and codes[0] not in _POOR:
        return
    lengths = [n for n in space.choices if n not in space.settings]
    larger = [
        case
        for case in sorted(report.failures, key=_size)
        if case != report.case and all(case[n] != 1 for n in lengths)
    ]
    for case in larger[:TELLING]:
        if time.monotonic() - start > PATIENCE:
            return
        found = check(case)
        shapes = found.problem.output_shapes if found.problem is not None else ()
        if any(1 in shape for shape in shapes) or not found.errors:
            continue
        if found.errors[0].code != "unclassified":
            report.report, report.named = found, case
            return


def _check(f: Callable, case: Case, space: Space, make, seed: int) -> Report:
    from autocnn.gradcheck import check

    return check(f, seed=seed, **arguments(f, case, space, make, seed))


def _one(f: Callable, case: Case, space: Space, make, seed: int, report) -> bool | None:
    """True where backward is wrong, False where it is right, None where f refuses the case."""
    from autocnn.gradcheck import adapters
    from autocnn.gradcheck.examine import examine
    from autocnn.gradcheck.frameworks import framework_problem

    shown = ", ".join(f"{n}={plain(v)}" for n, v in case.items())
    try:
        given = arguments(f, case, space, make, seed)
        set_stage(f"{report.label}: forward at {shown}", given)
        f(**{n: np.array(v) if isinstance(v, np.ndarray) else v for n, v in given.items()})
    except Exception:  # the forward pass refuses these settings: not a case
        report.skipped += 1
        return None
    try:
        found = examine(
            framework_problem(f, given) or adapters.closure(f, given),
            seed,
            name_causes=False,
        )
    except (CallError, ValueError):
        report.skipped += 1
        return None
    report.cases += 1
    return not found.ok


def _search(choices, fails, seconds: float, examples: int) -> list[dict[str, Any]]:
    """Let hypothesis look for a failing case and shrink it."""
    from hypothesis import HealthCheck, Phase, find, settings
    from hypothesis import strategies as st
    from hypothesis.errors import NoSuchExample

    if seconds <= 0:
        return []
    until = time.monotonic() + seconds
    strategy = st.fixed_dictionaries({n: st.sampled_from(list(v)) for n, v in choices.items()})
    try:
        found = find(
            strategy,
            lambda case: time.monotonic() < until and fails(case),
            settings=settings(
                max_examples=examples,
                database=None,
                deadline=None,
                derandomize=True,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
    except NoSuchExample:
        return []
    return [found]


def _size(case: dict[str, Any]) -> float:
    return sum(math.log2(2 + abs(v)) if isinstance(v, int | float) else 1 for v in case.values())


def _shrunk(case, choices, fails, until: float) -> dict[str, Any]:
    """The case with each value lowered as far as it still fails."""
    changed = True
    while changed and time.monotonic() < until:
        changed = False
        for name, values in choices.items():
            numbers = (
                [v for v in values if isinstance(v, int) and v < case[name]]
                if isinstance(case[name], int)
                else []
            )
            for smaller in sorted(numbers):
                if time.monotonic() > until:
                    break
                trial = {**case, name: smaller}
                if fails(trial):
                    case, changed = trial, True
                    break
    return case


def _neighbours(case, choices, fails, until: float) -> None:
    """Every value of each setting, and of each axis, beside the smallest failing case."""
    for name, values in choices.items():
        for value in values:
            if time.monotonic() > until:
                return
            fails({**case, name: value})
