"""The chapter as one HTML page that needs no other file: texts, tables, and figures that grow to
their full size when they are clicked or tapped.
"""

import base64
from collections.abc import Callable, Iterable
from pathlib import Path

from autocnn.experiments.result import Figure, Section, Table
from autocnn.text import cell_text, html_text

__all__ = ["page"]


def page(
    sections: list[Section],
    folder: Path,
    summary: str,
    headers: tuple[str, ...],
    compare: Callable[[list[Section]], list[tuple[str, ...]]],
    legend: Callable[[list[Section]], str],
) -> str:
    """Return the page. folder: where the figures are, as NAME.png. summary: a sentence on the
    gradients. compare, legend: the rows of the comparison with the chapter, of which ``headers``
    names the columns, and the sentence that explains them.
    """
    contents = "".join(
        f'<li><a href="#s{s.number}">{html_text(s.heading)}</a></li>' for s in sections
    )
    agree = [row[-1] for row in compare(sections) if row[-1]]
    wrong = sum("wrong" in word or word == "differs" for word in agree)
    found = f"{len(agree) - wrong} of {len(agree)} published numbers are reproduced. "
    parts = []
    for section in sections:
        comparison = Table(headers[1:], [row[1:] for row in compare([section])], legend([section]))
        parts.append(_section(section, folder, comparison))
    return _PAGE.format(
        style=_STYLE,
        summary=html_text((found if agree else "") + summary),
        contents=contents,
        sections="\n".join(parts),
    )


def _section(section: Section, folder: Path, comparison: Table) -> str:
    in_chapter = section.number[0].isdigit()
    texts = [("Done", section.done), ("Found", section.found)]
    body = "".join(f"<p><b>{name}.</b> {html_text(text)}</p>" for name, text in texts)
    if section.table is not None:
        body += _table(section.table)
    if section.wrong:
        body += (
            '<p class="note"><b>Where the text is wrong or unproven.</b> '
            f"{html_text(section.wrong)}</p>"
        )
    body += "".join(_figure(figure, folder) for figure in section.figures)
    if comparison.rows:
        body += (
            f"<details><summary>{len(comparison.rows)} numbers, beside the published ones</summary>"
            f"{_table(comparison)}</details>"
        )
    kind = "" if in_chapter else ' class="beyond"'
    return (
        f'<section id="s{section.number}"{kind}><h2>{html_text(section.heading)}</h2>'
        f"{body}</section>"
    )


def _table(table: Table) -> str:
    note = f'<p class="small">{html_text(table.note)}</p>' if table.note else ""
    head = "".join(f"<th>{html_text(header)}</th>" for header in table.headers)
    body = "".join(_row(row) for row in table.rows)
    return (
        f'{note}<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _row(cells: Iterable) -> str:
    texts = [cell_text(cell) for cell in cells]
    kind = ' class="wrong"' if "wrong" in texts[-1] else ""
    return f"<tr{kind}>{''.join(f'<td>{html_text(text)}</td>' for text in texts)}</tr>"


def _figure(figure: Figure, folder: Path) -> str:
    png = base64.b64encode((folder / f"{figure.name}.png").read_bytes()).decode()
    caption = html_text(figure.caption)
    return (
        f'<figure><label class="zoom"><input type="checkbox" aria-label="Full size: {caption}">'
        f'<span><img alt="{caption}" src="data:image/png;base64,{png}"></span></label>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1d2328; --soft: #5a646c;
  --line: #e1e5e8; --link: #0065a3; --wrong: #a83c00; --card: #f5f7f8; }
@media (prefers-color-scheme: dark) { :root { --page: #14181b; --text: #e4e8eb; --soft: #9aa5ad;
  --line: #333b41; --link: #6cb8ee; --wrong: #ff9d66; --card: #1e2428; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { font: 17px/1.6 system-ui, sans-serif; color: var(--text); background: var(--page);
  max-width: 48rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .6rem; text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .6rem; }
section { margin-top: 3rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
section.beyond { border: 1px dashed var(--soft); border-radius: 10px; padding: 1.2rem; }
p { margin: .7rem 0; }
a { color: var(--link); }
nav { background: var(--card); border-radius: 10px; padding: .6rem 1rem; margin-top: 1.4rem; }
nav ul { margin: 0; padding: 0; list-style: none; }
nav li { padding: .2rem 0; }
.small, figcaption { color: var(--soft); font-size: .88rem; }
.note { background: var(--card); border-left: 4px solid #d55e00; border-radius: 0 8px 8px 0;
  padding: .7rem 1rem; }
figure { margin: 1.4rem 0; }
figcaption { text-align: center; margin-top: .4rem; }
.zoom { display: block; cursor: zoom-in; }
.zoom span { display: block; background: #fff; border: 1px solid var(--line); border-radius: 10px;
  padding: .5rem; }
.zoom img { display: block; max-width: 100%; height: auto; margin: auto; }
.zoom input { position: absolute; opacity: 0; }
.zoom input:focus-visible + span { outline: 3px solid var(--link); }
.zoom input:checked + span { position: fixed; inset: 0; z-index: 9; overflow: auto; border: 0;
  border-radius: 0; padding: 1rem; cursor: zoom-out; display: grid; }
.zoom input:checked + span img { max-width: none; width: max(900px, min(96vw, 1100px)); }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem 1rem .35rem 0; text-align: right; white-space: nowrap; }
th, td { border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 7.5rem; }
tr.wrong td { color: var(--wrong); font-weight: 600; }
summary { cursor: pointer; color: var(--link); padding: .3rem 0; }
@media (max-width: 480px) { body { font-size: 16px; } h1 { font-size: 1.45rem; } }
@media print { body { max-width: none; } details { display: none; } }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>CNN experiments, reproduced through two gradient paths</title>
<style>{style}</style></head><body>
<h1>CNN experiments, reproduced through two gradient paths</h1>
<p>Each network is written once and differentiated twice: by autograd, and by hand. {summary}</p>
<p class="small">Accuracies are shares: 1.000 means that every image is right. Click or tap a figure
for its full size.</p>
<nav><ul>{contents}</ul></nav>
{sections}
<script>addEventListener("keydown", (event) => {{ if (event.key === "Escape")
  document.querySelectorAll(".zoom input").forEach((box) => box.checked = false); }});</script>
</body></html>
"""
