"""``autocnn chapter``: every experiment of the chapter beside what the chapter reports, once or
over many seeds.
"""

import contextlib
import time
from typing import Annotated, Any

import typer

from autocnn import experiments
from autocnn.cli import output
from autocnn.cli.countdown import Countdown
from autocnn.cli.output import MAX_COUNT
from autocnn.experiments import report
from autocnn.experiments.chapter import jobs
from autocnn.experiments.lab import cost
from autocnn.models.interpretations import INTERPRETATIONS, RUNTIMES, interpretation
from autocnn.text import paragraphs, strict_json, table, visible


def chapter(
    engine: Annotated[
        str,
        typer.Option(
            help="fast, autograd, reference, or both (default): every gradient compared; "
            "with --seeds fast"
        ),
    ] = "",
    sections: Annotated[
        str, typer.Option(help="Sections such as 25.1,25.4, or noise; default: all", metavar="LIST")
    ] = "",
    seeds: Annotated[
        int | None,
        typer.Option(help="Repeat over this many draws of images and weights", max=MAX_COUNT),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one per core", max=1000)
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder for figures, results.json and report.html", metavar="FOLDER")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of a table")
    ] = False,
):
    """Reproduce the chapter's experiments and compare them with what it reports.

    The section "noise" is not the chapter's: harder images, on which the networks
    can be told apart. Its results are in the report.

    Prints one table (published value, this run, agreement) and writes a folder
    with every figure, results.json and report.html, which needs no other file:
    the folder chapter, or chapter-seeds with --seeds.

    With --seeds, each experiment that depends on a seed is repeated over images
    and weights that share no random stream. The table then gives n, means and
    95 % intervals, of paired differences where networks saw the same images.

    \b
    Examples:
      autocnn chapter
      autocnn chapter --sections 25.4 --engine reference
      autocnn chapter --seeds 20
      autocnn chapter --json | jq .gradients
    """
    if engine in RUNTIMES:
        interpretation(engine)  # says what they are for
    if engine and engine not in (*INTERPRETATIONS, "both"):
        raise ValueError(
            f"there is no engine {engine!r}; use --engine {', '.join(INTERPRETATIONS)} or both"
        )
    if seeds is not None and engine == "both":
        raise ValueError(
            "--seeds repeats through one engine; use --engine fast, autograd or reference, or "
            "leave out --seeds"
        )
    start = time.perf_counter()
    engine = engine or ("both" if seeds is None else "fast")
    lab = experiments.Lab(engine, seeds, workers)
    wanted = [s.strip() for s in sections.split(",") if s.strip()] or None
    costs = {job.label: cost(job) for job in jobs(lab, wanted)}
    folder = report.check_folder(out or ("chapter" if seeds is None else "chapter-seeds"))
    with Countdown("chapter", costs) as countdown:
        lab.on_result = countdown
        drawn = []

        def draw(section: Any) -> None:
            with contextlib.suppress(OSError):  # report.write tries again, and says it at the end
                drawn.extend(report.draw(folder, section.figures))

        found = experiments.chapter(lab, wanted, draw)
    if as_json:
        output.echo(strict_json(report.results(found, lab)))
        report.write(folder, found, lab, drawn)
        return
    output.echo(table(report.HEADERS, report.comparison(found)))
    output.echo(paragraphs(f"\n{report.legend(found)}\n{report.gradients_sentence(lab)}"))
    if seeds is not None:
        for section in found:
            text = f"\n{section.number} {section.title}\n{section.found}\n{section.wrong}"
            output.echo(paragraphs(text))
    paths = report.write(folder, found, lab, drawn)
    seconds = time.perf_counter() - start
    page = visible(folder / "report.html")
    output.echo(f"\n{len(paths)} files in {visible(folder)} after {seconds:.1f} s; read {page}")
