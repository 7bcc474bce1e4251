"""``autocnn exercise``: the chapter's exercises, solved over several seeds."""

from typing import Annotated

import typer
from tqdm import tqdm

from autocnn.cli import output
from autocnn.cli.chapter import PROGRESS, progress
from autocnn.cli.output import MAX_COUNT
from autocnn.experiments import exercises, report
from autocnn.models.interpretations import INTERPRETATIONS
from autocnn.text import strict_json, visible


def exercise(
    number: Annotated[str, typer.Argument(help="25.1 to 25.5, or 1 to 5", metavar="N")],
    seeds: Annotated[
        int,
        typer.Option(help="Repetitions of each network, over images and weights", max=MAX_COUNT),
    ] = 8,
    engine: Annotated[
        str, typer.Option(help=f"What computes the gradients: {', '.join(INTERPRETATIONS)}")
    ] = "fast",
    workers: Annotated[
        int | None, typer.Option(help="Processes; default: one per core", max=1000)
    ] = None,
    out: Annotated[str, typer.Option(help="Folder for the figure", metavar="FOLDER")] = "exercises",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON instead of a table")
    ] = False,
):
    """Solve an exercise of the chapter: the question, a table with 95 % intervals, a figure, and an
    answer in two sentences.

    25.1 a fifth class; 25.2 kernels of 2, 3 and 5; 25.3 stride 2 without pooling; 25.4 dropout 0.3;
    25.5 1 to 8 filters.

    \b
    Examples:
      autocnn exercise 25.1
      autocnn exercise 5 --seeds 20
    """
    exercises.check_number(number)
    folder = report.check_folder(out)
    with tqdm(desc="exercise", total=0, bar_format=PROGRESS) as bar:
        solved = exercises.exercise(
            number, seeds, engine=engine, workers=workers, on_result=progress(bar)
        )
    paths = report.draw(folder, solved.figures)
    if as_json:
        parts = {
            "exercise": solved.number,
            "question": solved.question,
            "answer": solved.answer,
            "networks": solved.numbers,
        }
        output.echo(strict_json(parts))
        return
    output.echo(f"{solved!r}\n\nfigure: {', '.join(map(visible, paths))}")
