"""Figures of repeated runs: mean curves with bands, means with intervals, and how often kernels are
edges.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from autocnn.plots.style import COLOURS, GREY, figure, styled
from autocnn.sweeps.statistics import share_interval

__all__ = ["against", "edge_shares", "mean_curves"]

DASHES = ("-", (0, (4, 1.5)), ":", (0, (5, 1, 1, 1)), (0, (1, 1)))
MARKERS = "oDs^v"


@styled
def mean_curves(
    panels: Mapping[str, Mapping[str, np.ndarray]], label: str = "validation accuracy"
) -> Any:
    """Show {title: {name: shares (trials, epochs + 1)}}: one panel per title, the mean by epoch
    with a 95 % band.
    """
    fig = figure(8.5 if len(panels) > 1 else 6.5, 3.4)
    for axes, (title, lines) in zip(
        fig.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels.items(), strict=True
    ):
        for i, (name, values) in enumerate(lines.items()):
            mean, low, high = _intervals(np.transpose(values))
            axes.plot(mean, color=COLOURS[i], linestyle=DASHES[i % len(DASHES)], label=name)
            axes.fill_between(range(len(mean)), low, high, color=COLOURS[i], alpha=0.2, linewidth=0)
        axes.set(xlabel="epoch", title=title, ylim=(0, 1.04))
        axes.legend(loc="lower right")
    fig.axes[0].set_ylabel(label)
    return fig


@styled
def against(
    groups: Mapping[str, Mapping[int, np.ndarray]],
    label: str,
    low: float = 0.0,
    measure: str = "validation accuracy",
) -> Any:
    """Show {name: {size: shares (trials,)}}: the mean against the size with its 95 % interval, one
    line per name.

    label, measure: of the horizontal and the vertical axis. low: where the vertical axis begins.
    """
    fig = figure(7, 3.9)
    axes = fig.subplots()
    at = sorted({size for points in groups.values() for size in points})
    wide = at[0] > 0 and at[-1] / at[0] > 6
    for i, (name, points) in enumerate(groups.items()):
        shift = 0.0 if wide else 0.06 * (i - (len(groups) - 1) / 2)
        mean, *ends = _intervals(list(points.values()))
        x, spread = np.array(list(points)) + shift, [mean - ends[0], ends[1] - mean]
        style = dict(
            color=COLOURS[i],
            linestyle=DASHES[i % len(DASHES)],
            linewidth=1.3,
            elinewidth=1.6,
            capsize=3,
        )
        axes.errorbar(x, mean, yerr=spread, marker=MARKERS[i % len(MARKERS)], label=name, **style)
    axes.set(xlabel=label, ylabel=measure, ylim=(low, 1 + 0.05 * (1 - low)))
    if wide:
        ticks = [
            n
            for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
            if at[0] / 1.5 <= n <= at[-1] * 1.5
        ]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
        axes.minorticks_off()
    else:
        axes.set_xticks(at)
    axes.legend(loc="lower right")
    trials = {len(values) for points in groups.values() for values in points.values()}
    axes.set_title(f"Mean and 95 % interval of {max(trials)} repetitions")
    return fig


@styled
def edge_shares(after: np.ndarray, before: np.ndarray) -> Any:
    """Show the distribution of the shares of variation that an oriented edge explains, one number
    per kernel: after training, before it, and by chance.
    """
    fig = figure(6.5, 3.6)
    axes = fig.subplots()
    bins = np.linspace(0, 1, 11)
    axes.hist(after, bins, density=True, color=COLOURS[0], alpha=0.75, label="after training")
    axes.hist(
        before,
        bins,
        density=True,
        histtype="step",
        color=COLOURS[1],
        linewidth=2,
        label="before training",
    )
    x = np.linspace(0, 1, 101)
    axes.plot(
        x,
        3 * (1 - x) ** 2,
        color="black",
        linestyle=(0, (4, 1.5)),
        linewidth=1.3,
        label="chance: Beta(1, 3)",
    )
    axes.axvline(0.5, color=GREY, linewidth=1)
    axes.text(0.51, 0.6, "an edge", color=GREY, transform=axes.get_xaxis_transform())
    axes.set(
        xlabel="share of the kernel's variation that an edge explains",
        ylabel="density",
        title="Are the kernels edges?",
    )
    axes.legend(loc="upper right")
    return fig


def _intervals(rows):
    """Return means and both ends of the 95 % intervals of rows of shares, (3, rows)."""
    return np.array([share_interval(row)[:3] for row in rows]).T
