"""What the checker found: a verdict for each leaf, the causes with their reasons, and how to see
it again.
"""

import shutil
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from autocnn.gradcheck import report_html, report_text
from autocnn.gradcheck.source.found import Fix, Place, Step
from autocnn.gradcheck.source.show import excerpt
from autocnn.text import strict_json

__all__ = ["CODES", "Cause", "Entry", "Leaf", "Report"]

#: Every code that a Cause can carry, and when.
CODES = {
    "missing": "no gradient was returned for this leaf",
    "extra": "a gradient was returned for something that is no leaf",
    "shape": "the gradient's shape is not the leaf's",
    "dtype": "the gradient has another dtype than its leaf",
    "nonfinite": "the gradient holds inf or nan where the function is finite",
    "nondeterministic": "two calls with the same arguments differ",
    "mutates-input": "an input, the cotangent or the cache changed",
    "accumulates": "a second call adds to the first",
    "aliased": "the gradient shares memory with an input or the cache",
    "not-linear": "backward is not linear in dy",
    "zero": "the gradient is zero",
    "sign": "the gradient has the wrong sign",
    "scale": "the gradient is a constant times the right one",
    "axis-scale": "one wrong factor for each channel or feature",
    "transposed": "right entries, two axes exchanged",
    "flipped": "right entries, an axis reversed",
    "permuted": "right entries in other places",
    "shifted": "right entries, moved along an axis",
    "broadcast": "summed over too many axes",
    "overwritten": "`=` where contributions overlap and `+=` is needed",
    "partial": "some examples, windows or rows are missing",
    "group": "right for some channel groups only",
    "additive": "something known was added",
    "missing-path": "a route of the chain rule is absent",
    "mask": "wrong exactly where a mask is on or off",
    "wrong-operand": "the gradient at another operand",
    "tie": "no subgradient at a tie",
    "unused": "the output does not depend on this leaf",
    "surrogate": "the function is flat and the gradient is not",
    "eps": "right but for a small constant: an eps, or a rounded number",
    "accuracy": "right to 8 digits or more, as far as the functions that it calls are exact",
    "raises": "backward raises an exception",
    "uncompared": "a float array was found that no gradient was compared for",
    "conjugate": "a conj() is missing, or one too many",
    "batched": "right for one cotangent, wrong for a batch of them",
    "layout": "another memory layout of dy or an input gives another gradient",
    "precision": "digits are lost: a narrow accumulator, or cancellation",
    "forward": "two forward passes differ: of target and reference, or of function and rule",
    "unclassified": "none of these",
}


class Cause(NamedTuple):
    """One finding: `code` is a key of `CODES`, `leaf` None when it concerns all of them.

    `factor` is the constant of a scale, `what` the substitution or factor that was recognised, in
    the words of the message. `level` is "error", "warning" or "note": only errors make a report
    wrong.
    """

    code: str
    leaf: str | None
    message: str
    factor: float | None = None
    residual: float | None = None
    what: str | None = None
    level: str = "error"


class Entry(NamedTuple):
    """One entry of a leaf: where it is, your value and the witness's."""

    index: tuple[int, ...]
    yours: float
    gradient: float


@dataclass
class Leaf:
    """The verdict on one differentiated argument: "agree", "wrong" or "unresolved"; errors are
    of projections g . u.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    verdict: str = "agree"
    error: float = 0.0
    tolerance: float = 0.0
    worst: list[Entry] = field(default_factory=list)
    witnesses: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def digits(self) -> float | None:
        """Digits to which you and the first witness agree, in parts of sum |g u| + sum |v J u|."""
        return next(iter(self.witnesses.values()), None)


@dataclass(repr=False)
class Report:
    """All that one check found. `ok` is the verdict, `str(report)` for people, `to_json()` for
    machines.
    """

    label: str
    leaves: dict[str, Leaf]
    causes: list[Cause] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ruled_out: list[str] = field(default_factory=list)
    reproduce: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    #: leaf -> (your gradient, the witness's) for one cotangent, of wrong leaves that were compared
    #: entry by entry: what autocnn.plots draws
    arrays: dict[str, tuple] = field(default_factory=dict, repr=False)
    #: float arrays of the object, closure or module that were found and not compared
    uncompared: list[str] = field(default_factory=list)
    #: the statement that is wrong and the verified edit, where they were found; see
    #: autocnn.gradcheck.source
    place: Place | None = None
    fix: Fix | None = None
    #: every statement of the backward pass with its verdict
    trail: list[Step] = field(default_factory=list)
    parameters: int = 0  # how many of the leaves were found in an object
    problem: Any = field(default=None, repr=False)

    def __getattribute__(self, name: str) -> Any:
        """Note that the report was looked at: `autocnn.gradcheck.unread` asks for it."""
        if not name.startswith("_"):
            object.__getattribute__(self, "__dict__")["_looked_at"] = True
        return object.__getattribute__(self, name)

    def __bool__(self) -> bool:
        """`assert report` is `assert report.ok`."""
        return self.ok

    @property
    def ok(self) -> bool:
        """True when no leaf is wrong and nothing of level "error" was found."""
        return not self.errors and all(leaf.verdict != "wrong" for leaf in self.leaves.values())

    @property
    def errors(self) -> list[Cause]:
        """The causes of level "error"."""
        return [c for c in self.causes if c.level == "error"]

    @property
    def warnings(self) -> list[Cause]:
        """The causes of level "warning"."""
        return [c for c in self.causes if c.level == "warning"]

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__  # at the prompt, too

    def _repr_html_(self) -> str:
        return report_html.html(self)

    @property
    def headline(self) -> str:
        """The first line: the verdict, and how many gradients were compared."""
        return report_text.headline(self)

    def text(self, width: int | None = None) -> str:
        """The report as plain text, `width` columns wide (default: the terminal's, between 40
        and 120).
        """
        width = width or shutil.get_terminal_size((100, 24)).columns
        return report_text.text(self, max(40, min(width, 120)))

    def to_json(self, indent: int | None = 2) -> str:
        """The whole report as strict JSON (inf and nan become null)."""
        data = {
            "label": self.label,
            "ok": self.ok,
            "seconds": self.seconds,
            "leaves": {
                name: {
                    **vars(leaf),
                    "digits": leaf.digits,
                    "worst": [e._asdict() for e in leaf.worst],
                }
                for name, leaf in self.leaves.items()
            },
            "causes": [cause._asdict() for cause in self.causes],
            "notes": self.notes,
            "uncompared": self.uncompared,
            "parameters": self.parameters,
            "ruled_out": self.ruled_out,
            "reproduce": self.reproduce,
            "place": self.place and asdict(self.place),
            "fix": self.fix and asdict(self.fix),
            "trail": [asdict(step) for step in self.trail],
        }
        return strict_json(data, indent)

    def raise_if_wrong(self, warnings: bool = False) -> "Report":
        """Raise AssertionError with the report's text when it is not ok, with `warnings` also when
        it holds a warning; otherwise return the report.
        """
        if not self.ok or (warnings and self.warnings):
            raise AssertionError("\n\n".join(filter(None, (str(self), self.excerpt()))))
        return self

    def excerpt(self) -> str:
        """The source around the wrong statement, right statements ticked; empty without a place."""
        return excerpt(self.place, self.trail, self.fix) if self.place else ""
