"""The chapter as a folder: figures as PNG, results.json, and report.html, which holds everything
in one file.
"""

import base64
import html
import json
import os
import pathlib

from autocnn.sweeps.statistics import Interval
from autocnn.text import plain

__all__ = ["HEADERS", "check_folder", "comparison", "legend", "results", "write"]

LEGEND = "Runs (parameters): training / validation accuracy, training loss after 80 epochs."
INTERVALS = "This run: the mean of n independent repetitions and its 95 % interval (Student's t), cut at 0 and 1 for shares. "
INTERVALS += "No width: all n agree, which is not certainty. Agreement: whether the chapter's one run lies inside."
HEADERS = ("section", "quantity", "published", "this run", "agreement")


def check_folder(out):
    """Create the folder ``out`` if need be and return its path; ValueError when nothing can be
    written there.
    """
    path = pathlib.Path(out)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(
            f"cannot write into {os.fspath(out)}: {reason}; give another folder, --out FOLDER"
        ) from None
    return path


def write(out, sections, lab):
    """Write figures, results.json and report.html into the folder ``out``. Returns the paths."""
    from autocnn.plots import chapter as plots

    folder = check_folder(out)
    paths = [folder / "results.json"]
    paths[0].write_text(json.dumps(results(sections, lab), indent=1) + "\n", encoding="utf-8")
    for section in sections:
        for figure in section.figures:
            paths.append(folder / f"{figure.name}.png")
            getattr(plots, figure.draw)(**figure.arguments).savefig(paths[-1])
    paths.append(folder / "report.html")
    paths[-1].write_text(_page(sections, lab, folder), encoding="utf-8")
    return paths


def results(sections, lab):
    """Everything that was found, as plain dicts, lists and numbers."""
    return plain(
        {
            "engine": lab.which,
            "seeds": lab.trials,
            "gradients": _gradients(lab),
            "sections": {
                s.number: {"title": s.title, "found": s.found, "wrong": s.wrong, **s.numbers}
                for s in sections
            },
            "comparison": [row._asdict() for s in sections for row in s.rows],
        }
    )


def _gradients(lab):
    if len(lab.vocabularies) < 2:
        return None
    return {"compared": lab.gradients, "largest_relative_difference": lab.largest}


def comparison(sections):
    """The table that compares the chapter with this run, as text; a run is one cell, as
    ``LEGEND`` says.
    """
    return [
        (r.section, r.quantity, _number(r.published), _number(r.here), r.agreement)
        for s in sections
        for r in s.rows
    ]


def legend(sections):
    """Return the sentence that explains the column of this run."""
    return (
        INTERVALS if any(isinstance(r.here, Interval) for s in sections for r in s.rows) else LEGEND
    )


def _number(value):
    if value is None:
        return ""
    if isinstance(value, Interval):
        return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f}), n = {value.n}"
    if isinstance(value, dict):  # a run
        return f"{value['train_acc']:.3f} / {value['val_acc']:.3f}, {value['train_loss']:.5f}"
    if isinstance(value, (int, str)):
        return f"{value:,}" if isinstance(value, int) else value
    return f"{value:.6g}" if value == 0 or abs(value) > 1e-9 else f"{value:.0e}"


def gradients_sentence(lab):
    """One sentence on which path drove the runs and, with both, how far the gradients were ever
    apart.
    """
    if len(lab.vocabularies) < 2:
        return f"All gradients by {lab.which}."
    return (
        f"{lab.gradients:,} gradients were computed twice, by autograd and by hand; the largest difference was "
        f"{lab.largest:.1e} of the gradient's largest entry."
    )


def _page(sections, lab, folder):
    parts = [_section(section, folder) for section in sections]
    contents = "".join(
        f'<li><a href="#s{s.number}">{s.number} {html.escape(s.title)}</a></li>' for s in sections
    )
    summary = html.escape(gradients_sentence(lab))
    return _PAGE.format(style=_STYLE, summary=summary, contents=contents, sections="\n".join(parts))


def _section(section, folder):
    figures = "".join(
        f'<figure><img alt="{html.escape(f.caption)}" src="data:image/png;base64,{_encoded(folder / f"{f.name}.png")}">'
        f"<figcaption>{html.escape(f.caption)}</figcaption></figure>"
        for f in section.figures
    )
    head = "".join(f"<th>{h}</th>" for h in HEADERS[1:])
    body = "".join(
        f'<tr class="{"wrong" if "wrong" in cells[-1] else "right"}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells[1:])
        + "</tr>"
        for cells in comparison([section])
    )
    return (
        f'<section id="s{section.number}"><h2>{section.number} {html.escape(section.title)}</h2>'
        f"<p><b>Done.</b> {html.escape(section.done)}</p><p><b>Found.</b> {html.escape(section.found)}</p>"
        f'<p class="note"><b>Where the text is wrong or unproven.</b> {html.escape(section.wrong)}</p>{figures}'
        f'<details><summary>{len(section.rows)} numbers, beside the published ones</summary><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div><p>{legend([section])}</p></details></section>"
    )


def _encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


_STYLE = """
:root { color-scheme: light; }
body { font: 17px/1.55 system-ui, sans-serif; color: #1c1c1c; background: #fff; }
body { max-width: 46rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
a { color: #0072b2; } figure { margin: 1.2rem 0; } img { max-width: 100%; height: auto; display: block; margin: auto; }
figcaption { color: #555; font-size: .9rem; text-align: center; } .note { border-left: 4px solid #d55e00; padding-left: .8rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem .25rem 0; text-align: right; white-space: nowrap; border-bottom: 1px solid #e6e6e6; }
th:first-child, td:first-child { text-align: left; white-space: normal; } tr.wrong td { color: #b34700; font-weight: 600; }
summary { cursor: pointer; color: #0072b2; }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>CNN experiments, reproduced through two gradient paths</title><style>{style}</style></head><body>
<h1>CNN experiments, reproduced through two gradient paths</h1>
<p>Each network is written once and differentiated twice: by autograd, and by hand. {summary}</p>
<nav><ul>{contents}</ul></nav>
{sections}
</body></html>
"""
