"""Compiling: whoever asks is told when Numba begins to compile kernels, which takes many seconds
where none are on disk yet.
"""

from contextlib import contextmanager

__all__ = ["notify", "on_compile"]

_tell = None


@contextmanager
def on_compile(tell):
    """Call ``tell()`` once, as soon as a kernel is being compiled inside a ``with`` block; not
    when all come from disk.
    """
    global _tell
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


def notify():
    """Say that a kernel is being compiled; Numba's kernels call it."""
    global _tell
    tell, _tell = _tell, None
    if tell is not None:
        tell()
