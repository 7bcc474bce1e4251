"""How far a command's runs are, and how long the rest will take."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from autocnn.cli import output

__all__ = ["Countdown"]

EVERY = 5.0  # seconds between lines, where stderr is no terminal


class Countdown:
    """Shows on stderr "12 of 51 runs, 0:07, about 0:20 left": a line that changes on a terminal,
    and elsewhere a new line every few seconds.

    As a context manager it is the ``on_result`` of a ``Lab``.
    """

    def __init__(self, name: str, costs: Mapping[str, float] | None = None):
        """Count runs under ``name``. costs: {label: what a run takes beside others}, default: all
        runs are known to take as long, and their number by the first result.
        """
        self.name, self.costs = name, dict(costs or {})
        self.start = self.written = time.monotonic()
        self.done, self.total = 0, len(self.costs)
        self.work = sum(self.costs.values())
        self.spent = 0.0
        self.is_terminal = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> "Countdown":
        if self.total or self.is_terminal:
            self._show(self.text())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_terminal:
            output.echo("", err=True)

    def __call__(self, label: str, left: int) -> None:
        """Note that the run ``label`` is done and ``left`` are not."""
        self.done += 1
        self.total = self.done + left
        self.spent += self.costs.get(label, 1.0)
        if not self.costs:
            self.work = float(self.total)
        if self.is_terminal:
            self._show(f"{self.text()}  {label}" if left else self.text())
        elif not left or time.monotonic() - self.written >= EVERY:
            self.written = time.monotonic()
            self._show(self.text())

    def _show(self, text: str) -> None:
        if not self.is_terminal:
            output.echo(text, err=True)
            return
        output.rewrite(text)

    def text(self) -> str:
        """Say how many runs are done, since when, and how long the others will take."""
        seconds = time.monotonic() - self.start
        text = f"{self.name}: {self.done} of {self.total} runs, {_clock(seconds)}"
        if self.spent > 0 and self.done < self.total:
            text += f", about {_clock(seconds * max(self.work - self.spent, 0) / self.spent)} left"
        return text


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
