"""``autocnn evaluate``: the loss and accuracy of a trained network."""

from typing import Annotated

import typer

from autocnn import runs, training
from autocnn.cli import output
from autocnn.runs.preprocessing import prepare
from autocnn.text import strict_json

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder", metavar="RUN")],
    data: Annotated[str, typer.Option(help="Data set; default: the one of the run")] = "",
    last: Annotated[
        bool, typer.Option("--last", help="Use the parameters of the last epoch, not the best")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line")] = False,
) -> None:
    """Print a run's loss and accuracy on the validation images of a data set.

    \b
    Examples:
      autocnn evaluate runs/lenet5-mnist
      autocnn evaluate runs/lenet5-mnist --data fashion-mnist
      autocnn evaluate runs/lenet5-mnist --json | jq .accuracy
    """
    config, model, now = runs.load(run, "last" if last else "best")
    dataset = runs.load_data(data or config.data, None if data else config.limit)
    if len(dataset.classes) != len(config.classes):
        raise ValueError(
            f"{run} knows {len(config.classes)} classes, the data have {len(dataset.classes)}"
        )
    x = prepare(dataset.x_val, config.inputs)
    loss, accuracy = training.evaluate(model, now.params, now.state, x, dataset.y_val)
    result = {
        "run": run,
        "data": data or config.data,
        "epoch": now.history["epoch"][-1],
        "images": len(x),
        "loss": loss,
        "accuracy": accuracy,
    }
    if as_json:
        output.echo(strict_json(result))
    else:
        output.echo(f"{len(x):,} images: loss {loss:.4f}, accuracy {accuracy:.2%}")
