"""The style of every figure: colours that colour-blind readers can tell apart, thin axes, legible
labels. Matplotlib, which takes half a second to import, is loaded by the first figure.
"""

import functools
import io
import os
from collections.abc import Callable
from typing import Any

from autocnn.files import atomic_write
from autocnn.text import visible

__all__ = [
    "COLOURS",
    "DIVERGING",
    "GREY",
    "IMAGE",
    "figure",
    "image_axes",
    "label",
    "save",
    "styled",
]

# Okabe and Ito 2008, Color universal design: eight colours, of which these six stand apart on
# white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#6b6b6b"
DIVERGING = "RdBu_r"  # red and blue of equal lightness, safe for common kinds of colour blindness
IMAGE = "gray"
LENGTH = 28  # of names, in characters

STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 110,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "legend.frameon": False,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "image.interpolation": "nearest",
}


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a drawing function to use the project's style, whatever the caller has set."""

    @functools.wraps(draw)
    def wrapped(*args, **kwargs):
        import matplotlib

        cycle = matplotlib.cycler(color=COLOURS)
        with matplotlib.rc_context({**STYLE, "axes.prop_cycle": cycle}):
            return draw(*args, **kwargs)

    return wrapped


def label(name: Any) -> str:
    """Return a name from outside as a figure shows it: without mathematics in dollars, cut where it
    is so long that no room would be left for the axes. Characters that the font lacks become escape
    sequences, as in Python's literals; ``font.family`` of Matplotlib's settings is the font.
    """
    from matplotlib.font_manager import FontProperties

    drawn = _characters(tuple(FontProperties().get_family()))
    text = visible(name)[:LENGTH]
    text = "".join(c if ord(c) in drawn else c.encode("unicode_escape").decode() for c in text)
    text = text if len(text) < LENGTH else f"{text[: LENGTH - 1]}…"
    return text.replace("$", r"\$")


@functools.lru_cache(maxsize=8)
def _characters(families: tuple[str, ...]) -> frozenset[int]:
    """Return the characters that the fonts of some families have."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in families]
    return frozenset(code for font in fonts for code in font.get_charmap())


def figure(width: float, height: float) -> Any:
    """Return a new ``matplotlib.figure.Figure`` of width x height inches that arranges its axes by
    itself. It belongs to no window and needs no display.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Any, **options: Any) -> None:
    """Write a figure of ``figure()`` to a path or a binary file, as ``Figure.savefig`` does.

    A file at a path appears whole or not at all; OSError, with the path, when it cannot be written.

    Its axes are arranged once. ``savefig`` draws a figure that arranges itself twice, which takes
    twice as long.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    try:
        if isinstance(path, (str, os.PathLike)):
            image = io.BytesIO()
            suffix = os.path.splitext(path)[1].removeprefix(".")
            figure.savefig(image, **{"format": suffix or "png"} | options)
            atomic_write(path, image.getvalue())
        else:
            figure.savefig(path, **options)
    finally:
        figure.set_layout_engine(engine)


def image_axes(axes: Any) -> Any:
    """Turn axes into a frame for an image: no ticks, no grid. Returns them."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#c8c8c8")
    return axes
