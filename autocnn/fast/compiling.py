"""Compiling: whoever asks is told when Numba begins to compile kernels, which takes many seconds
where none are on disk yet.
"""

from contextlib import contextmanager

__all__ = ["begun", "told"]

_tell = None


@contextmanager
def told(tell):
    """Call ``tell()`` once, as soon as a kernel is being compiled inside a ``with`` block; not
    when all come from disk.
    """
    global _tell
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


def begun():
    """Say that a kernel is being compiled; Numba's kernels call it."""
    global _tell
    tell, _tell = _tell, None
    if tell is not None:
        tell()
