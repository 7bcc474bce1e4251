"""``autocnn evaluate``: the loss and accuracy of a trained network."""

from typing import Annotated

import typer

from autocnn import runs, training
from autocnn.cli import output
from autocnn.runs.preprocessing import prepare
from autocnn.text import shape_text, strict_json

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder", metavar="RUN")],
    data: Annotated[str, typer.Option(help="Data set; default: the one of the run")] = "",
    last: Annotated[
        bool, typer.Option("--last", help="Use the parameters of the last epoch, not the best")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a line")] = False,
) -> None:
    """Print a run's loss and accuracy on the test images of a data set, or on its
    validation images if it has no others.

    \b
    Examples:
      autocnn evaluate runs/lenet5-mnist
      autocnn evaluate runs/lenet5-mnist --data fashion-mnist
      autocnn evaluate runs/lenet5-mnist --json | jq .accuracy
    """
    config, model, now = runs.load(run, "last" if last else "best")
    dataset = runs.run_data(config, data)
    if len(dataset.classes) != len(config.classes):
        raise ValueError(
            f"{run} knows {len(config.classes)} classes, the data have {len(dataset.classes)}"
        )
    which = "validation" if dataset.x_test is None else "test"
    x, y = dataset.x_val, dataset.y_val
    if which == "test":
        x, y = dataset.x_test, dataset.y_test
    if x.shape[1:] != config.shape:
        raise ValueError(
            f"{run} was trained on images of {shape_text(config.shape, 'x')}, the data have "
            f"{shape_text(x.shape[1:], 'x')}"
        )
    x = prepare(x, config.inputs)
    loss, accuracy = training.evaluate(model, now.params, now.state, x, y)
    result = {
        "run": run,
        "data": data or config.data,
        "set": which,
        "epoch": now.history["epoch"][-1],
        "images": len(x),
        "loss": loss,
        "accuracy": accuracy,
    }
    if as_json:
        output.echo(strict_json(result))
    else:
        output.echo(f"{len(x):,} {which} images: loss {loss:.4f}, accuracy {accuracy:.2%}")
