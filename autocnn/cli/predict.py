"""``autocnn predict``: the classes of images, by a trained network."""

import shutil
import sys
from typing import Annotated

import numpy as np
import typer

from autocnn import runs, training
from autocnn.cli import errors, output
from autocnn.cli.run_options import Invert, Json, Last, Run
from autocnn.runs.image_files import read_for_run
from autocnn.runs.preprocessing import prepare
from autocnn.text import strict_json, visible

__all__ = ["bar_chart", "predict"]

Prediction = list[tuple[str, float]]  # (class, probability), the most probable first


def predict(
    run: Run,
    images: Annotated[
        list[str], typer.Argument(help="Images of any size, grey or colour", metavar="IMAGE...")
    ],
    top: Annotated[int, typer.Option(help="Number of classes to show", min=1)] = 5,
    invert: Invert = None,
    last: Last = False,
    as_json: Json = False,
) -> None:
    """Print the most probable classes of images, with bars.

    An image is scaled to the size that the network was trained on, with its
    proportions kept. Ink on paper becomes bright on dark if the network was
    trained so, and is cut out and centred if it was trained on digits. Each
    change is printed. Of an animation, the first frame counts.

    An image that cannot be read is reported on stderr, and the exit code is 1;
    it is 2 if none can be read.

    \b
    Examples:
      autocnn predict runs/lenet5-mnist three.png
      autocnn predict runs/lenet5-mnist *.png --json
    """
    config, model, now = runs.load(run, "last" if last else "best")
    read, failed = [], []
    for path in images:
        try:
            read.append((path, *read_for_run(path, config, invert)))
        except ValueError as error:
            failed.append((path, str(error)))
    if not read:
        raise errors.Lines("\nautocnn: ".join(visible(error) for _, error in failed))
    for _, error in failed:
        output.error(error)
    x = prepare(np.stack([x for _, x, _ in read]), config.inputs)
    probs = training.predict(model, now.params, now.state, x)
    predictions = [_top_classes(p, config.classes, top) for p in probs]
    if as_json:
        results = [
            {"image": path, "changes": steps, "top": _json_rows(prediction)}
            for (path, _, steps), prediction in zip(read, predictions, strict=True)
        ]
        unread = [{"image": path, "error": error} for path, error in failed]
        output.echo(strict_json({"run": run, "predictions": results, "failed": unread}))
    else:
        width = shutil.get_terminal_size().columns
        blocks = [
            f"{visible(path)}{': ' if steps else ''}{', '.join(steps)}\n"
            f"{bar_chart(prediction, width)}"
            for (path, _, steps), prediction in zip(read, predictions, strict=True)
        ]
        output.echo("\n\n".join(blocks))
    if failed:
        raise typer.Exit(1)


def bar_chart(prediction: Prediction, width: int) -> str:
    """Return a line for each (name, probability), with a bar, in at most ``width`` columns."""
    prediction = [(visible(name), p) for name, p in prediction]
    longest = max(len(name) for name, _ in prediction)
    name_width = max(8, min(longest, width - 24))
    bar_width = max(4, min(50, width - name_width - 12))
    lines = [
        f"  {_shorten(name, name_width):<{name_width}} {p:7.2%}  {_bar(p, bar_width)}".rstrip()
        for name, p in prediction
    ]
    return "\n".join(lines)


def _top_classes(probs: np.ndarray, classes: tuple[str, ...], top: int) -> Prediction:
    return [(classes[k], float(probs[k])) for k in np.argsort(-probs, kind="stable")[:top]]


def _json_rows(prediction: Prediction) -> list[dict[str, str | float]]:
    return [{"class": name, "probability": p} for name, p in prediction]


def _shorten(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _bar(fraction: float, width: int) -> str:
    """A bar in steps of an eighth of a column; of # where the encoding has no block characters."""
    eighths = round(fraction * width * 8)
    bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    try:
        bar.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#" * round(fraction * width)
    return bar
