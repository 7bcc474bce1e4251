"""What the source says about a wrong backward pass: the place, the fix and the trail."""

from dataclasses import dataclass

__all__ = ["Finding", "Fix", "Place", "Step"]


@dataclass(frozen=True)
class Step:
    """One statement of the backward pass. `verdict` is "right", "wrong", "follows" (from a wrong
    one) or "not compared"; `reason` says how that is known."""

    file: str
    line: int
    text: str
    variable: str
    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Fix:
    """A verified edit: `before` and `after` are the statement's text, one line each; `diff` is a
    patch of the file. `others` are further edits that would do. `first` is a statement that the
    edit puts before the loop in line `loop`."""

    file: str
    line: int
    before: str
    after: str
    diff: str = ""
    points: int = 4
    others: tuple[str, ...] = ()
    first: str = ""
    loop: int = 0


@dataclass(frozen=True)
class Place:
    """The statement that is wrong: its file, line, text and variable. `suspects` are the other
    statements that could be to blame, best first; `columns` frame the wrong expression."""

    file: str
    line: int
    text: str
    variable: str
    why: str
    suspects: tuple[Step, ...] = ()
    columns: tuple[int, int] | None = None


@dataclass(frozen=True)
class Finding:
    """What the source says about a wrong backward pass; `note` where it says nothing, or where the
    clock ended the search."""

    place: Place | None = None
    fix: Fix | None = None
    trail: tuple[Step, ...] = ()
    note: str = ""
    seconds: float = 0.0
    hint: tuple[str, str] | None = None  # a cause's code and words, where there is no edit
