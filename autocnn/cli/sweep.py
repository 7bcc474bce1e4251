"""``autocnn sweep``: train one network at every point of a grid, for several seeds, over
processes or machines.
"""

import contextlib
import functools
from pathlib import Path
from typing import Annotated

import typer

from autocnn import models
from autocnn.cli.output import MOST
from autocnn.data import load
from autocnn.models.interpretations import ENGINES
from autocnn.models.interpretations import engine as vocabulary
from autocnn.sweeps import pool
from autocnn.sweeps import sweep as run_sweep
from autocnn.text import paragraphs, strict_json

NETWORKS = {"tiny-cnn": models.tiny_cnn, "tiny-mlp": models.tiny_mlp, "lenet5": models.lenet5}


def sweep(
    network: Annotated[
        str,
        typer.Argument(
            help=", ".join(NETWORKS),
            metavar="NETWORK",
            autocompletion=lambda incomplete: [
                name for name in NETWORKS if name.startswith(incomplete)
            ],
        ),
    ],
    grid: Annotated[
        list[str],
        typer.Option(help="filters=1:8 or hidden=1,2,4; may be repeated", metavar="NAME=VALUES"),
    ],
    seeds: Annotated[int, typer.Option(help="Trials at each point, seeds 0, 1, ...", max=MOST)] = 8,
    data: Annotated[
        str, typer.Option(help="patterns (drawn anew for each seed), digits, mnist, or a folder")
    ] = "patterns",
    epochs: Annotated[int, typer.Option(help="Passes through the training images")] = 80,
    batch_size: Annotated[int, typer.Option(help="Images a step")] = 18,
    rate: Annotated[float, typer.Option(help="Learning rate of plain SGD")] = 0.12,
    engine: Annotated[
        str, typer.Option(help=f"What computes the gradients: {', '.join(ENGINES)}")
    ] = "fast",
    out: Annotated[
        str, typer.Option(help="Folder; sweeps/NETWORK-NAMES when left out", metavar="FOLDER")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(help="Processes, one for each core when left out", max=1000)
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="Address of a Dask scheduler; local starts a cluster here")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of a table")
    ] = False,
):
    """Train a network for each combination of options and each seed, and tell means with 95 %
    intervals.

    Each trial is stored in FOLDER/trials.jsonl as it finishes; the same command
    again goes on where a sweep was stopped, and may have more seeds or values.
    The options are those of the network's function, and epochs, batch_size and
    rate.

    \b
    Examples:
      autocnn sweep tiny-cnn --grid filters=1:8 --seeds 20
      autocnn sweep tiny-cnn --grid kernel=2,3,5 --grid classes=3:5
      autocnn sweep tiny-mlp --grid hidden=1:64 --scheduler tcp://10.0.0.1:8786
    """
    if network not in NETWORKS:
        raise ValueError(
            f"there is no network {network!r} to sweep; the networks are {', '.join(NETWORKS)}"
        )
    points = dict(_option(text) for text in grid)
    if len(points) < len(grid):
        raise ValueError(
            "each option may be named by one --grid; give its values together, such as --grid filters=1:4,8"
        )
    build = functools.partial(NETWORKS[network], nn=vocabulary(engine))
    if data != "patterns" and "classes" not in points:
        build = functools.partial(build, classes=len(load(data).classes))
    build.__name__ = network  # what messages call it
    folder = Path(out or f"sweeps/{'-'.join((network, *points))}")
    options = dict(
        data=data,
        epochs=epochs,
        batch_size=batch_size,
        rate=rate,
        out=folder / "trials.jsonl",
        progress=True,
    )
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(pool.dask(scheduler, workers)) if scheduler else None
        try:
            found = run_sweep(build, points, seeds, executor, workers=workers, **options)
        except KeyboardInterrupt:
            typer.echo(
                f"stopped; the finished trials are in {folder}, and the same command goes on with the others",
                err=True,
            )
            raise typer.Exit(130) from None
        except OSError as error:
            typer.echo(f"autocnn: cannot write to {folder}: {error.strerror or error}", err=True)
            raise typer.Exit(1) from None
    _tell(found, folder, as_json)
    for trial in found.failed:
        where = ", ".join(f"{name} {trial[name]}" for name in (*found.names, "seed"))
        typer.echo(f"autocnn: the trial with {where} failed: {trial['error']}", err=True)
    if found.failed:
        raise typer.Exit(1)


def _tell(found, folder, as_json):
    """Draw the figure and print the table, or everything as JSON."""
    from autocnn.plots import sweep as plots  # matplotlib takes a second to import

    summary = found.summary()
    plots.points(summary, found.trials, found.names).savefig(folder / "sweep.png")
    if as_json:
        typer.echo(
            strict_json({"trials": found.trials, "summary": summary, "failed": len(found.failed)})
        )
        return
    typer.echo(repr(found))
    typer.echo(
        paragraphs(
            f"accuracy: on the validation images after the last epoch\n\n{folder}: trials.jsonl, sweep.png"
        )
    )


def _option(text):
    """Read NAME=VALUES, the values whole numbers FROM:TO (both included), numbers, words or
    none, between commas.
    """
    name, equals, values = text.partition("=")
    found = [
        value for part in values.split(",") if part.strip() for value in _values(part.strip(), text)
    ]
    if not (equals and name.strip() and found):
        raise ValueError(
            f"--grid needs an option and its values, such as filters=1:8 or kernel=2,3,5; got {text!r}"
        )
    return name.strip().replace("-", "_"), found


def _values(part, text):
    if ":" in part:
        try:
            low, high = map(int, part.split(":"))
        except ValueError:
            raise ValueError(
                f"a range is FROM:TO in whole numbers, such as filters=1:8; got {text!r}"
            ) from None
        if low > high:
            raise ValueError(f"the range {part} is empty; write {high}:{low}")
        if high - low >= MOST:
            raise ValueError(
                f"the range {part} has more than {MOST:,} values; give steps as a list, such as filters=1,10,100"
            )
        return range(low, high + 1)
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return [kind(part)]
    return [None if part == "none" else part]
