"""``autocnn trace``: all layers' outputs for one image."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from autocnn import runs
from autocnn import trace as trace_model
from autocnn.cli import output
from autocnn.cli.run_options import Image, Invert, Json, Last, Out, Run, save_figure
from autocnn.runs.image_files import read_for_run
from autocnn.runs.preprocessing import prepare
from autocnn.text import shape_text, strict_json, table, visible

__all__ = ["trace"]


def trace(
    run: Run,
    image: Image,
    out: Out = "",
    invert: Invert = None,
    last: Last = False,
    channel: Annotated[
        int | None,
        typer.Option(
            help="Follow this channel, the first is 1: it comes first in every row, framed",
            min=1,
            metavar="N",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Follow one image through the network: a figure of all layers' outputs, and a table.

    Rows show the same channels from one convolution to the next, so that each can
    be followed down its column; a convolution mixes channels, and the rows after
    it show others. Every map has its channel's number. With --channel, the table
    is of that channel alone.

    \b
    Examples:
      autocnn trace runs/lenet5-mnist three.png --out three-inside.png
      autocnn trace runs/lenet5-mnist three.png --channel 2 --out three.svg
    """
    from autocnn.plots.predict import activations  # matplotlib takes a second to import

    config, model, now = runs.load(run, "last" if last else "best")
    x, steps = read_for_run(image, config, invert)
    outputs = trace_model(model, now.params, now.state, prepare(x[None], config.inputs))
    outputs = {name: y[0] for name, y in outputs.items()}
    figure = activations(outputs, config.classes, channel=channel)
    path = save_figure(figure, out or Path(run) / f"trace-{Path(image).stem}.png")
    rows = [_row(name, y, channel) for name, y in outputs.items()]
    if as_json:
        result = {"run": run, "image": image, "changes": steps, "figure": path, "layers": rows}
        result |= {} if channel is None else {"channel": channel}
        output.echo(strict_json(result))
        return
    output.echo(_listing(rows, shutil.get_terminal_size().columns))
    output.echo(f"\n{visible(image)}{': ' if steps else ''}{', '.join(steps)}\n{visible(path)}")


def _row(name: str, y: np.ndarray, channel: int | None) -> dict[str, Any]:
    """The table's row for a layer: of all channels, or of one in maps that have it."""
    values = y if channel is None or y.ndim != 3 or len(y) < channel else y[channel - 1]
    return {
        "layer": name,
        "shape": y.shape,
        "mean": float(values.mean()) + 0.0,  # + 0.0: never "-0"
        "min": float(values.min()) + 0.0,
        "max": float(values.max()) + 0.0,
    }


def _listing(rows: list[dict], width: int) -> str:
    """A table; on a narrow terminal without the minima and with fewer digits."""
    columns, digits = (("mean", "min", "max"), ".3g") if width >= 60 else (("mean", "max"), ".2f")
    cells = [
        (row["layer"], shape_text(row["shape"], "x"), *(f"{row[c]:{digits}}" for c in columns))
        for row in rows
    ]
    return table(("layer", "output", *columns), cells)
