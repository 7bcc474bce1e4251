"""Exceptions that a command ends with: one line of text and an exit code."""

__all__ = ["EXPECTED", "describe"]

EXPECTED = (ValueError, ImportError, MemoryError, OSError)  # others are faults of autocnn


def describe(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the line for an error of ``EXPECTED``.

    That is 2 for bad input; 1 for a failure of the machine: its disk, its memory, or a missing
    package, which the message names.
    """
    if isinstance(error, ValueError):
        return 2, str(error)
    if isinstance(error, MemoryError):
        return 1, f"not enough memory: {error}" if str(error) else "not enough memory"
    if isinstance(error, OSError):
        text = error.strerror or error
        return 1, f"{error.filename}: {text}" if error.filename else str(text)
    return 1, str(error)
