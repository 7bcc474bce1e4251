"""``autocnn evaluate``: the loss and accuracy of a trained network, class by class."""

from typing import Annotated, Any

import typer

from autocnn import runs
from autocnn.cli import output
from autocnn.cli.run_options import Engine, note_precision
from autocnn.runs.answers import network_outputs, run_calibration, run_outputs
from autocnn.runs.preprocessing import prepare
from autocnn.runs.scores import class_scores, scores
from autocnn.text import shape_text, strict_json, table, visible

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[str, typer.Argument(help="Run folder", metavar="RUN")],
    data: Annotated[str, typer.Option(help="Data set; default: the one of the run")] = "",
    engine: Engine = "autograd",
    last: Annotated[
        bool, typer.Option("--last", help="Use the parameters of the last epoch, not the best")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table")] = False,
) -> None:
    """Print a run's loss and accuracy on the test images of a data set, or on its
    validation images if it has no others.

    A table has the precision and the recall of each class, how many images it has,
    and the class that it is most often taken for. The last lines say how far the
    probabilities are from the share that is right: the expected calibration error
    (ECE) and the loss (NLL), as the network gives them and with the temperature
    that the run keeps, by which autocnn predict calibrates them.

    --engine onnxruntime and openvino run the network's ONNX graph, in float32,
    where these packages are installed (pip install 'autocnn[openvino]').

    \b
    Examples:
      autocnn evaluate runs/lenet5-mnist
      autocnn evaluate runs/lenet5-mnist --engine openvino
      autocnn evaluate runs/lenet5-mnist --data fashion-mnist
      autocnn evaluate runs/lenet5-mnist --json | jq .accuracy
    """
    saved = runs.load(run, "last" if last else "best")
    config = saved.config
    dataset = runs.run_data(config, data)
    for note in dataset.notes:
        output.echo(visible(note), err=True)
    if len(dataset.classes) != len(config.classes):
        raise ValueError(
            f"{run} knows {len(config.classes)} classes, the data have {len(dataset.classes)}"
        )
    if dataset.classes != config.classes:
        theirs, own = (visible(", ".join(names)) for names in (dataset.classes, config.classes))
        output.echo(f"the data's classes are {theirs}; they count as the run's {own}", err=True)
    which = "validation" if dataset.x_test is None else "test"
    x, y = dataset.x_val, dataset.y_val
    if which == "test":
        x, y = dataset.x_test, dataset.y_test
    if x.shape[1:] != config.shape:
        raise ValueError(
            f"{run} was trained on images of {shape_text(config.shape, 'x')}, the data have "
            f"{shape_text(x.shape[1:], 'x')}"
        )
    note_precision(engine, config)
    outputs = network_outputs(run_outputs(saved, engine), prepare(x, config.inputs))
    calibration, why = run_calibration(run, saved)
    found = scores(outputs, y, calibration)
    rows = class_scores(outputs.argmax(axis=1), y, config.classes)
    result = {
        "run": run,
        "data": data or config.data,
        "set": which,
        "epoch": saved.train_state.history["epoch"][-1],
        "images": len(x),
        "loss": found["loss"],
        "accuracy": found["accuracy"],
        "classes": rows,
        "calibration": found["calibration"],
    }
    if as_json:
        output.echo(strict_json(result))
        return
    loss, accuracy = found["loss"], found["accuracy"]
    output.echo(
        f"{len(x):,} {which} images: loss {loss:.4f}, accuracy {accuracy:.2%}\n\n"
        f"{_listing(rows)}\n\n{_calibration_text(found['calibration'], why)}"
    )


def _listing(rows: list[dict[str, Any]]) -> str:
    cells = [
        (
            visible(row["class"]),
            row["images"],
            *("" if row[k] is None else f"{row[k]:.1%}" for k in ("precision", "recall")),
            "" if row["taken_for"] is None else f"{visible(row['taken_for'])} ({row['times']})",
        )
        for row in rows
    ]
    return table(("class", "images", "precision", "recall", "most often taken for"), cells)


def _calibration_text(found: dict[str, float | None], why: str) -> str:
    text = (
        f"as the network gives them: ECE {found['ece_before']:.2%}, NLL {found['nll_before']:.4f}"
    )
    if found["temperature"] is None:
        return f"probabilities {text}; not calibrated: {visible(why)}"
    return (
        f"probabilities {text}\n"
        f"with temperature {found['temperature']:.3f}: ECE {found['ece']:.2%}, "
        f"NLL {found['nll']:.4f}"
    )
