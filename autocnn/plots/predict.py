"""Figures of a trained network: one picture's way through it, and the filters of its first
layer.
"""

import math

import numpy as np

from autocnn.plots.style import COLOURS, DIVERGING, IMAGE, figure, image_axes, styled

__all__ = ["activations", "filters"]

ROWS = 16  # a network of more stages than this shows one stage of each size
MAPS = 8  # of a stage's feature maps, the most active ones


@styled
def activations(taps, classes, top=5):
    """Draw what each stage makes of one picture: {name: (C, H, W) or (D,)}, from "input" to
    "probs".

    Of many feature maps the eight with the largest mean |activation| are shown, in their order,
    each stage on its own scale; vectors and maps of one pixel are strips. The last row holds the
    largest probabilities.
    """
    stages = _stages(taps)
    columns = min(MAPS, max(len(tap) for tap in stages.values() if not _is_strip(tap)))
    heights = [0.45 if _is_strip(tap) else 1.0 for tap in stages.values()] + [
        0.24 * min(top, len(classes)) + 0.3
    ]
    width, height = 1.1 * columns + 2.0, 1.15 * sum(heights) + 0.6
    fig = figure(width, height)
    fig.set_layout_engine(
        "none"
    )  # a hundred axes take seconds to arrange; the margins are in inches
    margins = dict(
        left=1.75 / width, right=1 - 0.25 / width, bottom=0.5 / height, top=1 - 0.1 / height
    )
    grid = fig.add_gridspec(
        len(stages) + 1, columns, height_ratios=heights, hspace=0.22, wspace=0.1, **margins
    )
    for i, (name, tap) in enumerate(stages.items()):
        label = f"{name}\n{' x '.join(map(str, tap.shape))}"
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
            chosen = np.sort(np.argsort(-np.abs(tap).mean(axis=(1, 2)), kind="stable")[:columns])
            row = [image_axes(fig.add_subplot(grid[i, j])) for j in range(len(chosen))]
            for axes, channel in zip(row, chosen, strict=True):
                axes.imshow(tap[channel], cmap=DIVERGING, vmin=-limit, vmax=limit)
                if len(tap) > columns:
                    axes.set_title(
                        f"{channel + 1}", fontsize=7, fontweight="normal", loc="center", pad=2
                    )
            axes = row[0]
        axes.set_ylabel(label, rotation=0, ha="right", va="center", labelpad=10, fontsize=9)
    _bars(fig.add_subplot(grid[-1, :]), taps["probs"], classes, top)
    return fig


def _is_strip(tap):
    """Vectors are drawn as strips, and so are maps of one pixel."""
    return tap.ndim == 1 or (tap.ndim == 3 and tap.shape[1:] == (1, 1) and len(tap) > 3)


def _stages(taps):
    """The stages worth a row: without those that change nothing, and of very many one of each size
    of feature map.

    That is the last of those with the most channels, which leaves out what happens inside a block
    on the way to the next size.
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
    drawn = axes.barh([str(classes[i]) for i in best], probs[best], color=COLOURS[0], height=0.65)
    axes.bar_label(drawn, [f"{probs[i]:.1%}" for i in best], padding=4, fontsize=9)
    axes.set(xlim=(0, 1.15), xlabel="probability")
    axes.grid(axis="y", visible=False)


@styled
def filters(weights, title, most=64):
    """Draw the filters (F, C, h, w) of a first layer: in colour for three channels, as the mean of
    the channels otherwise.

    Colour filters are each scaled to their own range around mid-grey, the others share one
    diverging scale with 0 in its middle.
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
