"""The figure of a learning rate range test."""

from typing import TYPE_CHECKING, Any

from autocnn.plots.style import COLOURS, GREY, figure, styled

if TYPE_CHECKING:
    from autocnn.training import RateSearch

__all__ = ["range_test"]


@styled
def range_test(found: "RateSearch") -> Any:
    """Draw the loss by the rate, of each batch and smoothed, with the rates that follow from it.

    Returns a Matplotlib figure.
    """
    fig = figure(7, 4)
    axes = fig.subplots()
    axes.plot(found.rates, found.losses, ".", color=GREY, alpha=0.45, label="each batch")
    axes.plot(found.rates, found.smoothed, color=COLOURS[0], label="smoothed")
    top = max(found.smoothed[: max(1, len(found.smoothed) // 2)], default=1.0)
    low = min(found.losses, default=0.0)
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(min(0.0, low), 1.6 * top))
    title = "the loss fell at none of these rates"
    if found.suggestion is not None:
        title = f"suggested rate {found.suggestion:.2g}"
        for rate, colour, name in (
            (found.steepest, COLOURS[1], "steepest"),
            (found.tenth, COLOURS[2], "a tenth of the least loss's"),
        ):
            axes.axvline(rate, color=colour, linewidth=1.5, label=f"{name}: {rate:.2g}")
    axes.set_title(title)
    axes.legend()
    return fig
