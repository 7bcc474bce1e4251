"""Standard output and error of the commands: characters that every terminal can show."""

import codecs
import errno
import logging
import os
import sys
import warnings
from typing import Any

import typer

from autocnn.text import inert, visible

__all__ = [
    "MAX_COUNT",
    "close_streams",
    "echo",
    "error",
    "is_closed_terminal",
    "leave_closed_terminal",
    "log_to_stderr",
    "prepare_streams",
]

MAX_COUNT = 100_000  # of repetitions, or values of an option: more is a typing error

FORMAT_WARNING = warnings.formatwarning  # Python's own

ASCII = {"─": "-", "…": "~", "×": "x", "–": "-"}


def echo(text: object, err: bool = False) -> None:
    """Print lines of text on stdout, or on stderr. Characters that would control the terminal are
    shown as ``autocnn.text.inert`` writes them; within a line use ``autocnn.text.visible``.
    """
    typer.echo(inert(str(text)), err=err)


def error(message: object) -> None:
    """Print one line on stderr that begins with "autocnn: ", whatever the message holds."""
    typer.echo(f"autocnn: {visible(message)}", err=True)


def prepare_streams() -> None:
    """Let warnings print as ``echo`` does, make the streams replace characters that their encoding
    lacks by ASCII, and turn escape sequences off if NO_COLOR is set.
    """
    warnings.formatwarning = _format_warning
    codecs.register_error("autocnn-ascii", _ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test's replacement may not have it
            stream.reconfigure(errors="autocnn-ascii")
    if os.environ.get("NO_COLOR"):
        from typer import rich_utils  # takes a tenth of a second to import

        rich_utils.COLOR_SYSTEM = None  # Rich alone would keep bold and dim


def log_to_stderr() -> None:
    """Print the warnings that the package logs as lines of the program."""
    log = logging.getLogger("autocnn")
    if not any(isinstance(handler, _Lines) for handler in log.handlers):
        log.addHandler(_Lines(logging.WARNING))


class _Lines(logging.Handler):
    """Prints records on whatever is stderr at that time."""

    def emit(self, record: logging.LogRecord) -> None:
        echo(f"autocnn: {record.getMessage()}", err=True)


def close_streams() -> None:
    """Discard what is left in the streams' buffers: the reader of a pipe has closed it, and the
    interpreter would report an error at exit.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)


def leave_closed_terminal() -> None:
    """Discard from now on what would go to a terminal that is closed: writing there is an error,
    which must not end a command before it has saved. Another stream stays as it is.
    """
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream)
            os.close(null)


def is_closed_terminal(error: OSError) -> bool:
    """Whether an error says that a terminal is closed, which is nobody's file."""
    return error.errno == errno.EIO and error.filename is None


def _format_warning(*args: Any, **options: Any) -> str:
    return inert(FORMAT_WARNING(*args, **options))


def _ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(ASCII.get(c, "?") for c in characters), error.end
