"""Hook called when Numba starts to compile kernels, which takes many seconds the first time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["notify", "on_compile"]

_callback: Callable[[], object] | None = None


@contextmanager
def on_compile(callback: Callable[[], object]) -> Iterator[None]:
    """Call ``callback()`` at the first compilation inside the ``with`` block, and only then.

    Kernels that are loaded from disk do not count. Of nested blocks, the inner one is called.
    """
    global _callback
    before, _callback = _callback, callback
    try:
        yield
    finally:
        _callback = before


def notify() -> None:
    """Report that a compilation starts. Called by the compiler page of Numba's kernels."""
    global _callback
    callback, _callback = _callback, None
    if callback is not None:
        callback()
