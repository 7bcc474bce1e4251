"""``autocnn predict``: the classes of images, by a trained network."""

import shutil
import sys
from typing import Annotated, Any

import numpy as np
import typer

from autocnn import runs
from autocnn.cli import errors, output
from autocnn.cli.run_options import (
    Engine,
    Invert,
    Json,
    Last,
    Run,
    note_precision,
    save_figure,
)
from autocnn.images import Fitted
from autocnn.images.blocks import block_image
from autocnn.runs.answers import Answer, answers, run_calibration
from autocnn.runs.image_files import read_image
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
    show: Annotated[
        bool, typer.Option("--show", help="Draw each image as the network sees it")
    ] = False,
    out: Annotated[
        str,
        typer.Option(
            help="File for a figure of the images as the network sees them", metavar="FILE.png"
        ),
    ] = "",
    engine: Engine = "autograd",
    last: Last = False,
    as_json: Json = False,
) -> None:
    """Print the most probable classes of images, with bars.

    An image is scaled to the size that the network was trained on, with its
    proportions kept. For a network trained on digits, the ink is found by its
    contrast with the paper around it, cut out and centred; specks, frames, ruled
    lines and shadows are left out. For one trained on Fashion-MNIST, the margin
    around the object is cut off. Each change is printed, --show draws the result,
    and a page without ink is refused. Of an animation, the first frame counts.

    Probabilities are calibrated on the run's validation images. An answer is
    marked doubtful when its probability is below 80 %, the image was hard to read,
    or it is unlike the images of the training.

    An image that cannot be read is reported on stderr, and the exit code is 1;
    it is 2 if none can be read.

    --engine onnxruntime and openvino run the network's ONNX graph, in float32,
    where these packages are installed (pip install 'autocnn[openvino]').

    \b
    Examples:
      autocnn predict runs/lenet5-mnist three.png --show
      autocnn predict runs/lenet5-mnist *.png --json --engine onnxruntime
      autocnn predict runs/lenet5-mnist *.jpg --out seen.png
    """
    saved = runs.load(run, "last" if last else "best")
    note_precision(engine, saved.config)
    calibration, why = run_calibration(run, saved)
    paths, fitted, failed = _read(images, saved.config, invert)
    found = answers(saved, calibration, fitted, engine)
    predictions = [_top_classes(one.probabilities, saved.config.classes, top) for one in found]
    if out:
        from autocnn.plots.seen import seen  # matplotlib takes a second to import

        titles = [_title(*parts) for parts in zip(predictions, found, strict=True)]
        save_figure(seen([image.x for image in fitted], titles), out)
    if as_json:
        rows = [_json(*parts) for parts in zip(paths, fitted, found, predictions, strict=True)]
        unread = [{"image": path, "error": error} for path, error in failed]
        result = {"run": run, "calibrated": calibration is not None}
        output.echo(strict_json({**result, "predictions": rows, "failed": unread}))
    else:
        parts = zip(paths, fitted, found, predictions, strict=True)
        blocks = [_text(*part, show) for part in parts]
        if calibration is None:
            blocks.append(f"The probabilities are not calibrated: {visible(why)}.")
        output.echo("\n\n".join(blocks))
    if failed:
        raise typer.Exit(1)


def _read(
    paths: list[str], config: runs.RunConfig, invert: bool | None
) -> tuple[list[str], list[Fitted], list[tuple[str, str]]]:
    """Return (the paths that can be read, their images, the others with what is wrong)."""
    read, fitted, failed = [], [], []
    for path in paths:
        try:
            fitted.append(read_image(path, config, invert))
            read.append(path)
        except ValueError as error:
            failed.append((path, str(error)))
    if not read:
        raise errors.Lines("\nautocnn: ".join(visible(why) for _, why in failed))
    for _, why in failed:
        output.error(why)
    return read, fitted, failed


def _text(path: str, image: Fitted, answer: Answer, prediction: Prediction, show: bool) -> str:
    width = shutil.get_terminal_size().columns
    lines = [f"{visible(path)}{': ' if image.steps else ''}{', '.join(image.steps)}"]
    lines += [block_image(image.x, sys.stdout.encoding)] if show else []
    lines.append(bar_chart(prediction, width))
    lines += [f"  doubtful: {'; '.join(answer.doubts)}"] if answer.doubts else []
    return "\n".join(lines)


def _json(path: str, image: Fitted, answer: Answer, prediction: Prediction) -> dict[str, Any]:
    top = [{"class": name, "probability": p} for name, p in prediction]
    about = {"image": path, "changes": image.steps, "top": top}
    return {**about, "doubtful": bool(answer.doubts), "doubts": answer.doubts}


def _title(prediction: Prediction, answer: Answer) -> str:
    name, probability = prediction[0]
    return f"{visible(name)}  {probability:.1%}{'  doubtful' if answer.doubts else ''}"


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
