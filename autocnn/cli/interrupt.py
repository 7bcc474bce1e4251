"""Ctrl-C that is not lost: what Python raises while LLVM, compiling, calls it back, is printed
and forgotten.
"""

import contextlib
import signal
import threading

__all__ = ["kept"]

AGAIN = 0.02  # seconds


@contextlib.contextmanager
def kept():
    """Raise KeyboardInterrupt in the body of ``with`` for each Ctrl-C, if need be a moment later,
    when LLVM has gone on.

    Leaves a program alone that has a handler of its own, and a thread that is not the main one,
    which gets no signals.
    """
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return

    def press(number, frame):
        if not _called_back(frame):
            raise KeyboardInterrupt
        timer = threading.Timer(AGAIN, signal.raise_signal, [number])
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGINT, press)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _called_back(frame):
    """Whether a frame belongs to a function that LLVM has called: those of llvmlite's cache of
    objects.
    """
    while frame is not None:
        if frame.f_code.co_name.startswith("_raw_object_cache_"):
            return True
        frame = frame.f_back
    return False
