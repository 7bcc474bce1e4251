"""``autocnn exercise``: the chapter's exercises, solved over several seeds."""

from typing import Annotated

import typer

from autocnn.cli import output
from autocnn.cli.countdown import Countdown
from autocnn.cli.output import MAX_COUNT
from autocnn.experiments import exercises, report
from autocnn.experiments.questions import NUMBERS, QUESTIONS, check_number
from autocnn.models.interpretations import INTERPRETATIONS, interpretation
from autocnn.text import paragraphs, strict_json, table, visible

__all__ = ["exercise"]


def exercise(
    number: Annotated[
        str,
        typer.Argument(
            help="1 to 5 (the chapter's exercises 25.1 to 25.5); default: list them",
            metavar="N",
            show_default=False,
        ),
    ] = "",
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

    Without a number, lists the exercises. The chapter numbers exercises as it
    numbers sections: exercise 3 is its exercise 25.3, and 25.3 is accepted too.

    \b
    Examples:
      autocnn exercise
      autocnn exercise 3
      autocnn exercise 5 --seeds 20
    """
    if not number:
        _list(as_json)
        return
    check_number(number)
    if engine != "both":
        interpretation(engine)  # refuse other names before a folder is made
    folder = report.check_folder(out)
    with Countdown(f"exercise {number}") as countdown:
        solved = exercises.exercise(
            number, seeds, engine=engine, workers=workers, on_result=countdown
        )
    # The figures last: a full disk must not keep the answer back.
    if as_json:
        parts = {
            "exercise": solved.number,
            "question": solved.question,
            "answer": solved.answer,
            "networks": solved.numbers,
        }
        output.echo(strict_json(parts))
        report.draw(folder, solved.figures)
        return
    output.echo(repr(solved))
    paths = report.draw(folder, solved.figures)
    output.echo(f"\nfigure: {', '.join(map(visible, paths))}")


def _list(as_json: bool) -> None:
    if as_json:
        output.echo(strict_json({f"25.{n}": question for n, question in QUESTIONS.items()}))
        return
    rows = [(f"25.{n}", question, f"autocnn exercise {n}") for n, question in QUESTIONS.items()]
    output.echo(table(("exercise", "question", "solution"), rows))
    output.echo(paragraphs(f"\n{NUMBERS}"))
