"""What a trained network is used for: ``autocnn predict``, ``trace``, ``filters`` and
``export``.
"""

import io
import shutil
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from autocnn import runs, training
from autocnn import trace as tracing
from autocnn.files import atomic_write
from autocnn.runs import image_files as images
from autocnn.runs import preprocessing
from autocnn.text import shape_text, strict_json, table
from autocnn.trees import leaves

BOXES = {"mnist": 20 / 28, "digits": 1.0}  # the share of a picture that the ink was made to fill
DARK = (
    "patterns",
    "digits",
    "mnist",
    "fashion-mnist",
)  # data sets whose pictures are bright on dark

Run = Annotated[str, typer.Argument(help="Run folder that autocnn train made", metavar="RUN")]
Image = Annotated[str, typer.Argument(help="Picture of any size, grey or colour", metavar="IMAGE")]
Images = Annotated[
    list[str], typer.Argument(help="Pictures of any size, grey or colour", metavar="IMAGE...")
]
Last = Annotated[
    bool, typer.Option("--last", help="The parameters of the last epoch instead of the best")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text")]
Invert = Annotated[
    bool | None,
    typer.Option(
        "--invert/--no-invert", help="Swap bright and dark; found out from the border when left out"
    ),
]
Out = Annotated[
    str,
    typer.Option(help="File for the figure; in the run folder when left out", metavar="FILE.png"),
]


def predict(
    run: Run,
    pictures: Images,
    top: Annotated[int, typer.Option(help="How many classes to show", min=1)] = 5,
    invert: Invert = None,
    last: Last = False,
    as_json: Json = False,
):
    """Tell what pictures show: the most probable classes, with bars.

    A picture is scaled to the size that the network was trained on, its
    proportions kept. Ink on paper becomes bright on dark for a network that
    knows it so, and is cut out and centred for one trained on digits. What was
    done is printed. Of an animation the first frame counts.

    A picture that cannot be read is told of on stderr, and the exit code is 1;
    it is 2 when none can be read.

    \b
    Examples:
      autocnn predict runs/lenet5-mnist three.png
      autocnn predict runs/lenet5-mnist *.png --json
    """
    saved = runs.load(run, "last" if last else "best")
    found, failed = [], []
    for path in pictures:
        try:
            found.append((path, *_fitted(saved, path, invert)))
        except ValueError as error:
            failed.append((path, str(error)))
    if not found:
        raise ValueError("\nautocnn: ".join(error for _, error in failed))
    for _, error in failed:
        typer.echo(f"autocnn: {error}", err=True)
    x = preprocessing.prepare(np.stack([x for _, x, _ in found]), saved.config.inputs)
    probs = training.predict(saved.model, saved.train_state.params, saved.train_state.state, x)
    classes = saved.config.classes
    answers = [
        [(classes[k], float(p[k])) for k in np.argsort(-p, kind="stable")[:top]] for p in probs
    ]
    if as_json:
        named = [[{"class": name, "probability": p} for name, p in answer] for answer in answers]
        told = [
            {"image": i, "changes": list(s), "top": t}
            for (i, _, s), t in zip(found, named, strict=True)
        ]
        unread = [{"image": path, "error": error} for path, error in failed]
        typer.echo(strict_json({"run": run, "predictions": told, "failed": unread}))
    else:
        width = shutil.get_terminal_size().columns
        for i, ((path, _, steps), answer) in enumerate(zip(found, answers, strict=True)):
            typer.echo(("\n" if i else "") + path + (f": {', '.join(steps)}" if steps else ""))
            typer.echo(bars(answer, width))
    if failed:
        raise typer.Exit(1)


def trace(
    run: Run,
    picture: Image,
    out: Out = "",
    invert: Invert = None,
    last: Last = False,
    as_json: Json = False,
):
    """Follow one picture through the network: a figure of every stage, and a table.

    \b
    Example:
      autocnn trace runs/lenet5-mnist three.png --out three-inside.png
    """
    from autocnn.plots.predict import activations  # matplotlib takes a second to import

    saved = runs.load(run, "last" if last else "best")
    x, steps = _fitted(saved, picture, invert)
    x = preprocessing.prepare(x[None], saved.config.inputs)
    taps = {
        name: tap[0]
        for name, tap in tracing(
            saved.model, saved.train_state.params, saved.train_state.state, x
        ).items()
    }
    figure = activations(taps, saved.config.classes)
    path = _drawn(figure, out or Path(run) / f"trace-{Path(picture).stem}.png")
    rows = [
        (name, tap.shape, *(float(f(tap)) + 0.0 for f in (np.mean, np.min, np.max)))
        for name, tap in taps.items()
    ]
    if as_json:
        named = [
            dict(zip(("layer", "shape", "mean", "min", "max"), row, strict=True)) for row in rows
        ]
        typer.echo(
            strict_json(
                {
                    "run": run,
                    "image": picture,
                    "changes": list(steps),
                    "figure": str(path),
                    "layers": named,
                }
            )
        )
        return
    wide = shutil.get_terminal_size().columns >= 60
    numbers = [
        [f"{value:.3g}" for value in row[2:]] if wide else [f"{value:.2f}" for value in row[2::2]]
        for row in rows
    ]
    told = [
        (row[0], shape_text(row[1], "x"), *texts) for row, texts in zip(rows, numbers, strict=True)
    ]
    typer.echo(
        table(("layer", "output", *(("mean", "min", "max") if wide else ("mean", "max"))), told)
    )
    typer.echo(f"\n{picture}{': ' if steps else ''}{', '.join(steps)}\n{path}")


def filters(run: Run, out: Out = "", last: Last = False, as_json: Json = False):
    """Draw the filters of a network's first layer.

    These are the kernels of a convolution, or what dense units look for.

    \b
    Example:
      autocnn filters runs/lenet5-mnist
    """
    from autocnn.plots.predict import filters as draw

    saved = runs.load(run, "last" if last else "best")
    weights = next(leaf for _, leaf in leaves(saved.train_state.params) if leaf.ndim >= 2)
    if weights.ndim == 2:  # (D, units) of a dense layer right behind the image
        weights = weights.T.reshape(-1, *saved.config.input_shape)
    kind = shape_text(weights.shape[1:], "x")
    figure = draw(weights, f"{saved.config.network}: {len(weights)} filters of {kind}")
    path = _drawn(figure, out or Path(run) / "filters.png")
    about = {
        "run": run,
        "figure": str(path),
        "filters": len(weights),
        "shape": list(weights.shape[1:]),
    }
    typer.echo(strict_json(about) if as_json else f"{len(weights)} filters of {kind}\n{path}")


def export(
    run: Run,
    out: Annotated[
        str,
        typer.Argument(help="model.onnx, or model.safetensors with torch's names", metavar="FILE"),
    ],
    last: Last = False,
    as_json: Json = False,
):
    """Write a trained network for other programs: an ONNX graph, or its weights with torch's names.

    The graph takes images (N, C, H, W) in [0, 1], any number at a time, and
    gives logits. Safetensors have torchvision's names: features.0.weight, ...

    \b
    Examples:
      autocnn export runs/lenet5-mnist lenet5.onnx
      autocnn export runs/lenet5-mnist lenet5.safetensors
    """
    suffix = Path(out).suffix.lower()
    if suffix not in (".onnx", ".safetensors"):
        raise ValueError(f"the file's ending tells the format, .onnx or .safetensors; got {out}")
    saved = runs.load(run, "last" if last else "best")
    config, now = saved.config, saved.train_state
    if suffix == ".onnx":
        from autocnn.export import save_onnx

        _write(
            save_onnx,
            out,
            saved.model,
            now.params,
            now.state,
            config.shape,
            config.classes,
            config.inputs,
        )
        told = f"{out}: input 'images' (N, {', '.join(map(str, config.shape))}) in [0, 1], output 'logits' (N, classes)"
    else:
        from autocnn.checkpoint import save_torch

        if config.network == "lenet5-1998":
            raise ValueError(
                "torch has no modules for the layers of lenet5-1998, hence no names; export it as .onnx"
            )
        _write(save_torch, out, saved.model, now.params, now.state)
        told = f"{out}: the weights with torch's names"
    size = Path(out).stat().st_size
    about = {
        "run": run,
        "file": out,
        "bytes": size,
        "shape": list(config.shape),
        "classes": list(config.classes),
    }
    typer.echo(strict_json(about) if as_json else f"{told}; {size:,} bytes")


def bars(answer, width):
    """Lines of name, probability and bar for pairs (name, probability), at most ``width``
    columns wide.
    """
    longest = max(8, min(max(len(name) for name, _ in answer), width - 24))
    room = max(4, min(50, width - longest - 12))
    return "\n".join(
        f"  {_cut(name, longest):<{longest}} {p:7.2%}  {_bar(p, room)}".rstrip()
        for name, p in answer
    )


def _cut(name, length):
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _bar(share, width):
    """A bar of ``share`` of ``width`` columns in steps of an eighth; of # where the terminal
    cannot show blocks.
    """
    eighths = round(share * width * 8)
    bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    try:
        bar.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "#" * round(share * width)
    return bar


def _fitted(saved, path, invert):
    """A picture file as what the run's network takes, before ``preprocessing.prepare``: (x (C, H, W),
    steps).
    """
    data = saved.config.data
    return images.fitted(
        images.read(path), saved.config.shape, invert, dark=data in DARK, box=BOXES.get(data)
    )


def _drawn(figure, path):
    """Save a figure as PNG and return its path."""
    path, image = Path(path), io.BytesIO()
    if path.suffix.lower() != ".png":
        raise ValueError(f"figures are PNG files; give --out a name that ends in .png, got {path}")
    figure.savefig(image, format="png")
    _write(atomic_write, path, image.getvalue())
    return path


def _write(write, path, *args):
    """Do ``write(path, *args)``; a disk that is full or a folder that cannot be written ends the
    program in one line.
    """
    try:
        write(path, *args)
    except OSError as error:
        typer.echo(f"autocnn: cannot write {path}: {error.strerror or error}", err=True)
        raise typer.Exit(1) from None
