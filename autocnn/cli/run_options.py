"""What the commands that use a trained network share: options, and writing files."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from autocnn.cli import output
from autocnn.files import atomic_write
from autocnn.models.interpretations import INTERPRETATIONS, RUNTIMES
from autocnn.runs import RunConfig

__all__ = [
    "Engine",
    "Image",
    "Invert",
    "Json",
    "Last",
    "Out",
    "Run",
    "figure_format",
    "note_precision",
    "save_figure",
    "write_or_exit",
]

Run = Annotated[str, typer.Argument(help="Run folder made by autocnn train", metavar="RUN")]
Image = Annotated[str, typer.Argument(help="Image of any size, grey or colour", metavar="IMAGE")]
Last = Annotated[
    bool, typer.Option("--last", help="Use the parameters of the last epoch, not the best")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text")]
Engine = Annotated[
    str, typer.Option(help=f"What computes: {', '.join((*INTERPRETATIONS, *RUNTIMES))}")
]
Invert = Annotated[
    bool | None,
    typer.Option(
        "--invert/--no-invert", help="Swap bright and dark; default: decided from the border"
    ),
]
Out = Annotated[
    str,
    typer.Option(
        help="File for the figure: .png, .svg or .pdf; default: in the run folder", metavar="FILE"
    ),
]
# What Matplotlib would write into each format by itself, the time of day, would make two figures
# of one run differ.
FORMATS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"metadata": {"Date": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
}


def note_precision(engine: str, config: RunConfig) -> None:
    """Say on stderr when an engine computes in another precision than the run was trained in."""
    if engine in RUNTIMES and config.dtype != "float32":
        output.echo(
            f"{engine} computes in float32, the run was trained in {config.dtype}", err=True
        )


def figure_format(path: str | Path) -> str:
    """Return the format of a figure, by its name's ending. ValueError for another ending."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(
            f"a figure's format is that of its name: give --out a name that ends in .png, .svg or "
            f".pdf, got {path}"
        )
    return suffix


def save_figure(figure: Any, path: str | Path) -> Path:
    """Write a Matplotlib figure as PNG, SVG or PDF, by the name's ending, and return its path.

    The same figure gives the same bytes. ValueError for another ending.
    """
    import matplotlib

    path, content = Path(path), io.BytesIO()
    suffix = figure_format(path)
    with matplotlib.rc_context({"svg.hashsalt": "autocnn"}):
        figure.savefig(content, format=suffix[1:], **FORMATS[suffix])
    write_or_exit(atomic_write, path, content.getvalue())
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
