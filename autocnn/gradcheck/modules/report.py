"""What was found in a whole network: a Report with a line for each custom rule inside."""

import textwrap
from dataclasses import dataclass, field
from typing import Any

from autocnn.gradcheck import report_text
from autocnn.gradcheck.report import Cause, Report

__all__ = ["CustomRule", "NetworkReport", "add_rules", "counted", "network_report"]


@dataclass
class CustomRule:
    """One custom rule: its name ("Mul.backward"), where it is used, how often it was called, and
    the report on it alone for each kind of call that was checked. `verdict` is "right", "wrong" or
    "not checked", `reason` why it could not be.
    """

    name: str
    calls: int = 1
    used_in: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list, repr=False)
    reason: str = ""

    @property
    def verdict(self) -> str:
        if not all([r.ok for r in self.reports]):  # a list: every report counts as looked at
            return "wrong"
        return "right" if self.reports and not self.reason else "not checked"

    @property
    def worst(self) -> Report | None:
        """The first report that is not ok."""
        return next((r for r in self.reports if not r.ok), None)


@dataclass(repr=False)
class NetworkReport(Report):
    """A Report on a network. `rules` are the custom rules that were found inside."""

    rules: list[CustomRule] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return super().ok and all(rule.verdict != "wrong" for rule in self.rules)

    @property
    def counts(self) -> str:
        """ "3 custom rules: 2 right, 1 wrong: Mul.backward"."""
        return counted(self.rules)

    @property
    def headline(self) -> str:
        """The verdict, how many gradients were compared, and what the custom rules are."""
        line = report_text.headline(self)
        if not super().ok or self.ok:
            return f"{line}; {self.counts}" if self.rules else line
        return f"WRONG  {self.label}: {self.counts} ({self.seconds:.2g} s)"

    def text(self, width: int | None = None) -> str:
        """The report as plain text, a line for each rule after the headline."""
        lines = super().text(width).splitlines()
        head = report_text.headline(self)
        limit = max(40, width or max(map(len, lines), default=100), 80)
        skip = len(textwrap.wrap(head, max(40, min(limit, 120)), subsequent_indent="    "))
        rules = [line for rule in self.rules for line in _rule_lines(rule, limit)]
        top = textwrap.wrap(self.headline, min(limit, 120), subsequent_indent="    ")
        if len(top) > 1 and self.headline == f"{head}; {self.counts}":  # the counts in one piece
            wrapped = (head + ";", min(limit, 120)), ("    " + self.counts, min(limit, 120))
            top = [w for t, n in wrapped for w in textwrap.wrap(t, n, subsequent_indent="    ")]
        return "\n".join([*top, *rules, *lines[skip:]])

    def to_json(self, indent: int | None = 2) -> str:
        """The whole report as strict JSON, the rules beside the leaves."""
        import json

        from autocnn.text import strict_json

        data = json.loads(super().to_json(indent))
        data["rules"] = [
            {
                "name": rule.name,
                "verdict": rule.verdict,
                "calls": rule.calls,
                "used_in": rule.used_in,
                "reason": rule.reason,
                "reports": [json.loads(r.to_json()) for r in rule.reports],
            }
            for rule in self.rules
        ]
        return strict_json(data, indent)


def counted(rules: list[CustomRule]) -> str:
    """How many rules are right, wrong, and not checked, the wrong ones by name."""
    if not rules:
        return "no custom rule"
    parts = [f"{len(rules)} custom rule{'s' * (len(rules) > 1)}"]
    numbers = []
    for verdict in ("right", "wrong", "not checked"):
        names = [r.name for r in rules if r.verdict == verdict]
        if names:
            said = f"{len(names)} {verdict}"
            numbers.append(said if verdict == "right" else f"{said}: {', '.join(names[:4])}")
    return f"{parts[0]}: {', '.join(numbers)}"


def _rule_lines(rule: CustomRule, width: int) -> list[str]:
    word = {"right": "ok", "wrong": "FAIL", "not checked": "????"}[rule.verdict]
    where = f" in {', '.join(rule.used_in[:3])}" if rule.used_in else ""
    more = f" and {len(rule.used_in) - 3} more" if len(rule.used_in) > 3 else ""
    times = f"{rule.calls} call{'s' * (rule.calls > 1)}"
    words = f"{word:<4}  {rule.name}{where}{more}: {times}"
    if len(rule.reports) > 1 or rule.calls > 1:
        words += f", checked on {len(rule.reports)}"
    words += f"; {rule.reason}" if rule.reason else ""
    return textwrap.wrap(words, width, initial_indent="  ", subsequent_indent=" " * 8)


def add_rules(report: NetworkReport, rules: list[CustomRule]) -> None:
    """Take the rules into a report: the causes of the wrong ones, the place of the first."""
    report.rules = rules
    for rule in rules:
        worst = rule.worst
        if worst is None:
            continue
        for cause in worst.causes or [Cause("unclassified", None, "its gradient is wrong")]:
            who = rule.name if cause.leaf is None else f"{rule.name}, {cause.leaf}"
            report.causes.append(cause._replace(leaf=who))
        if report.place is None and worst.place is not None:
            report.place, report.fix, report.trail = worst.place, worst.fix, worst.trail
    unchecked = [r for r in rules if r.verdict == "not checked"]
    report.notes += [f"{r.name} was not checked by itself: {r.reason}" for r in unchecked]


def network_report(report: Report) -> NetworkReport:
    """The same report, with room for rules."""
    fields: dict[str, Any] = {n: getattr(report, n) for n in Report.__dataclass_fields__}
    return NetworkReport(**fields)
