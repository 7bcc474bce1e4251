"""Figure of a sweep: all trials as dots, means with 95 % intervals, and the parameters below."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autocnn.plots.style import COLOURS, figure, styled
from autocnn.plots.style import label as shown

__all__ = ["points"]

DASHES = ("-", (0, (4, 1.5)), ":", (0, (5, 1, 1, 1)))


@styled
def points(
    summary: Sequence[Mapping[str, Any]],
    trials: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    measure: str = "val_acc",
    label: str = "validation accuracy",
    share: bool = True,
) -> Any:
    """Draw the summary of a sweep over its first option, one line for each combination of the rest.

    summary, trials: those of a ``Sweep``.
    names: the names of its options.
    measure, label: the metric that the trials hold, and what the axis calls it.
    share: whether the metric lies in [0, 1]. If so, the intervals are clipped and the axis shows
        this range.

    Returns a Matplotlib figure.
    """
    fig = figure(7, 4.8)
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    first, rest = names[0], names[1:]
    at = {str(v): i for i, v in enumerate(dict.fromkeys(str(row[first]) for row in summary))}
    lines = {}
    for row in summary:
        if row["n"]:
            lines.setdefault(", ".join(f"{name} {shown(row[name])}" for name in rest), []).append(
                row
            )
    for i, (name, rows) in enumerate(lines.items()):
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        shift = 0.5 * ((i + 0.5) / len(lines) - 0.5) if len(lines) > 1 else 0.0
        x = np.array([at[str(row[first])] for row in rows]) + shift
        mean = np.array([row["mean"] for row in rows])
        low, high = (
            np.array([row["mean"] if row[k] is None else row[k] for row in rows])
            for k in ("low", "high")
        )
        low, high = (np.clip(low, 0, 1), np.clip(high, 0, 1)) if share else (low, high)
        for place, row in zip(x, rows, strict=True):
            values = [
                t[measure]
                for t in trials
                if "error" not in t and all(t[k] == row[k] for k in names)
            ]
            spread = (
                np.linspace(-1, 1, len(values)) * 0.16 / len(lines) if len(values) > 1 else [0.0]
            )
            above.plot(place + spread, sorted(values), ".", color=colour, alpha=0.35, markersize=5)
        above.plot(x, mean, linestyle=dash, color=colour, linewidth=1.4, label=name)
        above.errorbar(
            x, mean, yerr=[mean - low, high - mean], fmt="D", color=colour, capsize=4, linewidth=1.8
        )
        below.plot(
            x - shift,
            [row["parameters"] for row in rows],
            "o",
            linestyle=dash,
            color=colour,
            linewidth=1.2,
        )
    most = max((row["n"] for row in summary), default=0)
    above.set(
        ylabel=label,
        title=f"Mean and 95 % interval of {most} trials, and every trial"
        if most > 1
        else "One trial each",
    )
    if share:
        above.set_ylim(0, 1.05)
    if any(lines) and len(lines) > 1:
        above.legend(loc="lower right", ncols=1 + len(lines) // 5)
    below.set(xlabel=first, ylabel="parameters", title="Parameters")
    below.set_ylim(0)
    below.set_xticks(
        range(len(at)), [shown(value) for value in at], rotation=0 if len(at) <= 16 else 60
    )
    for axes in (above, below):
        axes.grid(axis="x", visible=False)
    return fig
