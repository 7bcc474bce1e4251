"""A report as text: the headline, what is wrong, what is right, warnings and notes."""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from autocnn.gradcheck.source.show import place_lines

if TYPE_CHECKING:
    from autocnn.gradcheck.report import Cause, Leaf, Report

__all__ = ["headline", "item", "listed_notes", "reproduce_text", "right_lines", "text"]

MANY = 6  # right leaves are listed one by one up to here

#: What hygiene found, for the headline.
_DOES = {
    "mutates-input": "backward changes its input",
    "accumulates": "a second call adds to the first",
    "nondeterministic": "two calls differ",
    "aliased": "a gradient shares memory with something else",
    "dtype": "a gradient has another dtype",
    "not-linear": "backward is not linear in dy",
    "raises": "it raises an exception",
    "batched": "wrong for a batch of cotangents",
    "nonfinite": "it holds inf or nan",
    "uncompared": "a parameter was not compared",
    "forward": "its rule returns another value than the function",
}


def names_of(names: Iterable[str], most: int = 6) -> str:
    """ "x, W and b", cut after `most`."""
    names = list(names)
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def headline(report: "Report") -> str:
    """One line: the verdict, whose it is, and how many gradients were looked at."""
    leaves = report.leaves.values()
    agree = [leaf.name for leaf in leaves if leaf.verdict == "agree"]
    wrong = [leaf.name for leaf in leaves if leaf.verdict == "wrong"]
    open_ = [leaf.name for leaf in leaves if leaf.verdict == "unresolved"]
    warned = len(report.warnings)
    seconds = f"({report.seconds:.2g} s)"
    if report.ok:
        said = [f"{_count(len(agree))} agree{'s' * (len(agree) == 1)}{_which(report, agree)}"]
        said += [f"{len(open_)} not decided ({names_of(open_)})"] if open_ else []
        tail = f", {warned} warning{'s' * (warned > 1)}" if warned else ""
        return (
            f"OK  {report.label}: {', '.join(said) if leaves else 'nothing compared'}{tail} "
            f"{seconds}"
        )
    blame = f"WRONG  backward of {report.label}"
    if wrong:
        total = len(report.leaves)
        many = f"{len(wrong)} of {total} gradients wrong" if total > 1 else "the gradient is wrong"
        return f"{blame}: {many}{f' ({names_of(wrong)})' if total > 1 else ''} {seconds}"
    does = names_of(
        dict.fromkeys(_DOES.get(c.code, CODES_WORDS.get(c.code, c.code)) for c in report.errors)
    )
    if any(c.code == "nondeterministic" and c.leaf is None for c in report.errors):
        return f"WRONG  {report.label}: forward gives other values each time {seconds}"
    if not agree:
        return f"{blame}: {does}, so nothing was compared {seconds}"
    right = "the gradient is right" if len(report.leaves) == 1 else "gradients right"
    return f"{blame}: {right}, but {does} {seconds}"


CODES_WORDS = {"missing": "a gradient is missing", "shape": "a gradient has the wrong shape"}


def _count(n: int) -> str:
    return f"{n} gradient{'s' * (n != 1)}"


def _which(report: "Report", agree: list[str]) -> str:
    """ ": x and 3 parameters", where some of the leaves were found in an object."""
    found = report.parameters
    own = len(report.leaves) - found
    if not found:
        return f": {names_of(agree)}" if 1 < len(agree) <= 4 else ""
    inputs = names_of(list(report.leaves)[:own]) if own else ""
    parameters = f"{found} parameter{'s' * (found != 1)}"
    return f": {inputs} and {parameters}" if inputs else f": {parameters}"


def text(report: "Report", width: int) -> str:
    """The whole report, `width` columns wide."""
    lines = textwrap.wrap(headline(report), width, subsequent_indent="    ")
    for line in place_lines(report.place, report.fix, len(report.leaves)):
        lines += textwrap.wrap(line, width, subsequent_indent=" " * 12) or [line]
    shared = listed_notes(report)
    leaves = list(report.leaves.values())
    for leaf in [x for x in leaves if x.verdict == "wrong"]:
        own = [c for c in report.causes if c.leaf == leaf.name and c.level == "error"]
        lines += leaf_lines(leaf, own, width)
    rest = [
        c
        for c in report.causes
        if c.level == "error"
        and (c.leaf not in report.leaves or report.leaves[c.leaf].verdict != "wrong")
    ]
    for cause in rest:
        lines += item("error", cause_text(cause, report), width)
    for leaf in [x for x in leaves if x.verdict == "unresolved"]:
        lines += leaf_lines(leaf, [], width)
    lines += right_lines([x for x in leaves if x.verdict == "agree"], width)
    for level in ("warning", "note"):
        for cause in [c for c in report.causes if c.level == level]:
            lines += item(level, cause_text(cause, report), width)
    for note in shared:
        lines += item("note", note, width)
    if not report.ok and report.reproduce:
        lines += item("reproduce", reproduce_text(report.reproduce), width)
    return "\n".join(lines)


def cause_text(cause: "Cause", report: "Report") -> str:
    """Code and message, and how exactly the explanation fits."""
    residual = "" if cause.residual is None else f"  (residual {cause.residual:.0e})"
    return f"{cause.code}: {cause.message}{residual}"


def listed_notes(report: "Report") -> list[str]:
    """All notes, each once: "W, b: ..." where several leaves have the same."""
    by_note: dict[str, list[str]] = {}
    for leaf in report.leaves.values():
        for note in leaf.notes:
            by_note.setdefault(note, []).append(leaf.name)
    one = len(report.leaves) == 1
    found = []
    for note, names in by_note.items():
        everyone = len(names) == len(report.leaves) and not one
        who = "every gradient" if everyone and len(names) > 3 else names_of(names)
        found.append(note if one else f"{who}: {note}")
    return [*report.notes, *found]


def right_lines(leaves: "list[Leaf]", width: int) -> list[str]:
    """The leaves that agree: a line each, or one for all where there are many."""
    if len(leaves) <= MANY:
        return [line for leaf in leaves for line in leaf_lines(leaf, [], width)]
    digits = min(leaf.digits or 0.0 for leaf in leaves)
    names = ", ".join(f"{leaf.name} {leaf.shape}" for leaf in leaves)
    words = f"ok    {names}: to {digits:.1f} digits or more"
    return textwrap.wrap(words, width, initial_indent="  ", subsequent_indent=" " * 8)


def leaf_lines(leaf: "Leaf", causes: "list[Cause]", width: int) -> list[str]:
    """One leaf: the verdict, its causes and its worst entries."""
    word = {"agree": "ok", "wrong": "FAIL", "unresolved": "????"}[leaf.verdict]
    seen = ", ".join(f"{name} {digits:.1f} digits" for name, digits in leaf.witnesses.items())
    head = f"{word:<4}  {leaf.name} {leaf.shape}  " + (
        f"yours against {seen}" if seen else "not compared"
    )
    lines = textwrap.wrap(head, width, initial_indent="  ", subsequent_indent=" " * 8)
    for cause in causes:
        residual = "" if cause.residual is None else f"  (residual {cause.residual:.0e})"
        lines += item("cause", f"{cause.code}: {cause.message}{residual}", width)
    for entry in leaf.worst[:3]:
        place = ", ".join(map(str, entry.index))
        over = f"   {abs(entry.yours - entry.gradient):.2g} apart"
        lines += item(
            "worst",
            f"{leaf.name}[{place}]  yours {entry.yours:.6g}  gradient {entry.gradient:.6g}{over}",
            width,
        )
    return lines


def item(label: str, words: str, width: int) -> list[str]:
    """A labelled line under a leaf, wrapped."""
    return textwrap.wrap(
        words, width, initial_indent=f"        {label:<10} ", subsequent_indent=" " * 19
    )


def reproduce_text(what: dict[str, Any]) -> str:
    """The seed, and shapes at which the gradient is still wrong."""
    shapes = ", ".join(f"{name} {tuple(shape)}" for name, shape in what.get("shapes", {}).items())
    return f"seed={what.get('seed', 0)}" + (f"; still wrong at {shapes}" if shapes else "")
