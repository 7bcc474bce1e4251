"""What `check_kernel` found: one of four verdicts, leaf by leaf, with limits and causes."""

import json
import shutil
import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autocnn.gradcheck.report import Cause

__all__ = ["VERDICTS", "KernelLeaf", "KernelReport"]

#: From the best to the worst.
VERDICTS = ("pass", "pass with limits", "undecidable", "wrong")
_SIGNS = {"pass": "ok", "pass with limits": "ok", "undecidable": "????", "wrong": "FAIL"}


@dataclass
class KernelLeaf:
    """The verdict on one gradient. Errors are in units of the leaf's own rounding (`rms_z` over
    all entries, `max_z` at the worst) and relative to the gradient's norm.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    verdict: str = "pass"
    rms_z: float = 0.0
    max_z: float = 0.0
    relative: float = 0.0
    ruler: float | None = None
    terms: float = 1.0
    noise: float = 0.0  # how far calls with the same arguments differ, of the gradient
    worst: tuple[tuple[int, ...], float, float] | None = None
    limits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class KernelReport:
    """The result of `check_kernel`. `verdict` is one of `VERDICTS`; `str(report)` is written for
    people, `to_json()` for machines.
    """

    label: str
    dtype: str
    library: str
    leaves: dict[str, KernelLeaf] = field(default_factory=dict)
    causes: list[Cause] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def verdict(self) -> str:
        """The worst verdict of the leaves; "wrong" where a cause was found for no leaf."""
        found = [leaf.verdict for leaf in self.leaves.values()]
        found += ["wrong"] * bool(self.causes) + ["pass with limits"] * bool(self.limits)
        return max(found, key=VERDICTS.index, default="undecidable")

    @property
    def ok(self) -> bool:
        """True for "pass" and "pass with limits"."""
        return self.verdict in VERDICTS[:2]

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int | None = None) -> str:
        """The report as plain text, `width` columns wide (default: the terminal's)."""
        width = max(40, min(width or shutil.get_terminal_size((100, 24)).columns, 120))
        head = (
            f"{self.verdict.upper()}  {self.label} in {self.dtype} ({self.library}): "
            f"{len(self.leaves)} gradient{'s' * (len(self.leaves) != 1)} compared with the "
            f"reference in float64 ({self.seconds:.2g} s)"
        )
        lines = textwrap.wrap(head, width, subsequent_indent="    ")
        for leaf in self.leaves.values():
            lines += _leaf_lines(leaf, [c for c in self.causes if c.leaf == leaf.name], width)
        for cause in self.causes:
            if cause.leaf not in self.leaves:
                lines += _item("cause", f"{cause.code}: {cause.message}", width)
        for limit in self.limits:
            lines += _item("limit", limit, width)
        for note in self.notes:
            lines += _item("note", note, width)
        return "\n".join(lines)

    def to_json(self, indent: int | None = 2) -> str:
        """The report as strict JSON (inf and nan become null)."""
        data = {
            "label": self.label,
            "verdict": self.verdict,
            "ok": self.ok,
            "dtype": self.dtype,
            "library": self.library,
            "seconds": self.seconds,
            "leaves": {n: vars(leaf) for n, leaf in self.leaves.items()},
            "causes": [c._asdict() for c in self.causes],
            "limits": self.limits,
            "notes": self.notes,
        }
        return json.dumps(_strict(data), indent=indent, allow_nan=False)

    def raise_if_wrong(self) -> "KernelReport":
        """Raise AssertionError with the report's text unless `ok`; otherwise return the report."""
        if not self.ok:
            raise AssertionError(str(self))
        return self


def _leaf_lines(leaf: KernelLeaf, causes: list[Cause], width: int) -> list[str]:
    ruler = "" if leaf.ruler is None else f"; the reference in the same dtype {leaf.ruler:.1g}"
    head = (
        f"{_SIGNS[leaf.verdict]:<4}  {leaf.name} {leaf.shape}  error {leaf.relative:.1g} of the "
        f"gradient, {leaf.rms_z:.2g} x its own rounding{ruler}"
    )
    lines = textwrap.wrap(head, width, initial_indent="  ", subsequent_indent=" " * 8)
    for cause in causes:
        lines += _item("cause", f"{cause.code}: {cause.message}", width)
    if leaf.worst and leaf.verdict == "wrong":
        index, yours, gradient = leaf.worst
        place = ", ".join(map(str, index))
        lines += _item(
            "worst", f"{leaf.name}[{place}]  yours {yours:.6g}  gradient {gradient:.6g}", width
        )
    for limit in leaf.limits:
        lines += _item("limit", limit, width)
    for note in leaf.notes:
        lines += _item("note", note, width)
    return lines


def _item(label: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=f"        {label:<6} ", subsequent_indent=" " * 15
    )


def _strict(value: Any) -> Any:
    """`value` in the types that JSON has."""
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
