"""``autocnn evaluate``: judge what is in a run folder."""

from typing import Annotated

import typer

from autocnn import runs, training
from autocnn.cli.settings import dataset
from autocnn.runs import preprocessing
from autocnn.text import strict_json

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder", metavar="RUN")],
    data: Annotated[str, typer.Option(help="Another data set than the run's own")] = "",
    last: Annotated[
        bool, typer.Option("--last", help="The parameters of the last epoch instead of the best")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line")] = False,
):
    """Print a run's loss and accuracy on the validation images of a data set, its own when --data
    is left out.

    \b
    Examples:
      autocnn evaluate runs/lenet5-mnist
      autocnn evaluate runs/lenet5-mnist --data fashion-mnist
      autocnn evaluate runs/lenet5-mnist --json | jq .accuracy
    """
    saved = runs.load(run, "last" if last else "best")
    pictures = dataset(data or saved.config["data"], None if data else saved.config["limit"])
    if len(pictures.classes) != len(saved.config["classes"]):
        raise ValueError(
            f"{run} knows {len(saved.config['classes'])} classes, the data have {len(pictures.classes)}"
        )
    x = preprocessing.prepare(pictures.x_val, preprocessing.Inputs(**saved.config["inputs"]))
    loss, accuracy = training.evaluate(
        saved.model, saved.moment.params, saved.moment.state, x, pictures.y_val
    )
    about = {
        "run": run,
        "data": data or saved.config["data"],
        "epoch": saved.moment.history["epoch"][-1],
        "images": len(x),
    }
    about |= {"loss": loss, "accuracy": accuracy}
    typer.echo(
        strict_json(about)
        if as_json
        else f"{len(x):,} images: loss {loss:.4f}, accuracy {accuracy:.2%}"
    )
