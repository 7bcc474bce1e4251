"""``autocnn summary``: a network's layers, from its name or from a run folder."""

import math
import shutil
from pathlib import Path
from typing import Annotated

import typer

from autocnn import models, runs
from autocnn.inspection.summary import summary as summarise
from autocnn.text import shape_text, strict_json, table

# Networks by name, with the images that they were made for.
NETWORKS = {
    "tiny-cnn": (models.tiny_cnn, (1, 8, 8)),
    "tiny-mlp": (models.tiny_mlp, (1, 8, 8)),
    "lenet5": (models.lenet5, (1, 28, 28)),
    "lenet5-1998": (models.lenet5, (1, 32, 32)),
    "alexnet": (models.alexnet, (3, 227, 227)),
    "alexnet-2014": (models.alexnet, (3, 224, 224)),
    "vgg16": (models.vgg16, (3, 224, 224)),
    "resnet50": (models.resnet50, (3, 224, 224)),
}
OPTIONS = {"lenet5-1998": {"original": True}, "alexnet-2014": {"towers": 1}}


def summary(
    network: Annotated[
        str,
        typer.Argument(
            help=f"{', '.join(NETWORKS)}; or a run folder",
            metavar="NETWORK",
            autocompletion=lambda incomplete: [
                name for name in NETWORKS if name.startswith(incomplete)
            ],
        ),
    ],
    shape: Annotated[
        str,
        typer.Option(help="Size of one image; the network's own when left out", metavar="C,H,W"),
    ] = "",
    classes: Annotated[int | None, typer.Option(help="Number of classes", min=1)] = None,
    width: Annotated[float, typer.Option(help="Factor on the network's filters and units")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text")] = False,
):
    """List a network's layers: output shapes, parameters, multiply-adds for one image.

    \b
    Examples:
      autocnn summary resnet50
      autocnn summary vgg16 --shape 3,96,96 --classes 10
      autocnn summary runs/lenet5-mnist
    """
    if network in NETWORKS:
        builder, own = NETWORKS[network]
        model = _built(network, builder, classes, width)
    elif Path(network).is_dir():
        if classes is not None or width != 1:
            raise ValueError("a run folder has its own --classes and --width; leave them away")
        saved = runs.load(network, "last")
        model, own = (
            saved.model,
            saved.config.input_shape,
        )
    else:
        raise ValueError(
            f"there is no network or run folder {network!r}; the networks are {', '.join(NETWORKS)}"
        )
    size = _shape(shape) if shape else tuple(own)
    rows = summarise(model, size)
    if as_json:
        total = {"parameters": rows.parameters, "multiply_adds": rows.multiply_adds}
        typer.echo(
            strict_json(
                {
                    "network": network,
                    "shape": size,
                    "layers": [row._asdict() for row in rows],
                    "total": total,
                }
            )
        )
        return
    typer.echo(f"{network}, images of {shape_text(size, 'x')}\n")
    typer.echo(_listing(rows, shutil.get_terminal_size().columns))


def _built(network, builder, classes, width):
    options = OPTIONS.get(network, {})
    if network.startswith("tiny") or network == "lenet5-1998":
        return models.build(network, classes or {"lenet5-1998": 10}.get(network, 3), width)
    if not 0 < width < math.inf:
        raise ValueError(f"width is a factor such as 0.5 or 2; got {width}")
    return builder(classes=classes or {"lenet5": 10}.get(network, 1000), width=width, **options)


def _shape(text):
    """Read C,H,W; 3x224x224 will do as well."""
    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--shape is channels, height and width, such as 3,224,224; got {text}")
    return tuple(map(int, parts))


def _listing(rows, width):
    """The summary as a table; on a narrow terminal numbers are rounded to K, M and G so that it
    fits.
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


def _short(n):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "K")):
        if n >= size:
            return f"{n / size:.3g}{letter}"
    return str(n)
