"""Standard output and error of the commands: characters that every terminal can show."""

import codecs
import os
import sys

__all__ = ["MAX_COUNT", "close_streams", "prepare_streams"]

MAX_COUNT = 100_000  # of repetitions, or values of an option: more is a typing error

ASCII = {"─": "-", "…": "~", "×": "x", "–": "-"}


def prepare_streams() -> None:
    """Make the streams replace characters that their encoding lacks by ASCII, and turn escape
    sequences off if NO_COLOR is set.
    """
    codecs.register_error("autocnn-ascii", _ascii)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a test's replacement may not have it
            stream.reconfigure(errors="autocnn-ascii")
    if os.environ.get("NO_COLOR"):
        from typer import rich_utils  # takes a tenth of a second to import

        rich_utils.COLOR_SYSTEM = None  # Rich alone would keep bold and dim


def close_streams() -> None:
    """Discard what is left in the streams' buffers: the reader of a pipe has closed it, and the
    interpreter would report an error at exit.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(null, stream)


def _ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    characters = error.object[error.start : error.end]
    return "".join(ASCII.get(c, "?") for c in characters), error.end
