"""Run the checker over the grid and count."""

import functools
import importlib.util
import json
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autocnn import gradcheck
from benchmarks.gradcheck.styles.grid import HELD_BACK, Case, arrays_of, cases, import_file
from benchmarks.gradcheck.styles.layer import Layer
from benchmarks.gradcheck.styles.style import Style

__all__ = ["Outcome", "run", "table"]


class Outcome(NamedTuple):
    """What the checker said of one file."""

    style: str
    layer: str
    bug: str  # empty for right code
    held: bool
    called: bool  # the plain call returned a report
    ok: bool
    silent: int  # leaves that were not compared, and nothing says so
    uncompared: int  # leaves that were not compared
    code: str  # of the first error
    named: bool
    line: bool  # the first line that the report shows is the planted one
    warned: str  # the first warning of a right file
    seconds: float
    text: str


def _command_line(quick: bool, seed: int, module: Any, layer: Layer) -> dict:
    from autocnn.cli.check_run import Options, check_file

    shapes = [f"{n}={','.join(map(str, s))}" for n, s in {**layer.inputs, **layer.params}.items()]
    shapes += [f"{n}={count}:{high}" for n, (count, high) in layer.labels.items()]
    target = f"{module.__file__}:{layer.name}"
    return json.loads(check_file(Options(target, shapes, [], seed, True, quick))[1])


def _checks(quick: bool, seed: int) -> types.SimpleNamespace:
    """The functions that a user calls."""
    names = ("check", "check_pair", "check_vjp", "check_object", "check_tape")
    made = {n: functools.partial(getattr(gradcheck, n), quick=quick, seed=seed) for n in names}
    line = functools.partial(_command_line, quick, seed)
    return types.SimpleNamespace(**made, command_line=line)


def run(
    styles: Iterable[Style],
    seed: int = 0,
    quick: bool = False,
    part: Callable[[Case], bool] = lambda case: True,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Check the files of the styles for which `part` is true, and `tell` each outcome. Styles whose
    optional package is absent are left out."""
    found, checks = [], _checks(quick, seed)
    with tempfile.TemporaryDirectory(prefix="styles") as folder:
        for style in styles:
            if style.needs and importlib.util.find_spec(style.needs) is None:
                continue
            for case in filter(part, cases(style)):
                found.append(_outcome(case, Path(folder), len(found), checks, seed))
                tell(found[-1])
    return found


def _outcome(case: Case, folder: Path, number: int, checks: Any, seed: int) -> Outcome:
    style, layer, bug = case.style, case.layer, case.bug
    start = time.process_time()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        np.random.seed(seed)  # noqa: NPY002 - constructors draw from the global stream
        module = import_file(case, folder, number)
        try:
            report = style.call(module, layer, arrays_of(layer, seed), checks)
        except Exception as error:
            report, text = None, f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    basis = (style.name, layer.name, bug.name if bug else "", style.name in HELD_BACK)
    if report is None:
        return Outcome(*basis, False, False, 0, 0, "", False, False, "", seconds, text)
    data = report if isinstance(report, dict) else json.loads(report.to_json())
    verdicts = [leaf["verdict"] for leaf in data["leaves"].values()]
    missing = max(0, _expected(style, layer) - sum(v != "unresolved" for v in verdicts))
    errors = [c for c in data["causes"] if c["level"] == "error"]
    warned = [c for c in data["causes"] if c["level"] == "warning"]
    told = bool(data["uncompared"] or "unresolved" in verdicts or warned or not data["ok"])
    code = errors[0]["code"] if errors else ""
    place = (data["place"] or {}).get("line")
    return Outcome(
        *basis, True, data["ok"], 0 if told else missing, missing, code,
        bool(bug) and code in bug.codes, place in case.lines,
        f"{warned[0]['code']}: {warned[0]['message']}" if warned else "", seconds,
        str(report) if not isinstance(report, dict) else json.dumps(data["causes"]),
    )  # fmt: skip


def _expected(style: Style, layer: Layer) -> int:
    params, every = len(layer.params), len(layer.leaves)
    return {"all": every, "params": params, "inner": every + 1}[style.compared]


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def rates(outcomes: list[Outcome]) -> list[str]:
    """The row of a table."""
    right = [o for o in outcomes if not o.bug]
    wrong = [o for o in outcomes if o.bug]
    seen = [o for o in wrong if o.called]
    caught = [o for o in seen if not o.ok]
    other = [o for o in caught if not o.named and o.code != "unclassified"]
    return [
        str(len(right)),
        _percent(sum(o.called for o in right), len(right)),
        str(sum(o.called and not o.ok for o in right)),
        str(sum(o.silent > 0 for o in right)),
        str(len(wrong)),
        _percent(len(caught), len(wrong)),
        _percent(sum(o.named for o in caught), len(wrong)),
        _percent(len(other), len(wrong)),
        _percent(sum(o.line for o in caught), len(wrong)),
    ]


HEADINGS = (
    "styles", "right files", "called without glue", "false alarms", "silently uncompared",
    "wrong files", "caught", "named rightly", "wrongly", "line first",
)  # fmt: skip


def table(outcomes: list[Outcome], each: bool = False) -> str:
    """The rates in Markdown: of all, of those seen and held back, and of each style."""
    groups = {
        "seen": [o for o in outcomes if not o.held],
        "held back": [o for o in outcomes if o.held],
    }
    if each:
        for o in outcomes:
            groups.setdefault(o.style, []).append(o)
    rows = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    rows += [f"| {name} | {' | '.join(rates(some))} |" for name, some in groups.items() if some]
    return "\n".join(rows)
