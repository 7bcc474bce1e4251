"""What a section of the chapter returns: texts, rows of the comparison with the chapter, numbers
and figures.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from autocnn.sweeps.statistics import mean_interval, share_interval
from autocnn.text import paragraphs, table

__all__ = ["Figure", "Row", "Section", "Table", "estimate", "row", "run_row"]


class Row(NamedTuple):
    """One row of the comparison: what the chapter says, what this run gives, how well they agree.

    ``published`` and ``here`` are numbers, or dicts of the same named numbers, of which the worst
    agreement counts. ``here`` is an ``Interval`` for repeated runs, and ``published`` None where
    the chapter states nothing.
    """

    section: str
    quantity: str
    published: Any
    here: Any
    agreement: str


class Figure(NamedTuple):
    """A figure before it is drawn: file name without suffix, caption, the function of
    ``autocnn.plots`` that draws it, and its keyword arguments.
    """

    name: str
    caption: str
    plot: Callable[..., Any]
    arguments: dict[str, Any]

    def draw(self) -> Any:
        """Return the figure as a new ``matplotlib.figure.Figure``."""
        return self.plot(**self.arguments)


class Table(NamedTuple):
    """What a section found, as a table: headers, rows of cells, and a note on how to read it."""

    headers: tuple[str, ...]
    rows: list[tuple]
    note: str = ""


class Section(NamedTuple):
    """A section: what was done and found, where the chapter's text is wrong or unproven ("" where
    it is right), the rows of the comparison, the numbers and figures behind it, and a table of
    what was found where a sentence would be a list of numbers.
    """

    number: str
    title: str
    done: str
    found: str
    wrong: str
    rows: list[Row]
    numbers: dict[str, Any]
    figures: list[Figure]
    table: Table | None = None

    @property
    def heading(self) -> str:
        """The chapter's number with the title; the title alone of a section that it lacks."""
        return f"{self.number} {self.title}" if self.number[0].isdigit() else self.title

    def __repr__(self) -> str:
        """Show the texts and the table; the numbers and figures are in the fields."""
        texts = (self.heading, self.done, self.found, self.wrong)
        shown = paragraphs("\n".join(filter(None, texts)))
        if self.table is not None:
            shown += f"\n\n{table(self.table.headers, self.table.rows)}"
        return shown


def row(section: str, quantity: str, published: Any, here: Any) -> Row:
    """Compare two numbers, or two dicts of the same named numbers."""
    return Row(section, quantity, published, here, _agreement(published, here))


def run_row(section: str, name: str, published: Any, parameters: int, history: dict) -> Row:
    """Compare a run with a ``published.Final``: parameters, and losses and accuracies after the
    last epoch.
    """
    measures = ("train_loss", "train_acc", "val_acc")
    here = {"parameters": parameters} | {name: history[name][-1] for name in measures}
    return row(section, f"{name} ({parameters:,})", published._asdict(), here)


def estimate(
    section: str, quantity: str, values: Any, published: float | None = None, share: bool = True
) -> Row:
    """Compare the mean of repeated values and its 95 % interval with the chapter's number.

    values: one number a repetition, (trials,). share: whether the values lie in [0, 1], at which
    the interval is then cut. The agreement is "inside" or "outside", as the published number lies
    in the interval or not.
    """
    here = (share_interval if share else mean_interval)(values)
    if published is None:
        return Row(section, quantity, None, here, "")
    inside = here.low <= published <= here.high
    return Row(section, quantity, published, here, "inside" if inside else "outside")


def _agreement(published, here):
    """Say to how many digits two numbers agree, or the worst pair of two dicts of numbers."""
    if not isinstance(published, dict):
        published, here = {"": published}, {"": here}
    pairs = [(published[name], here[name]) for name in published]
    errors = [abs(b - a) / max(abs(a), 1e-300) for a, b in pairs if a != b]
    return f"{max(int(-np.log10(max(errors))), 0)} digits" if errors else "exact"
