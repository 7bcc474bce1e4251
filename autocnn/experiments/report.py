"""The chapter as a folder: figures as PNG, results.json, and report.html, one file that shows
everything.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from autocnn.experiments.lab import Lab
from autocnn.experiments.page import page
from autocnn.experiments.result import Figure, Section
from autocnn.files import atomic_write, while_held
from autocnn.plots.style import save
from autocnn.sweeps.statistics import Interval
from autocnn.text import plain

__all__ = [
    "HEADERS",
    "check_folder",
    "comparison",
    "draw",
    "gradients_sentence",
    "legend",
    "results",
    "write",
]

HEADERS = ("section", "quantity", "published", "this run", "agreement")
LEGEND = (
    "A run, with its number of parameters in brackets: training accuracy / validation accuracy, "
    "training loss after 80 epochs. 1.000 / 1.000: every image of both is right."
)
INTERVALS = (
    "This run: the mean of n independent repetitions and its 95 % interval (Student's t), cut at 0 "
    "and 1 for shares. No width: all n agree, which is not certainty. Agreement: whether the "
    "chapter's one run lies inside."
)


def check_folder(out: str | os.PathLike) -> Path:
    """Create the folder ``out`` if needed and return its path.

    Raises ValueError when it cannot be created or written to.
    """
    path = Path(out)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".writable"
        probe.touch()
        while_held(probe.unlink)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(
            f"cannot write into {os.fspath(out)}: {reason}; give another folder, --out FOLDER"
        ) from None
    return path


def draw(folder: Path, figures: Iterable[Figure]) -> list[Path]:
    """Draw figures into a folder that exists, as NAME.png. Returns their paths."""
    paths = []
    for figure in figures:
        paths.append(folder / f"{figure.name}.png")
        save(figure.draw(), paths[-1])
    return paths


def write(
    out: str | os.PathLike, sections: list[Section], lab: Lab, drawn: Iterable[Path] = ()
) -> list[Path]:
    """Write figures, results.json and report.html into the folder ``out``. Returns the paths.

    drawn: figures that ``draw`` has put there already.
    """
    folder, drawn = check_folder(out), list(drawn)
    paths = [folder / "results.json", *drawn]
    atomic_write(paths[0], (json.dumps(results(sections, lab), indent=1) + "\n").encode())
    figures = [figure for section in sections for figure in section.figures]
    paths += draw(folder, [f for f in figures if folder / f"{f.name}.png" not in drawn])
    paths.append(folder / "report.html")
    text = page(sections, folder, gradients_sentence(lab), HEADERS, comparison, legend)
    atomic_write(paths[-1], text.encode())
    return paths


def results(sections: list[Section], lab: Lab) -> dict[str, Any]:
    """Return everything that was found, as plain dicts, lists and numbers."""
    compared = None
    if len(lab.engines) > 1:
        compared = {"compared": lab.gradients, "largest_relative_difference": lab.largest}
    return plain(
        {
            "engine": lab.engine,
            "seeds": lab.trials,
            "gradients": compared,
            "sections": {
                s.number: {"title": s.title, "found": s.found, "wrong": s.wrong, **s.numbers}
                for s in sections
            },
            "comparison": [row._asdict() for s in sections for row in s.rows],
        }
    )


def comparison(sections: list[Section]) -> list[tuple[str, ...]]:
    """Return the rows of the comparison with the chapter as text, in the columns of ``HEADERS``.

    A run is one cell, see ``legend``.
    """
    return [
        (r.section, r.quantity, _cell(r.published), _cell(r.here), r.agreement)
        for s in sections
        for r in s.rows
    ]


def legend(sections: list[Section]) -> str:
    """Return the sentence that explains the column of this run."""
    repeated = any(isinstance(row.here, Interval) for s in sections for row in s.rows)
    return INTERVALS if repeated else LEGEND


def gradients_sentence(lab: Lab) -> str:
    """Return one sentence on which path computed the gradients and, with both, how far they
    differed.
    """
    if len(lab.engines) < 2:
        return f"All gradients by {lab.engine}."
    return (
        f"{lab.gradients:,} gradients were computed twice, by autograd and by hand; the largest "
        f"difference was {lab.largest:.1e} of the gradient's largest entry."
    )


def _cell(value):
    if value is None:
        return ""
    if isinstance(value, Interval):
        return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f}), n = {value.n}"
    if isinstance(value, dict):  # a run
        return f"{value['train_acc']:.3f} / {value['val_acc']:.3f}, {value['train_loss']:.5f}"
    if isinstance(value, int | str):
        return f"{value:,}" if isinstance(value, int) else value
    return f"{value:.6g}" if value == 0 or abs(value) > 1e-9 else f"{value:.0e}"
