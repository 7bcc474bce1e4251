"""Ctrl-C that stops a training between two steps, so that no step is lost or half saved.

An exception raised by a signal handler can also be lost: while Numba compiles, LLVM calls Python
back, and what is raised in such a call is printed and forgotten. A flag is not.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["deferred_interrupt"]


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C during the ``with`` block, which gets a function ``check()``.

    The first Ctrl-C sets a flag; ``check()``, and the end of the block, raise KeyboardInterrupt if
    it is set. The second Ctrl-C raises at once.

    Where the program has a handler of its own for SIGINT, or in a thread that is not the main one,
    which gets no signals, Ctrl-C stays as it is and ``check()`` does nothing.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_default or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    is_set = False

    def on_sigint(number: int, frame: FrameType | None) -> None:
        nonlocal is_set
        if is_set:
            raise KeyboardInterrupt
        is_set = True

    def check() -> None:
        if is_set:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, on_sigint)
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
