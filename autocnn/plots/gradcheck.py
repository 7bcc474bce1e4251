"""Figures of a gradient check: where the gradient is wrong, and how its Taylor remainder falls."""

import math
from typing import Any

import numpy as np

from autocnn.gradcheck.report import Report
from autocnn.gradcheck.taylor import remainders, worst_leaf
from autocnn.plots.style import COLOURS, DIVERGING, GREY, figure, styled

__all__ = ["error_map", "mosaic", "overview", "taylor_slopes"]


def mosaic(a: Any) -> np.ndarray:
    """Arrange an array of up to four axes as one image: (A, B, h, w) -> A x B tiles of (h, w).

    The gaps between the tiles, one pixel wide, are NaN.
    """
    a = np.asarray(a, dtype=float)
    if a.ndim <= 2:
        return np.atleast_2d(a)
    a = a.reshape(-1, *a.shape[-3:]) if a.ndim > 3 else a[None]
    rows, columns, h, w = a.shape
    if rows == 1 and columns > 8:  # arrange a long row of tiles in several rows
        width = math.ceil(math.sqrt(columns))
        tiles = np.concatenate([a[0], np.full((-columns % width, h, w), np.nan)])
        a = tiles.reshape(-1, width, h, w)
        rows, columns = a.shape[:2]
    image = np.full((rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan)
    for i in range(rows):
        for j in range(columns):
            image[i * (h + 1) : i * (h + 1) + h, j * (w + 1) : j * (w + 1) + w] = a[i, j]
    return image


def _map_axes(fig, report: Report, leaf: str, spec):
    yours, gradient = report.arrays[leaf]
    gap = yours - gradient
    top = float(np.max(np.abs([yours, gradient]))) or 1.0
    parts = [
        ("yours", yours, top),
        ("gradient", gradient, top),
        ("difference", gap, float(np.max(np.abs(gap))) or 1.0),
    ]
    for k, (title, values, limit) in enumerate(parts):
        axes = fig.add_subplot(spec[k])
        image = axes.imshow(mosaic(values), cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="equal")
        axes.set(xticks=[], yticks=[], title=title)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_facecolor("#d9d9d9")  # the gaps between tiles
        bar = fig.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=5)


@styled
def error_map(report: Report, leaf: str | None = None) -> Any:
    """Draw your gradient, the witness's and their difference for one leaf, as tiles.

    leaf: its name; the one with the largest error unless given.

    The first two share one scale; the difference has its own. Returns a Matplotlib figure. Raises
    ValueError when the leaf was not compared entry by entry (it agrees, has a wrong shape, or is
    too large).
    """
    leaf = leaf or worst_leaf(report)
    if leaf not in report.arrays:
        raise ValueError(
            f"{leaf} was not compared entry by entry; there are maps of: "
            f"{', '.join(report.arrays) or 'none'}"
        )
    fig = figure(11, 4)
    fig.suptitle(_title(report, leaf), x=0.01, ha="left", fontsize=11)
    _map_axes(fig, report, leaf, fig.add_gridspec(1, 3))
    return fig


def _title(report: Report, leaf: str) -> str:
    cause = next((c for c in report.causes if c.leaf == leaf), None)
    return f"{report.label}: {leaf} {report.leaves[leaf].shape}" + (
        f" – {cause.code}" if cause else ""
    )


def _taylor_axes(axes, report: Report, leaf: str):
    r = remainders(report, leaf)
    h, floor = r.steps, np.finfo(float).tiny
    axes.loglog(h, np.maximum(r.yours, floor), "o-", color=COLOURS[1], label="with your gradient")
    axes.loglog(
        h,
        np.maximum(r.witness, floor),
        "s-",
        color=COLOURS[0],
        label="with the witness",
        markersize=4,
    )
    top = max(r.yours[0], r.witness[0], floor)
    for order in (1, 2):
        line = top * 3 * (h / h[0]) ** order
        axes.loglog(h, line, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        k = 6 + 2 * (order == 1)
        axes.annotate(
            f"$h^{order}$", (h[k], line[k]), color=GREY, fontsize=9, ha="right", va="bottom"
        )
    seen = np.concatenate([r.yours, r.witness])
    seen = seen[seen > floor]
    if seen.size:
        axes.set_ylim(seen.min() / 3, top * 10)
    axes.set(
        xlabel="step h",
        ylabel="remainder of the linear model",
        title=f"{leaf}: $h^2$ is right, $h^1$ is wrong",
    )
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.35))


@styled
def taylor_slopes(report: Report, leaf: str | None = None) -> Any:
    """Draw |f(x + h u) - f(x) - h g . u| against h, for your gradient g and the witness's.

    Both axes are logarithmic: a right gradient has slope 2, a wrong one slope 1. leaf: as in
    ``error_map``. Returns a Matplotlib figure.
    """
    fig = figure(6, 4.4)
    _taylor_axes(fig.add_subplot(), report, leaf or worst_leaf(report))
    return fig


@styled
def overview(report: Report) -> Any:
    """Draw ``error_map`` and ``taylor_slopes`` of the leaf with the largest error, side by side.

    If all leaves agree, draw the Taylor slopes only. Returns a Matplotlib figure.
    """
    leaf = worst_leaf(report)
    if leaf not in report.arrays:
        return taylor_slopes(report, leaf)
    fig = figure(15, 4.4)
    fig.suptitle(_title(report, leaf), x=0.01, ha="left", fontsize=11)
    spec = fig.add_gridspec(1, 4, width_ratios=[1, 1, 1, 1.3])
    _map_axes(fig, report, leaf, spec)
    _taylor_axes(fig.add_subplot(spec[3]), report, leaf)
    return fig
