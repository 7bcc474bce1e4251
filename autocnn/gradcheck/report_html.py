"""A report as HTML, for the last line of a notebook's cell: readable on light and dark pages."""

from typing import TYPE_CHECKING

from autocnn.gradcheck.report_text import (
    cause_text,
    headline,
    listed_notes,
    reproduce_text,
)
from autocnn.gradcheck.source.show import html_excerpt
from autocnn.text import html_text as escape

if TYPE_CHECKING:
    from autocnn.gradcheck.report import Report

__all__ = ["html"]

# Colours of middling lightness, with text in the page's own colour: legible on white and on black.
_COLOURS = {"agree": "#2e9d5b", "wrong": "#d64545", "unresolved": "#c08a1e"}
_CELL = "padding:2px 14px 2px 0;text-align:left;vertical-align:top;border:0;background:transparent"


def html(report: "Report") -> str:
    """One `<div>`: the headline, a row for each leaf with the wrong ones first, warnings, notes."""
    verdict = "agree" if report.ok else "wrong"
    word, _, rest = headline(report).partition("  ")
    parts = [
        f'<div style="color:inherit;font-size:13px;line-height:1.45;border-left:4px solid '
        f'{_COLOURS[verdict]};padding:2px 0 2px 12px">',
        f'<div><b style="color:{_COLOURS[verdict]}">{escape(word)}</b> {escape(rest)}</div>',
        html_excerpt(report.place, report.trail, report.fix),
        '<table style="border-collapse:collapse;border:0;margin:4px 0;color:inherit">',
    ]
    ranks = {"wrong": 0, "unresolved": 1, "agree": 2}
    for leaf in sorted(report.leaves.values(), key=lambda x: ranks[x.verdict]):
        word = {"agree": "ok", "wrong": "wrong", "unresolved": "not decided"}[leaf.verdict]
        digits = ", ".join(f"{d:.1f} digits of the {w}" for w, d in leaf.witnesses.items())
        parts.append(
            f'<tr style="background:transparent">'
            f'<td style="{_CELL};color:{_COLOURS[leaf.verdict]}"><b>{word}</b></td>'
            f'<td style="{_CELL}"><code>{escape(leaf.name)}</code> '
            f'{escape(str(leaf.shape))}</td><td style="{_CELL};opacity:.75">'
            f"{escape(digits or 'not compared')}</td></tr>"
        )
        for cause in [c for c in report.causes if c.leaf == leaf.name]:
            parts.append(_row(cause_text(cause, report), cause.level))
        for entry in leaf.worst[:3]:
            index = ", ".join(map(str, entry.index))
            words = f"{leaf.name}[{index}]: yours {entry.yours:.6g}, gradient {entry.gradient:.6g}"
            parts.append(_row(words, "worst"))
    for cause in [c for c in report.causes if c.leaf not in report.leaves]:
        parts.append(_row(cause_text(cause, report), cause.level))
    parts.append("</table>")
    notes = listed_notes(report)
    if not report.ok and report.reproduce:
        notes.append(f"reproduce: {reproduce_text(report.reproduce)}")
    parts += [f'<div style="opacity:.75">{escape(note)}</div>' for note in notes]
    return "".join([*parts, "</div>"])


def _row(words: str, label: str) -> str:
    colour = {"error": _COLOURS["wrong"], "warning": _COLOURS["unresolved"]}.get(label, "inherit")
    return (
        f'<tr style="background:transparent"><td style="{_CELL}"></td>'
        f'<td colspan="2" style="{_CELL};max-width:60em;white-space:normal">'
        f'<span style="color:{colour}">{label}</span> {escape(words)}</td></tr>'
    )
