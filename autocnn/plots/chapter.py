"""The chapter's figures, each from plain numbers and arrays, returned as a Matplotlib figure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autocnn.plots.seeds import against, edge_shares, mean_curves
from autocnn.plots.style import COLOURS, DIVERGING, GREY, IMAGE, figure, image_axes, styled
from autocnn.sweeps.statistics import mean_interval

__all__ = [
    "against",
    "curves_and_sizes",
    "depths",
    "development",
    "edge_shares",
    "examples",
    "kernels",
    "mean_curves",
    "repetitions",
    "side_by_side",
    "stages",
    "sweep",
]


@styled
def examples(data: Any, per_class: int = 6) -> Any:
    """Show the first training images of each class of a ``Dataset``, one row per class."""
    fig = figure(1.1 * per_class + 1, 1.1 * len(data.classes) + 0.2)
    grid = fig.subplots(len(data.classes), per_class, squeeze=False)
    for label, (row, name) in enumerate(zip(grid, data.classes, strict=True)):
        for axes, i in zip(row, np.flatnonzero(data.y_train == label), strict=False):
            image_axes(axes).imshow(data.x_train[i, 0], cmap=IMAGE, vmin=0, vmax=1)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return fig


@styled
def curves_and_sizes(histories: Mapping[str, dict], sizes: Mapping[str, int]) -> Any:
    """Show validation accuracy by epoch, {network: history}, beside {network: parameters}."""
    fig = figure(8.5, 3.4)
    left, right = fig.subplots(1, 2, width_ratios=(2, 1))
    _curves(left, histories)
    bars = right.bar(list(sizes), list(sizes.values()), color=COLOURS, width=0.6)
    right.bar_label(bars, [f"{n:,}" for n in sizes.values()], padding=2)
    right.set(title="Parameters", ylabel="parameters")
    right.margins(y=0.12)
    right.grid(axis="x", visible=False)
    return fig


def _curves(axes, histories, title="Validation accuracy"):
    for (name, history), style in zip(histories.items(), ("-", (0, (4, 1.5)), ":"), strict=False):
        axes.plot(history["epoch"], history["val_acc"], linestyle=style, label=name)
    axes.set(xlabel="epoch", ylabel="validation accuracy", title=title, ylim=(0, 1.04))
    axes.legend(loc="lower right")


@styled
def repetitions(groups: Mapping[str, Sequence[float]]) -> Any:
    """Show validation accuracies of repeated runs, {network: accuracies}: each run a dot, beside
    them the mean with its 95 % interval, where there is more than one run.
    """
    fig = figure(6.5, 3.6)
    axes = fig.subplots()
    for i, values in enumerate(groups.values()):
        # Equal accuracies lie side by side instead of on top of each other.
        offsets = [
            0.05 * (sum(v == w for w in values[:j]) - (values.count(v) - 1) / 2)
            for j, v in enumerate(values)
        ]
        axes.plot(i - 0.12 + np.array(offsets), values, "o", color=COLOURS[i], alpha=0.75)
        if len(values) == 1:
            continue
        interval = mean_interval(values)
        spread = [
            [interval.mean - max(interval.low, 0)],
            [min(interval.high, 1) - interval.mean],
        ]  # a share stays in [0, 1]
        axes.errorbar(
            i + 0.28, interval.mean, yerr=spread, fmt="D", color=COLOURS[i], capsize=5, linewidth=2
        )
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_title(f"{len(values)} repetitions each; diamonds: mean, 95 % interval")
    axes.set(ylabel="validation accuracy", ylim=(0, 1.06))
    axes.set_xlim(-0.5, len(groups) - 0.4)
    axes.grid(axis="x", visible=False)
    return fig


@styled
def sweep(points: Mapping[int, dict], label: str) -> Any:
    """Show accuracies above and parameters below, against one option on a logarithmic axis.

    points: {option: {"train_acc", "val_acc", "parameters"}}. label: of the horizontal axis.
    """
    fig = figure(6.5, 4.8)
    above, below = fig.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    at = list(points)
    above.plot(at, [p["val_acc"] for p in points.values()], "o-", label="validation")
    above.plot(
        at,
        [p["train_acc"] for p in points.values()],
        "s",
        linestyle=(0, (4, 1.5)),
        label="training",
        mfc="white",
    )
    above.set(ylabel="accuracy", title="Accuracy", ylim=(0, 1.05))
    above.legend(loc="lower right")
    below.plot(at, [p["parameters"] for p in points.values()], "o-", color=COLOURS[2])
    below.set(xlabel=label, ylabel="parameters", title="Parameters", xscale="log", yscale="log")
    below.set_xticks(at, list(map(str, at)))
    below.minorticks_off()
    return fig


@styled
def side_by_side(panels: Mapping[str, Mapping[str, dict]]) -> Any:
    """Show validation accuracy by epoch, one panel for each of {title: {network: history}}."""
    fig = figure(8.5, 3.4)
    for axes, (title, histories) in zip(
        fig.subplots(1, len(panels), sharey=True), panels.items(), strict=True
    ):
        _curves(axes, histories, title)
    return fig


@styled
def stages(taps: Mapping[str, np.ndarray], classes: Sequence[str]) -> Any:
    """Show one image on its way through the network: one row per stage, one column per filter, the
    probabilities as bars.

    taps: {stage: (C, H, W) or (D,)} ending in "probs", as ``autocnn.trace`` returns them, less the
    batch axis.
    """
    maps = {name: tap for name, tap in taps.items() if tap.ndim == 3}
    columns = max(len(tap) for tap in maps.values())
    fig = figure(2.0 * columns + 1.2, 1.75 * (len(maps) + 1))
    grid = fig.add_gridspec(len(maps) + 1, columns)
    for i, (name, tap) in enumerate(maps.items()):
        row = [
            fig.add_subplot(grid[i, j if len(tap) > 1 else slice(None)]) for j in range(len(tap))
        ]
        limit = np.abs(tap).max() or 1.0
        for j, (axes, plane) in enumerate(zip(row, tap, strict=True)):
            if name == "input":
                image_axes(axes).imshow(plane, cmap=IMAGE, vmin=0, vmax=1)
            else:
                image = image_axes(axes).imshow(plane, cmap=DIVERGING, vmin=-limit, vmax=limit)
            if i == 1:
                axes.set_title(f"filter {j + 1}", fontsize=9, fontweight="normal", loc="center")
        size = " x ".join(map(str, tap.shape[1:]))
        row[0].set_ylabel(
            f"{_STAGES.get(name, name)}\n{size}", rotation=0, ha="right", va="center", labelpad=10
        )
        if name != "input":
            fig.colorbar(image, ax=row, shrink=0.9, pad=0.02)
    bars = fig.add_subplot(grid[-1, :])
    drawn = bars.barh(list(classes)[::-1], taps["probs"][::-1], color=COLOURS[0], height=0.6)
    bars.bar_label(drawn, [f"{p:.4f}" for p in taps["probs"][::-1]], padding=4, fontsize=9)
    bars.set(xlim=(0, 1.15), xlabel="probability")
    bars.grid(axis="y", visible=False)
    return fig


@styled
def depths(depths: Mapping[str, Sequence[tuple[int, ...]]]) -> Any:
    """Show the channels of each layer with weights against its depth, {network: output shapes}; the
    area of a dot grows with the side of the feature map.
    """
    fig = figure(8.5, 4.2)
    axes = fig.subplots()
    for i, (name, shapes) in enumerate(depths.items()):
        at, channels = range(1, len(shapes) + 1), [shape[0] for shape in shapes]
        sides = [shape[1] if len(shape) == 3 else 1 for shape in shapes]
        axes.plot(at, channels, linewidth=1.2, color=COLOURS[i], label=name)
        axes.scatter(at, channels, s=[8 + 0.7 * side for side in sides], color=COLOURS[i])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="layer",
        ylabel="channels, or units",
        title="Depth and filters",
    )
    axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.set_yticks([6, 16, 64, 256, 1000, 4096], ["6", "16", "64", "256", "1000", "4096"])
    axes.minorticks_off()
    axes.legend(loc="upper left", title="dot: side of the feature map")
    return fig


_STAGES = {"conv": "convolution", "relu": "ReLU", "max_pool": "max-pool"}


@styled
def kernels(kernels: np.ndarray) -> Any:
    """Show kernels (F, k, k) on one diverging colour scale, each weight written into its cell."""
    fig = figure(2.6 * len(kernels) + 0.8, 2.9)
    row, limit = fig.subplots(1, len(kernels), squeeze=False)[0], np.abs(kernels).max()
    for i, (axes, kernel) in enumerate(zip(row, kernels, strict=True)):
        image = image_axes(axes).imshow(kernel, cmap=DIVERGING, vmin=-limit, vmax=limit)
        axes.set_title(f"filter {i + 1}")
        for (y, x), w in np.ndenumerate(kernel):
            axes.text(
                x,
                y,
                f"{w:.2f}",
                ha="center",
                va="center",
                color="white" if abs(w) > 0.6 * limit else "black",
            )
    fig.colorbar(image, ax=list(row), shrink=0.85, pad=0.02, label="weight")
    return fig


@styled
def development(snapshots: Mapping[int, np.ndarray]) -> Any:
    """Show how kernels developed, {epoch: (F, k, k)}: one column per epoch, one row per filter, one
    colour scale.
    """
    epochs, filters = list(snapshots), len(next(iter(snapshots.values())))
    limit = max(np.abs(k).max() for k in snapshots.values())
    fig = figure(1.25 * len(epochs) + 1.3, 1.25 * filters + 0.4)
    grid = fig.subplots(filters, len(epochs), squeeze=False)
    for column, (epoch, kernel) in zip(grid.T, snapshots.items(), strict=True):
        for axes, plane in zip(column, kernel, strict=True):
            image = image_axes(axes).imshow(plane, cmap=DIVERGING, vmin=-limit, vmax=limit)
        column[0].set_title(f"epoch {epoch}", fontsize=10, fontweight="normal", loc="center")
    for i, axes in enumerate(grid[:, 0]):
        axes.set_ylabel(f"filter {i + 1}", color=GREY)
    fig.colorbar(image, ax=list(grid.ravel()), shrink=0.9, pad=0.02, label="weight")
    return fig
