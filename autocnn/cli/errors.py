"""Exceptions that a command ends with: one line of text and an exit code."""

from autocnn.data import MissingData
from autocnn.text import inert, visible

__all__ = ["EXPECTED", "Lines", "describe"]


class Lines(ValueError):
    """Bad input that takes several lines to say."""


EXPECTED = (ValueError, ImportError, MemoryError, OSError)  # others are faults of autocnn


def describe(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the line for an error of ``EXPECTED``; the lines, for
    ``MissingData`` and ``Lines``.

    The code is 2 for bad input; 1 for a failure of the machine: its disk, its memory, or a missing
    package, which the message names.
    """
    if isinstance(error, MissingData | Lines):
        return 2, inert(error)
    if isinstance(error, ValueError):
        return 2, visible(error)
    return 1, visible(_text(error))


def _text(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError):
        text = error.strerror or error
        return f"{error.filename}: {text}" if error.filename else str(text)
    return str(error)
