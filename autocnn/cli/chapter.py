"""``autocnn chapter``: every experiment of the chapter, beside what the chapter reports, once or
over many seeds.
"""

import os
import time
from typing import Annotated

import typer
from tqdm import tqdm

from autocnn.cli.output import MAX_COUNT
from autocnn.experiments import chapter as run_chapter
from autocnn.experiments import repetitions, report
from autocnn.experiments import seeds as repeated
from autocnn.experiments.lab import Lab
from autocnn.models.interpretations import ENGINES
from autocnn.text import paragraphs, strict_json, table


def chapter(
    engine: Annotated[
        str,
        typer.Option(
            help="fast, autograd, reference, or both: every gradient compared; with --seeds fast"
        ),
    ] = "",
    sections: Annotated[
        str, typer.Option(help="Sections such as 25.1,25.4; all when left out", metavar="LIST")
    ] = "",
    seeds: Annotated[
        int | None,
        typer.Option(help="Repeat over so many draws of pictures and weights", max=MAX_COUNT),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="With --seeds: processes, one a core when left out", max=1000)
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder for figures, results.json and report.html", metavar="FOLDER")
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of a table")
    ] = False,
):
    """Reproduce the chapter's experiments and compare them with what it reports.

    Prints one table (published value, this run, agreement) and writes a folder
    with every figure, results.json and report.html, which needs no other file:
    the folder chapter, or chapter-seeds with --seeds.

    With --seeds, each experiment that depends on a seed is repeated over
    pictures and weights that share no random stream, and the table tells n,
    means and 95 % intervals, of paired differences where networks saw the same
    pictures.

    \b
    Examples:
      autocnn chapter
      autocnn chapter --sections 25.4 --engine reference
      autocnn chapter --seeds 20
      autocnn chapter --json | jq .gradients
    """
    if engine and engine not in (*ENGINES, "both"):
        raise ValueError(
            f"there is no engine {engine!r}; use --engine {', '.join(ENGINES)} or both"
        )
    if seeds is not None and engine == "both":
        raise ValueError(
            "--seeds repeats through one engine; use --engine fast, autograd or reference, or leave --seeds away"
        )
    wanted = [s.strip() for s in sections.split(",") if s.strip()] or None
    needed = (
        repetitions(wanted) if seeds is None else []
    )  # a section that there is not is told before anything is written
    folder, start = (
        report.check_folder(out or ("chapter" if seeds is None else "chapter-seeds")),
        time.perf_counter(),
    )
    with tqdm(
        desc="training", unit=" runs", bar_format="{desc}: {n} runs, {elapsed} {postfix}"
    ) as bar:

        def tick(label):
            bar.set_postfix_str(label, refresh=False)
            bar.update()

        if seeds is None:
            lab = Lab(engine or "both", tick)
            if (os.cpu_count() or 1) > 1:
                lab.prepare(needed)
            found = run_chapter(lab, wanted)
        else:
            found, lab = repeated.chapter(
                seeds, wanted, engine=engine or "fast", workers=workers, tick=tick
            )
        bar.set_postfix_str("drawing figures")
        paths = report.write(folder, found, lab)
        bar.set_postfix_str("done")
    if as_json:
        typer.echo(strict_json(report.results(found, lab)))
        return
    typer.echo(table(report.HEADERS, report.comparison(found)))
    typer.echo(paragraphs(f"\n{report.legend(found)}\n{report.gradients_sentence(lab)}"))
    if seeds is not None:
        for section in found:
            typer.echo(
                paragraphs(f"\n{section.number} {section.title}\n{section.found}\n{section.wrong}")
            )
    typer.echo(
        f"\n{len(paths)} files in {folder} after {time.perf_counter() - start:.1f} s; read {folder / 'report.html'}"
    )
