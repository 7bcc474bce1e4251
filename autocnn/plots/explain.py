"""The figure of an explanation: the image, and the map over it."""

from typing import TYPE_CHECKING, Any

import numpy as np

from autocnn.plots.style import DIVERGING, IMAGE, figure, image_axes, label, styled

if TYPE_CHECKING:
    from autocnn.explanations import Explanation

__all__ = ["explanation"]

HEAT = "magma"  # of maps without a sign: from dark, nothing, to bright; even in lightness
UNSIGNED = ("saliency", "grad-cam")


@styled
def explanation(found: "Explanation") -> Any:
    """Draw an ``Explanation``: the image as it enters the network, and the map over it in grey.

    Maps with a sign are red where they speak for the class, and blue where they speak against it.
    Returns a Matplotlib figure.
    """
    fig = figure(8.4, 4.1)
    left, right = (image_axes(axes) for axes in fig.subplots(1, 2))
    shown = _shown(found.image)
    left.imshow(shown, cmap=IMAGE)
    left.set_title(f"{label(found.name)}, {found.probability:.2%}", fontsize=11)
    grey = shown.mean(axis=2) if shown.ndim == 3 else shown
    low, high = float(grey.min()), float(grey.max())
    # Pale under a map with signs, whose zero is white; dark under heat, whose zero is black.
    is_signed = found.method not in UNSIGNED
    spread = high - low + 1e-9
    limits = (low - 3 * spread, high) if is_signed else (low - 0.6 * spread, high + 0.6 * spread)
    right.imshow(grey, cmap=IMAGE, vmin=limits[0], vmax=limits[1])
    limit = float(np.abs(found.map).max()) or 1.0
    strength = np.abs(found.map) / limit
    drawn = right.imshow(
        found.map,
        cmap=DIVERGING if is_signed else HEAT,
        vmin=-limit if is_signed else 0,
        vmax=limit,
        alpha=np.clip(0.15 + 1.1 * strength, 0, 0.9),
    )
    colours = fig.colorbar(drawn, ax=right, shrink=0.86, pad=0.03)
    colours.solids.set(alpha=1)
    colours.set_label(_meaning(found.method))
    where = f" at {found.layer}" if found.layer else ""
    right.set_title(f"{found.method}{where}", fontsize=11)
    return fig


def _shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) for ``imshow``: grey (H, W), or colours (H, W, 3) in [0, 1]."""
    if len(image) != 3:
        return image.mean(axis=0)
    low, high = min(0.0, float(image.min())), max(1.0, float(image.max()))
    return ((image - low) / (high - low)).transpose(1, 2, 0)


def _meaning(method: str) -> str:
    return {
        "saliency": "|change of the score by the pixel|",
        "occlusion": "fall of the score when covered",
        "grad-cam": "evidence for the class",
        "smoothgrad": "change of the score by the pixel",
    }.get(method, "share in the score")
