"""A figure of images as a network sees them, each with its answer."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autocnn.plots.style import IMAGE, figure, image_axes, label, styled

__all__ = ["seen"]

COLUMNS = 6
MOST = 60  # images of a figure


@styled
def seen(images: Sequence[np.ndarray], titles: Sequence[str]) -> Any:
    """Draw images (C, H, W) in [0, 1], at most 60, six in a row, each under its title.

    Returns a Matplotlib figure.
    """
    shown = min(len(images), MOST)
    columns = min(shown, COLUMNS)
    rows = -(-shown // columns)
    fig = figure(1.7 * columns + 0.3, 1.95 * rows + 0.3)
    grid = fig.subplots(rows, columns, squeeze=False)
    for k, axes in enumerate(grid.ravel()):
        if k >= shown:
            axes.set_axis_off()
            continue
        x = np.clip(images[k], 0, 1)
        image_axes(axes).imshow(
            x.transpose(1, 2, 0) if len(x) == 3 else x[0], cmap=IMAGE, vmin=0, vmax=1
        )
        axes.set_title(label(titles[k]), fontsize=8, fontweight="normal", loc="center")
    return fig
