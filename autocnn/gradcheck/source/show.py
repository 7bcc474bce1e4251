"""A place and its fix for people: a few lines of text, an excerpt of the source, HTML."""

import linecache
import pathlib

from autocnn.gradcheck.source.found import Fix, Place, Step
from autocnn.text import html_text

__all__ = ["MARKS", "excerpt", "html_excerpt", "place_lines"]

MARKS = {"right": "✓", "wrong": "✗", "follows": "↳", "not compared": " "}
AROUND = 2  # lines of context above and below the excerpt


def place_lines(place: Place | None, fix: Fix | None, leaves: int) -> list[str]:
    """The lines of a report that name the statement and the edit."""
    if place is None:
        return []
    label = f"line {place.line}"
    lines = [f"  {label:<9} {place.text}", f"            {place.why}"]
    lines += [f"  {'or':<9} line {step.line}: {step.text}" for step in place.suspects]
    if fix is not None:
        others = "three other points" if fix.points == 4 else f"{fix.points - 1} other points"
        every = "the leaf agrees" if leaves == 1 else f"all {leaves} leaves agree"
        where = "" if fix.line == place.line else f"line {fix.line}: "
        lines.append(f"  {'try':<9} {where}{fix.after or '(delete the statement)'}")
        if fix.first:
            lines.append(f"            and `{fix.first}` before the loop in line {fix.loop}")
        lines.append(f"            with this one edit {every}, here and at {others}")
    return lines


def excerpt(place: Place, trail: list[Step] | tuple[Step, ...], fix: Fix | None = None) -> str:
    """The source around the place: right statements ticked, the wrong one crossed, with a caret
    under the expression and the edit below it."""
    rows = linecache.getlines(place.file)
    if not rows:
        return ""
    verdicts: dict[int, str] = {}
    for step in trail:
        if step.file == place.file:
            verdicts.setdefault(step.line, step.verdict)
    verdicts[place.line] = "wrong"
    marked = [n for n in verdicts if abs(n - place.line) <= 12]
    first = max(1, min(marked) - AROUND)
    last = min(len(rows), max(marked) + AROUND)
    width = len(str(last))
    path = pathlib.Path(place.file)
    # a notebook's cell has no file
    out = [f"{path.name}:{place.line}" if path.exists() else f"line {place.line}"]
    for number in range(first, last + 1):
        row = rows[number - 1].rstrip()
        if fix is not None and fix.first and number == fix.loop:
            out.append(f" + {'':>{width}} | {row[: len(row) - len(row.lstrip())]}{fix.first}")
        out.append(
            f" {MARKS[verdicts.get(number, 'not compared')]} {number:>{width}} | {row}".rstrip()
        )
        if number == place.line:
            indent = len(row) - len(row.lstrip())
            start, end = place.columns or (indent, len(row))
            start, end = min(start, len(row)), min(end, len(row))
            out.append(f"   {'':>{width}} | {' ' * start}{'^' * max(1, end - start)}")
            if fix is not None and fix.line == place.line and fix.after:
                out.append(f" + {'':>{width}} | {' ' * indent}{fix.after}")
    return "\n".join(out)


def html_excerpt(place: Place | None, trail: list[Step] | tuple[Step, ...], fix: Fix | None) -> str:
    """The excerpt and the reason as HTML, legible on white and on black; empty without a place."""
    if place is None:
        return ""
    colours = {"✗": "#d64545", "+": "#2e9d5b", "✓": "#2e9d5b"}
    rows = []
    for row in excerpt(place, trail, fix).splitlines():
        colour = colours.get(row[1:2])
        bold = "font-weight:600;" if row[1:2] in ("✗", "+") else ""
        style = f' style="{bold}color:{colour}"' if colour else ' style="opacity:.75"'
        rows.append(f"<span{style}>{html_text(row)}</span>")
    return (
        '<pre style="margin:6px 0;line-height:1.35;color:inherit;background:transparent;'
        f'border:0">{chr(10).join(rows)}</pre>'
        f'<div style="opacity:.75">{html_text(place.why)}</div>'
    )
