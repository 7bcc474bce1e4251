"""``autocnn filters``: the filters of a network's first layer."""

from pathlib import Path

from autocnn import runs
from autocnn.cli import output
from autocnn.cli.run_options import Json, Last, Out, Run, save_figure
from autocnn.text import shape_text, strict_json, visible
from autocnn.trees import leaves

__all__ = ["filters"]


def filters(run: Run, out: Out = "", last: Last = False, as_json: Json = False) -> None:
    """Draw the filters of a network's first layer.

    These are the kernels of a convolution, or the weights of each dense unit.

    \b
    Example:
      autocnn filters runs/lenet5-mnist
    """
    from autocnn.plots.predict import filters as draw  # matplotlib takes a second to import

    config, _, now = runs.load(run, "last" if last else "best")
    weights = next(leaf for _, leaf in leaves(now.params) if leaf.ndim >= 2)
    if weights.ndim == 2:  # (D, units), of a dense layer on the flattened image
        weights = weights.T.reshape(-1, *config.input_shape)
    n, shape = len(weights), weights.shape[1:]
    title = f"{n} filters of {shape_text(shape, 'x')}"
    path = save_figure(
        draw(weights, f"{config.network}: {title}"), out or Path(run) / "filters.png"
    )
    if as_json:
        output.echo(strict_json({"run": run, "figure": path, "filters": n, "shape": shape}))
    else:
        output.echo(f"{title}\n{visible(path)}")
