"""What a section of the chapter consists of, and the comparison of what it says with what was
found.
"""

from typing import Any, NamedTuple

import numpy as np

from autocnn.text import paragraphs
from autocnn.trees import count

__all__ = ["Figure", "Row", "Section", "row", "run_row"]


class Row(NamedTuple):
    """One line of the comparison: what the chapter says, what this run found, and how well they
    agree.

    ``published`` and ``here`` are numbers, or dicts of the same named numbers, of which the worst
    agreement counts.
    """

    section: str
    quantity: str
    published: Any
    here: Any
    agreement: str


class Figure(NamedTuple):
    """A figure: file name, caption, the function of ``autocnn.plots.chapter`` that draws it, and
    its arguments.
    """

    name: str
    caption: str
    draw: str
    arguments: dict


class Section(NamedTuple):
    """What a section did, what came out, where the chapter's text is wrong or unproven, and the
    numbers behind it.
    """

    number: str
    title: str
    done: str
    found: str
    wrong: str
    rows: list[Row]
    numbers: dict
    figures: list[Figure]

    def __repr__(self):
        """Show what a reader wants to know; the numbers and figures are in the fields."""
        return paragraphs(
            "\n".join(
                filter(None, (f"{self.number} {self.title}", self.done, self.found, self.wrong))
            )
        )


def row(section, quantity, expected, here):
    """Compare two numbers, or two dicts of the same named numbers."""
    return Row(section, quantity, expected, here, _agreement(expected, here))


def run_row(section, name, facts, run):
    """Compare a whole run with what the chapter reports: parameters, and accuracies and loss
    after the last epoch.
    """
    facts = facts._asdict()
    here = {"parameters": count(run.params)} | {
        q: run.history[q][-1] for q in ("train_loss", "train_acc", "val_acc")
    }
    return row(section, f"{name} ({here['parameters']:,})", facts, here)


def _agreement(expected, here):
    """Say in how many digits two numbers agree, or the worst of two dicts of numbers."""
    pairs = (
        [(expected, here)]
        if not isinstance(expected, dict)
        else [(expected[name], here[name]) for name in expected]
    )
    errors = [abs(b - a) / max(abs(a), 1e-300) for a, b in pairs if a != b]
    return f"{max(int(-np.log10(max(errors))), 0)} digits" if errors else "exact"
