"""``autocnn export``: write a trained network for other programs."""

import functools
from pathlib import Path
from typing import Annotated

import typer

from autocnn import runs
from autocnn.cli import output
from autocnn.cli.run_options import Json, Last, Run, write_or_exit
from autocnn.text import strict_json, visible

__all__ = ["export"]


def export(
    run: Run,
    out: Annotated[
        str,
        typer.Argument(help="model.onnx, or model.safetensors with torch's names", metavar="FILE"),
    ],
    last: Last = False,
    opset: Annotated[
        int | None,
        typer.Option(help="Version of ONNX's operators, 13 to 26; default: 17", metavar="N"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a trained network for other programs: an ONNX graph, or its weights with torch's names.

    The graph takes any number of images (N, C, H, W) in [0, 1], and returns
    logits. Safetensors have torchvision's names: features.0.weight, ...

    \b
    Examples:
      autocnn export runs/lenet5-mnist lenet5.onnx
      autocnn export runs/lenet5-mnist lenet5.onnx --opset 13
      autocnn export runs/lenet5-mnist lenet5.safetensors
    """
    suffix = Path(out).suffix.lower()
    if suffix not in (".onnx", ".safetensors"):
        raise ValueError(f"the file's suffix gives the format, .onnx or .safetensors; got {out}")
    if opset is not None and suffix != ".onnx":
        raise ValueError(f"--opset is for .onnx files; got {out}")
    config, model, now = runs.load(run, "last" if last else "best")
    if suffix == ".onnx":
        from autocnn.export import OPSET, save_onnx

        save = functools.partial(save_onnx, opset=OPSET if opset is None else opset)
        trees = now.params, now.state
        write_or_exit(save, out, model, *trees, config.shape, config.classes, config.inputs)
        shape = ", ".join(map(str, config.shape))
        summary = f"input 'images' (N, {shape}) in [0, 1], output 'logits' (N, classes)"
    else:
        from autocnn.checkpoint import save_torch

        if config.network == "lenet5-1998":
            raise ValueError(
                "torch has no modules for the layers of lenet5-1998, hence no names; export it as "
                ".onnx"
            )
        write_or_exit(save_torch, out, model, now.params, now.state)
        summary = "the weights with torch's names"
    size = Path(out).stat().st_size
    if as_json:
        result = {"run": run, "file": out, "bytes": size}
        output.echo(strict_json(result | {"shape": config.shape, "classes": config.classes}))
    else:
        output.echo(f"{visible(out)}: {summary}; {size:,} bytes")
