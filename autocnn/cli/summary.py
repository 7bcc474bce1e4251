"""``autocnn summary``: a network's layers, from its name or from a run folder."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from autocnn import layers as words
from autocnn import models, runs
from autocnn.cli import output
from autocnn.cli.settings import parse_build
from autocnn.inspection.summary import Rows
from autocnn.inspection.summary import summary as layer_rows
from autocnn.models import NETWORKS
from autocnn.runs import own_network
from autocnn.text import did_you_mean, shape_text, strict_json, table

__all__ = ["summary"]


def summary(
    network: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NETWORKS)}; a run folder; or FILE.py:FUNCTION",
            metavar="NETWORK",
            autocompletion=lambda incomplete: [
                name for name in NETWORKS if name.startswith(incomplete)
            ],
        ),
    ],
    shape: Annotated[
        str,
        typer.Option(help="Size of one image; default: the network's own", metavar="C,H,W"),
    ] = "",
    classes: Annotated[
        int | None, typer.Option(help="Number of classes; 10 for your own network", min=1)
    ] = None,
    width: Annotated[
        float, typer.Option(help="Width multiplier: a factor on channels and units")
    ] = 1.0,
    build: Annotated[
        list[str] | None,
        typer.Option(help="Argument of your FUNCTION; may be repeated", metavar="NAME=VALUE"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text")] = False,
):
    """List a network's layers: output shapes, parameters, multiply-adds for one image.

    \b
    Examples:
      autocnn summary resnet50
      autocnn summary vgg16 --shape 3,96,96 --classes 10
      autocnn summary runs/lenet5-mnist
      autocnn summary net.py:build --shape 3,32,32 --classes 10
    """
    options = parse_build(build or [])
    if own_network.is_own(network):
        if not shape:
            raise ValueError("give the size of one image: --shape C,H,W, such as --shape 3,32,32")
        options |= {} if width == 1 else {"width": width}
        model = own_network.build_own(network, 10 if classes is None else classes, options, words)
        own = ()  # it has no size of its own
    elif options:
        raise ValueError(f"--build is for networks of your own; {network} is not one")
    elif network in NETWORKS:
        model, own = models.build(network, classes, width), NETWORKS[network].shape
    elif Path(network).is_dir():
        if classes is not None or width != 1:
            raise ValueError("a run folder has its own --classes and --width; leave them out")
        saved = runs.load(network, "last")
        model, own = saved.model, saved.config.input_shape
    else:
        raise ValueError(
            f"there is no network or run folder {network!r}; the networks are "
            f"{', '.join(NETWORKS)}{did_you_mean(network, NETWORKS)}; a network of your own is "
            "FILE.py:FUNCTION"
        )
    size = _parse_shape(shape) if shape else tuple(own)
    rows = layer_rows(model, size)
    if as_json:
        total = {"parameters": rows.parameters, "multiply_adds": rows.multiply_adds}
        layers = [row._asdict() for row in rows]
        parts = {"network": network, "shape": size, "layers": layers, "total": total}
        output.echo(strict_json(parts))
        return
    output.echo(f"{network}, images of {shape_text(size, 'x')}\n")
    output.echo(_listing(rows, shutil.get_terminal_size().columns))


def _parse_shape(text: str) -> tuple[int, ...]:
    """Parse C,H,W, or CxHxW."""
    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--shape is channels, height and width, such as 3,224,224; got {text}")
    return tuple(map(int, parts))


def _listing(rows: Rows, width: int) -> str:
    """Return the summary as a table of at most ``width`` columns, on a narrow terminal with numbers
    rounded to K, M and G.
    """
    text = rows.text(1000)
    if max(map(len, text.splitlines())) <= width:
        return text
    body = [
        (r.layer, shape_text(r.output_shape, "x"), _short(r.parameters), _short(r.multiply_adds))
        for r in rows
    ]
    total = ("total", "", _short(rows.parameters), _short(rows.multiply_adds))
    return table(("layer", "output", "params", "madds"), [*body, total], width)


def _short(n: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if n >= size:
            return f"{n / size:.3g}{letter}"
    return str(n)
