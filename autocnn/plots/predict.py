"""Figures of a trained network: the activations for an image, and the first layer's filters."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autocnn.plots.style import COLOURS, DIVERGING, IMAGE, figure, image_axes, label, styled

__all__ = ["activations", "filters"]

ROWS = 16  # a network with more stages than this shows one stage of each size
MAPS = 8  # how many feature maps of a stage are shown


@styled
def activations(
    taps: Mapping[str, np.ndarray],
    classes: Sequence[Any],
    top: int = 5,
    channel: int | None = None,
) -> Any:
    """Draw the activations of each stage for one image, one stage per row.

    taps: {name: array (C, H, W) or (D,)}, from "input" to "probs", as ``autocnn.trace`` gives them.
    classes: the names of the classes.
    top: how many of the largest probabilities the last row shows.
    channel: one to follow, the first is 1. It comes first in every row that has it, framed.

    A stage shows up to eight feature maps, on a scale of its own, each with its channel's number.
    Stages from one convolution to the next show the same channels, those with the largest mean
    |activation|, in the same columns. Vectors and maps of one pixel are drawn as strips. Returns a
    Matplotlib figure. ValueError where no stage has ``channel``.
    """
    stages = _stages(taps)
    most = max((len(tap) for tap in stages.values() if not _is_strip(tap)), default=0)
    if channel is not None and not 1 <= channel <= most:
        raise ValueError(f"there is no channel {channel}: the stages have 1 to at most {most}")
    columns = min(MAPS, most)
    shown = _channels(stages, columns, channel)
    heights = [0.45 if _is_strip(tap) else 1.0 for tap in stages.values()] + [
        0.24 * min(top, len(classes)) + 0.3
    ]
    width, height = 1.1 * columns + 2.0, 1.15 * sum(heights) + 0.6
    fig = figure(width, height)
    # To arrange a hundred axes automatically takes seconds; these margins are in inches.
    fig.set_layout_engine("none")
    margins = dict(
        left=1.75 / width, right=1 - 0.25 / width, bottom=0.5 / height, top=1 - 0.1 / height
    )
    grid = fig.add_gridspec(
        len(stages) + 1, columns, height_ratios=heights, hspace=0.22, wspace=0.1, **margins
    )
    for i, (name, tap) in enumerate(stages.items()):
        title = f"{name}\n{' x '.join(map(str, tap.shape))}"
        if name == "input":
            axes = image_axes(fig.add_subplot(grid[i, 0]))
            axes.imshow(
                tap[0] if len(tap) != 3 else np.clip(tap.transpose(1, 2, 0), 0, 1), cmap=IMAGE
            )
        elif _is_strip(tap):
            limit = np.abs(tap).max() or 1.0
            axes = image_axes(fig.add_subplot(grid[i, :]))
            axes.imshow(tap.reshape(1, -1), cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto")
        else:
            limit = np.abs(tap).max() or 1.0
            row = [image_axes(fig.add_subplot(grid[i, j])) for j in range(len(shown[name]))]
            for axes, index in zip(row, shown[name], strict=True):
                axes.imshow(tap[index], cmap=DIVERGING, vmin=-limit, vmax=limit)
                axes.set_title(f"{index + 1}", fontsize=7, fontweight="normal", loc="center", pad=2)
                if index + 1 == channel:
                    _frame(axes)
            axes = row[0]
        axes.set_ylabel(title, rotation=0, ha="right", va="center", labelpad=10, fontsize=9)
    _bars(fig.add_subplot(grid[-1, :]), taps["probs"], classes, top)
    return fig


def _channels(stages, columns, first):
    """Choose the channels (indices) that each stage of maps shows: the same from one convolution to
    the next, where channels keep their numbers; ``first`` (from 1) before the others.
    """
    groups: list[list[str]] = []
    for name, tap in stages.items():
        if name == "input" or _is_strip(tap):
            continue
        mixes = name.startswith(("conv", "table_conv", "concat"))
        if mixes or not groups or len(stages[groups[-1][-1]]) != len(tap):
            groups.append([])
        groups[-1].append(name)
    shown = {}
    for names in groups:
        # Each stage counts alike, whatever the size of its numbers.
        means = [np.abs(stages[name]).mean(axis=(1, 2)) for name in names]
        active = np.sum([mean / (mean.max() or 1.0) for mean in means], axis=0)
        chosen = np.argsort(-active, kind="stable")
        ahead = [] if first is None or first > len(active) else [first - 1]
        others = sorted([int(c) for c in chosen if c not in ahead][: columns - len(ahead)])
        shown |= {name: [*ahead, *others] for name in names}
    return shown


def _frame(axes):
    for spine in axes.spines.values():
        spine.set(color=COLOURS[1], linewidth=2)


def _is_strip(tap):
    """Is this a vector, or feature maps of one pixel?"""
    return tap.ndim == 1 or (tap.ndim == 3 and tap.shape[1:] == (1, 1) and len(tap) > 3)


def _stages(taps):
    """Choose the stages to show: not those that change nothing, and of more than ``ROWS`` stages
    one for each size of feature map.

    That one is the last of those with the most channels, which skips the inside of blocks.
    """
    kept = {
        n: t
        for n, t in taps.items()
        if n != "probs" and not n.startswith(("flatten", "dropout", "identity"))
    }
    if len(kept) <= ROWS:
        return kept
    chosen = {}
    for name, tap in kept.items():
        size = tap.shape[1:] or ("vector", len(tap))
        if name != "input" and (size not in chosen or len(tap) >= len(kept[chosen[size]])):
            chosen[size] = name
    return {name: tap for name, tap in kept.items() if name in ("input", *chosen.values())}


def _bars(axes, probs, classes, top):
    best = np.argsort(-probs, kind="stable")[:top][::-1]
    drawn = axes.barh([label(classes[i]) for i in best], probs[best], color=COLOURS[0], height=0.65)
    axes.bar_label(drawn, [f"{probs[i]:.1%}" for i in best], padding=4, fontsize=9)
    axes.set(xlim=(0, 1.15), xlabel="probability")
    axes.grid(axis="y", visible=False)


@styled
def filters(weights: np.ndarray, title: str, most: int = 64) -> Any:
    """Draw the filters (F, C, h, w) of a first layer, at most ``most`` of them.

    Filters of three channels are drawn in colour, each scaled to its own range around mid-grey.
    Other filters are averaged over their channels and share one diverging scale with 0 in its
    middle. Returns a Matplotlib figure.
    """
    shown = weights[:most]
    rows = -(-len(shown) // max(8, math.ceil(math.sqrt(2 * len(shown)))))
    columns = -(-len(shown) // rows)  # rows of nearly equal length
    fig = figure(0.95 * columns + 1.2, 0.95 * rows + 0.6)
    grid = fig.subplots(rows, columns, squeeze=False)
    colour, limit = weights.shape[1] == 3, np.abs(weights.mean(axis=1)).max() or 1.0
    for i, axes in enumerate(grid.ravel()):
        if i >= len(shown):
            axes.set_axis_off()
        elif colour:
            reach = 2 * np.abs(shown[i]).max() or 1.0
            image_axes(axes).imshow(shown[i].transpose(1, 2, 0) / reach + 0.5)
        else:
            image = image_axes(axes).imshow(
                shown[i].mean(axis=0), cmap=DIVERGING, vmin=-limit, vmax=limit
            )
    if not colour:
        fig.colorbar(image, ax=list(grid.ravel()), shrink=0.9, pad=0.02, label="weight")
    fig.suptitle(
        title + (f"; the first {most} of {len(weights)}" if len(weights) > most else ""),
        fontsize=11,
    )
    return fig
