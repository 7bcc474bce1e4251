"""What commands print, in letters that every terminal can show."""

import codecs
import os
import sys

__all__ = ["MOST", "close", "prepare"]

# repetitions, or values of an option, that a command takes: more is a slip of the finger
MOST = 100_000

PLAIN = {"─": "-", "…": "~", "×": "x", "–": "-"}


def prepare():
    """Make the streams ready: what their encoding lacks is written in ASCII, and NO_COLOR leaves
    no escape sequence.
    """
    codecs.register_error("plain", _plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not what a test puts there
            stream.reconfigure(errors="plain")
    if os.environ.get("NO_COLOR"):
        from typer import rich_utils  # takes a tenth of a second

        rich_utils.COLOR_SYSTEM = None  # Rich by itself would leave bold and faint letters


def _plain_letters(error):
    return "".join(
        PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]
    ), error.end


def close():
    """Send what is left in the streams' buffers nowhere: who read them is gone, and the
    interpreter would complain.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
