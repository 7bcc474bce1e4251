"""``autocnn explain``: which pixels of an image count for its class."""

from pathlib import Path
from typing import Annotated, Any

import typer

from autocnn.cli import output
from autocnn.cli.run_options import Image, Invert, Json, Last, Out, Run, figure_format, save_figure
from autocnn.models.interpretations import INTERPRETATIONS
from autocnn.text import strict_json, visible

__all__ = ["explain"]

METHODS = "saliency, input-x-gradient, integrated-gradients, smoothgrad, occlusion, grad-cam"


def explain(
    run: Run,
    image: Image,
    method: Annotated[str, typer.Option(help=METHODS)] = "grad-cam",
    class_: Annotated[
        str, typer.Option("--class", help="Name of a class; default: the most probable one")
    ] = "",
    layer: Annotated[
        str, typer.Option(help="Of grad-cam, by its name in autocnn trace; default: the last conv")
    ] = "",
    window: Annotated[
        int | None, typer.Option(help="Of occlusion, in pixels; default: a quarter of the image")
    ] = None,
    engine: Annotated[
        str, typer.Option(help=f"What computes the gradients: {', '.join(INTERPRETATIONS)}")
    ] = "fast",
    out: Out = "",
    invert: Invert = None,
    last: Last = False,
    as_json: Json = False,
) -> None:
    """Show which pixels of an image count for its class: a figure of the map over the image.

    saliency, input-x-gradient, integrated-gradients and smoothgrad follow the
    gradient of the class's score back to the pixels. grad-cam weighs the feature
    maps of a layer. occlusion covers parts of the image. Gradients are computed by
    hand and by autograd, and the digits to which both agree are printed.

    A map can look sensible and say nothing: compare it with that of other classes,
    and of a network with random parameters (Adebayo et al. 2018).

    \b
    Examples:
      autocnn explain runs/lenet5-mnist three.png
      autocnn explain runs/lenet5-mnist three.png --method occlusion --out why.svg
      autocnn explain runs/lenet5-mnist three.png --method saliency --class 5
    """
    from autocnn import explanations, runs  # Matplotlib and the kernels take a second to import
    from autocnn.models.interpretations import interpretation
    from autocnn.runs.image_files import read_for_run
    from autocnn.runs.preprocessing import prepare

    path = out or Path(run) / f"explain-{Path(image).stem}.png"
    figure_format(path)
    saved = runs.load(run, "last" if last else "best", interpretation(engine))
    x, steps = read_for_run(image, saved.config, invert)
    options: dict[str, Any] = {"layer": layer} if layer else {}
    options |= {} if window is None else {"window": window}
    found = explanations.explain(
        saved,
        prepare(x[None], saved.config.inputs),
        method,
        class_ or None,
        check=method != "occlusion",
        **options,
    )
    path = save_figure(found.draw(), path)
    if as_json:
        result = {
            "run": run,
            "image": image,
            "changes": steps,
            "method": method,
            "class": found.name,
            "probability": found.probability,
            "logit": found.logit,
            "layer": found.layer,
            "engine": found.engine,
            "digits": found.digits,
            "map": found.map,
            "figure": path,
        }
        output.echo(strict_json(result))
        return
    output.echo(f"{visible(image)}{': ' if steps else ''}{', '.join(steps)}")
    where = f" at {found.layer}" if found.layer else ""
    output.echo(
        f"{method}{where} of class {visible(found.name)}, probability {found.probability:.2%}"
    )
    if found.digits is not None:
        other = "autograd" if found.engine == "reference" else "reference"
        output.echo(f"{found.engine} and {other} agree to {found.digits:.1f} digits")
    elif method != "occlusion":
        output.echo(
            f"computed by {found.engine} only: a layer of your own has no backward pass by hand"
        )
    output.echo(visible(path))
