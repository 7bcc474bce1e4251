"""``autocnn sweep``: train a network at every point of a grid, with several seeds each."""

import contextlib
import functools
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from autocnn.checkpoint.lock import LockedError
from autocnn.cli import interrupt, output
from autocnn.cli.output import MAX_COUNT
from autocnn.cli.run_options import save_figure
from autocnn.data import load
from autocnn.models.interpretations import INTERPRETATIONS, interpretation
from autocnn.models.networks import NETWORKS
from autocnn.models.networks import network as find_network
from autocnn.runs.own_network import is_own
from autocnn.sweeps import Between, Sweep, cluster, slurm
from autocnn.sweeps import search as run_search
from autocnn.sweeps import sweep as run_sweep
from autocnn.sweeps.pool import SchedulerLostError
from autocnn.text import paragraphs, strict_json, visible

__all__ = ["sweep"]


def _complete(incomplete: str) -> list[str]:
    return [name for name in NETWORKS if name.startswith(incomplete)]


def sweep(
    network: Annotated[
        str, typer.Argument(help=", ".join(NETWORKS), metavar="NETWORK", autocompletion=_complete)
    ],
    grid: Annotated[
        list[str],
        typer.Option(help="filters=1:8 or hidden=1,2,4; may be repeated", metavar="NAME=VALUES"),
    ],
    seeds: Annotated[
        int, typer.Option(help="Trials at each point, with the seeds 0, 1, ...", max=MAX_COUNT)
    ] = 8,
    data: Annotated[
        str, typer.Option(help="patterns (drawn anew for each seed), digits, mnist, or a folder")
    ] = "patterns",
    epochs: Annotated[int, typer.Option(help="Passes over the training images")] = 80,
    batch_size: Annotated[int, typer.Option(help="Images per step")] = 18,
    rate: Annotated[float, typer.Option(help="Learning rate of plain SGD")] = 0.12,
    engine: Annotated[
        str, typer.Option(help=f"What computes the gradients: {', '.join(INTERPRETATIONS)}")
    ] = "fast",
    out: Annotated[
        str, typer.Option(help="Folder; default: sweeps/NETWORK-NAMES", metavar="FOLDER")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one per core", max=1000)
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help="Address of a Dask scheduler; local starts a cluster here")
    ] = "",
    sampler: Annotated[
        str, typer.Option(help="optuna chooses the points by the results before", metavar="NAME")
    ] = "",
    trials: Annotated[
        int, typer.Option(help="With --sampler: points to try, each with all seeds", max=MAX_COUNT)
    ] = 0,
    executor: Annotated[
        str, typer.Option(help=f"{' or '.join(slurm.EXECUTORS)}: jobs by submitit", metavar="NAME")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of a table")
    ] = False,
) -> None:
    """Train a network for all combinations of options and all seeds; print means with 95 %
    intervals.

    Each trial is stored in FOLDER/trials.jsonl as it finishes. The same command
    continues a sweep that was stopped, and may have more seeds or values. The
    options are those of the network's function, and epochs, batch_size and rate.

    With --sampler optuna, a range may be of any numbers, rate=0.01:1 or
    rate=0.01:1:log, and --trials says how many points of all are tried.

    \b
    Examples:
      autocnn sweep tiny-cnn --grid filters=1:8 --seeds 20
      autocnn sweep tiny-cnn --grid kernel=2,3,5 --grid classes=3:5
      autocnn sweep tiny-mlp --grid hidden=1:64 --scheduler tcp://10.0.0.1:8786
      autocnn sweep tiny-cnn --grid filters=1:64 --grid rate=0.01:1:log --sampler optuna --trials 30
      SBATCH_PARTITION=cpu autocnn sweep tiny-mlp --grid hidden=1:64 --executor slurm
    """
    build = _builder(network, engine)
    if bool(sampler) != bool(trials) or sampler not in ("", "optuna"):
        raise ValueError(
            "give --sampler optuna with --trials, the number of points to try, such as "
            "--sampler optuna --trials 30"
        )
    points = _parse_grid(grid, is_search=bool(sampler))
    run = functools.partial(run_search, points=trials) if sampler else run_sweep
    if data != "patterns" and "classes" not in points:
        build = functools.partial(build, classes=len(load(data).classes))
    build.__name__ = network  # for messages
    folder = Path(out or f"sweeps/{'-'.join((network, *points))}")
    try:
        with _executor(scheduler, executor, folder, workers) as workplace:
            results = run(
                build,
                points,
                seeds=seeds,
                executor=workplace,
                data=data,
                epochs=epochs,
                batch_size=batch_size,
                rate=rate,
                out=folder / "trials.jsonl",
                workers=workers,
                progress=True,
            )
    except KeyboardInterrupt as error:
        rest = f"the finished trials are in {folder}, and the same command continues"
        raise interrupt.stop(error, f"{rest}: {interrupt.command_line()}") from None
    except SchedulerLostError as error:
        rest = f"the finished trials are in {folder}, and the same command continues"
        output.error(f"{error}; {rest}: {interrupt.command_line()}")
        raise typer.Exit(1) from None
    except LockedError as error:
        output.error(error)
        raise typer.Exit(1) from None
    except OSError as error:
        path, why = error.filename or folder / "trials.jsonl", error.strerror or error
        output.error(f"cannot write to {path}: {why}")
        raise typer.Exit(1) from None
    _report(results, folder, as_json, is_search=bool(sampler))
    for trial in results.failed:
        where = ", ".join(f"{name} {trial[name]}" for name in (*results.names, "seed"))
        output.error(f"the trial with {where} failed: {trial['error']}")
    if results.failed:
        raise typer.Exit(1)


def _executor(
    scheduler: str, executor: str, folder: Path, workers: int | None
) -> AbstractContextManager[Any]:
    if scheduler and executor:
        raise ValueError("give --scheduler for Dask or --executor for Slurm, not both")
    if scheduler:
        return cluster.dask(scheduler, workers)
    if executor:
        return slurm.submitit_executor(executor, folder / "jobs", workers)
    return contextlib.nullcontext()


def _builder(network: str, engine: str) -> functools.partial:
    if is_own(network):
        raise ValueError(
            f"a sweep builds networks of the library by name; for {network} call "
            "ac.sweep(function, grid) in Python, or vary it by autocnn train ... --build"
        )
    entry = find_network(network)
    return functools.partial(entry.function or entry.builder, nn=interpretation(engine))


def _report(results: Sweep, folder: Path, as_json: bool, is_search: bool) -> None:
    """Print the table, or everything as JSON; then draw the figure: the disk may be full. A search
    has no figure, and the best points come first.
    """
    if is_search:
        summary = results.summary()
        order = [(row["mean"] is None, -(row["mean"] or 0)) for row in summary]
        size = len(results.trials) // len(summary)
        ranks = sorted(range(len(summary)), key=order.__getitem__)
        ordered = [t for i in ranks for t in results.trials[size * i : size * (i + 1)]]
        results = results._replace(trials=ordered)
    summary = results.summary()
    if as_json:
        everything = {"trials": results.trials, "summary": summary, "failed": len(results.failed)}
        output.echo(strict_json(everything))
    else:
        output.echo(repr(results))
        output.echo(paragraphs("accuracy: on the validation images after the last epoch\n"))
    files = "trials.jsonl"
    if not is_search:
        from autocnn.plots import sweep as plots  # matplotlib takes a second to import

        save_figure(plots.points(summary, results.trials, results.names), folder / "sweep.png")
        files += ", sweep.png"
    if not as_json:
        output.echo(paragraphs(f"{visible(folder)}: {files}"))


def _parse_grid(options: list[str], is_search: bool) -> dict[str, Any]:
    points: dict[str, Any] = {}
    for text in options:
        name, values = _parse_option(text, is_search)
        if name in points:
            raise ValueError(
                "each option may have one --grid; give its values together, such as "
                "--grid filters=1:4,8"
            )
        points[name] = values
    return points


def _parse_option(text: str, is_search: bool) -> tuple[str, Any]:
    """Parse NAME=VALUES, with values between commas: ranges FROM:TO of ints (both included),
    numbers, words, or none.
    """
    name, equals, values = text.partition("=")
    parts = [part.strip() for part in values.split(",") if part.strip()]
    if not (equals and name.strip() and parts):
        raise ValueError(
            "--grid needs an option and its values, such as filters=1:8 or kernel=2,3,5; "
            f"got {text!r}"
        )
    name = name.strip().replace("-", "_")
    if is_search and len(parts) == 1 and ":" in parts[0]:
        return name, _parse_between(parts[0], text)
    return name, [value for part in parts for value in _parse_values(part, text)]


def _parse_between(part: str, text: str) -> Between:
    """Parse a range of ints or floats, FROM:TO or FROM:TO:log."""
    low, high, *log = part.split(":")
    for number in (int, float):
        with contextlib.suppress(ValueError):
            if log in ([], ["log"]):
                return Between(number(low), number(high), bool(log))
    raise ValueError(f"a range is FROM:TO or FROM:TO:log, such as rate=0.01:1:log; got {text!r}")


def _parse_values(part: str, text: str) -> list[Any]:
    if ":" in part:
        return list(_parse_range(part, text))
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return [number(part)]
    return [None if part == "none" else part]


def _parse_range(part: str, text: str) -> range:
    try:
        low, high = map(int, part.split(":"))
    except ValueError:
        raise ValueError(
            f"a range is FROM:TO in whole numbers, such as filters=1:8; got {text!r}"
        ) from None
    if low > high:
        raise ValueError(f"the range {part} is empty; write {high}:{low}")
    if high - low >= MAX_COUNT:
        raise ValueError(
            f"the range {part} has more than {MAX_COUNT:,} values; give steps as a list, such as "
            "filters=1,10,100"
        )
    return range(low, high + 1)
