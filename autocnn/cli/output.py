"""Standard output and error of the commands: characters that every terminal can show."""

import codecs
import errno
import logging
import os
import shutil
import sys
import warnings
from typing import Any

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
    "rewrite",
]

MAX_COUNT = 100_000  # of repetitions, or values of an option: more is a typing error

FORMAT_WARNING = warnings.formatwarning  # Python's own

ASCII = {"─": "-", "…": "~", "×": "x", "–": "-"}


def echo(text: object, err: bool = False) -> None:
    """Print lines of text on stdout, or on stderr. Characters that would control the terminal are
    shown as ``autocnn.text.inert`` writes them; within a line use ``autocnn.text.visible``.
    """
    stream = sys.stderr if err else sys.stdout
    if stream is not None:  # Typer's own echo would write UTF-8 where the encoding is ASCII
        stream.write(f"{inert(str(text))}\n")
        stream.flush()


def rewrite(text: str) -> None:
    """Show one line on stderr, a terminal, in place of the line that the cursor is in."""
    width = shutil.get_terminal_size().columns - 1
    sys.stderr.write(f"\r{visible(text)[:width]:{width}}")
    sys.stderr.flush()


def error(message: object) -> None:
    """Print one line on stderr that begins with "autocnn: ", whatever the message holds."""
    echo(f"autocnn: {visible(message)}", err=True)


def prepare_streams() -> None:
    """Let warnings print as ``echo`` does, make the streams replace characters that their encoding
    lacks by ASCII, and turn escape sequences off if NO_COLOR is set.
    """
    _open_closed_streams()
    warnings.formatwarning = _format_warning
    codecs.register_error("autocnn-ascii", _ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test's replacement may not have it
            stream.reconfigure(errors="autocnn-ascii")
    if os.environ.get("NO_COLOR"):
        from typer import rich_utils  # takes a tenth of a second to import

        rich_utils.COLOR_SYSTEM = None  # Rich alone would keep bold and dim


def _open_closed_streams() -> None:
    """Let streams that the shell has closed (``>&-``) lead nowhere. Python makes them None, and the
    next file that is opened would get a closed stream's number, with all that libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


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
