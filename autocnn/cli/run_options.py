"""What the commands that use a trained network share: options, and writing files."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from autocnn.cli import output
from autocnn.files import atomic_write

__all__ = ["Image", "Invert", "Json", "Last", "Out", "Run", "save_figure", "write_or_exit"]

Run = Annotated[str, typer.Argument(help="Run folder made by autocnn train", metavar="RUN")]
Image = Annotated[str, typer.Argument(help="Image of any size, grey or colour", metavar="IMAGE")]
Last = Annotated[
    bool, typer.Option("--last", help="Use the parameters of the last epoch, not the best")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text")]
Invert = Annotated[
    bool | None,
    typer.Option(
        "--invert/--no-invert", help="Swap bright and dark; default: decided from the border"
    ),
]
Out = Annotated[
    str, typer.Option(help="File for the figure; default: in the run folder", metavar="FILE.png")
]


def save_figure(figure: Any, path: str | Path) -> Path:
    """Write a Matplotlib figure as PNG and return its path; ValueError unless that ends in .png."""
    path, png = Path(path), io.BytesIO()
    if path.suffix.lower() != ".png":
        raise ValueError(f"figures are PNG files; give --out a name that ends in .png, got {path}")
    figure.savefig(png, format="png")
    write_or_exit(atomic_write, path, png.getvalue())
    return path


def write_or_exit(write: Callable[..., Any], path: str | Path, *args: Any) -> None:
    """Call ``write(path, *args)``; on OSError, such as a full disk, print one line and exit with
    code 1.
    """
    try:
        write(path, *args)
    except OSError as error:
        output.error(f"cannot write {path}: {error.strerror or error}")
        raise typer.Exit(1) from None
