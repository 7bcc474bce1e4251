"""Signals that stop a command: Ctrl-C (SIGINT), SIGTERM, SIGHUP of a terminal that closes, and the
warning signals of batch systems (SIGUSR1, SIGUSR2 and SIGXCPU, as with ``sbatch --signal``).

The first signal raises ``Stopped``, a KeyboardInterrupt; in a ``deferred_interrupt`` block it waits
for a safe point. Until the process ends, others do nothing, so that nothing disturbs what is being
saved: ``timeout``, batch systems and terminals send several at once. But a Ctrl-C that follows any
signal ends the process at once.

A signal that is ignored, as SIGHUP is under ``nohup``, or that has another handler stays as it is.
"""

import contextlib
import functools
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.machinery import ExtensionFileLoader
from types import FrameType
from typing import Any

import typer

from autocnn.cli import output
from autocnn.processes import STOP_SIGNALS
from autocnn.text import visible

__all__ = ["Stopped", "deferred_interrupt", "handle_signals", "start_again", "stop", "stoppable"]

LOADING = (  # code that runs while an extension module is loaded
    ExtensionFileLoader.create_module.__code__,
    ExtensionFileLoader.exec_module.__code__,
)
AT_ONCE = "\nautocnn: ended at once; files that were being written are as they were before\n"


class Stopped(KeyboardInterrupt):
    """A signal asks the command to stop; ``number`` is the signal's."""

    def __init__(self, number: int = signal.SIGINT):
        """Stop for the signal ``number``."""
        super().__init__(number)
        self.number = number


class _Received:
    """The first signal of this process (0: none yet), how many blocks defer it, and how many were
    sent again that are still to arrive.
    """

    number = 0
    deferred = 0
    again = 0


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _Received.number:
        if number == signal.SIGINT:
            _end_at_once(number)
        return
    if _would_be_turned(frame) and not _Received.deferred:
        _send_again(number)
        return
    _Received.number = number
    if number == getattr(signal, "SIGHUP", None):
        output.leave_closed_terminal()
    if not _Received.deferred:
        raise Stopped(number)


def _would_be_turned(frame: FrameType | None) -> bool:
    """Whether Python would turn an exception into another one: it is loading an extension module,
    whose C code would also leave a half-made module that aborts the process at its end; or, before
    Python 3.12, it is telling an attribute of a new class its name.
    """
    while frame is not None:
        if frame.f_code in LOADING or frame.f_code.co_name == "__set_name__":
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    _Received.again += 1
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()


def _end_at_once(number: int) -> None:
    with contextlib.suppress(OSError):
        os.write(2, AT_ONCE.encode())
    os._exit(128 + number)


@contextlib.contextmanager
def handle_signals() -> Iterator[None]:
    """Handle signals during the ``with`` block, after which all have their default action: the
    block is the whole of a command, and nothing is left to save.

    Does nothing in a thread that is not the main one, which gets no signals.
    """
    if not _install():
        yield
        return
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    before = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_on_lost, hook)
    threading.Thread(target=_watch, args=(reads,), daemon=True).start()
    try:
        yield
    finally:
        for number in _installed():
            signal.signal(number, signal.SIG_DFL)
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before)
        os.close(writes)  # ends the thread
        _Received.number = _Received.again = 0


@contextlib.contextmanager
def deferred_interrupt(
    agree: Callable[[int], int] = lambda number: number,
) -> Iterator[Callable[[], None]]:
    """Defer signals during the ``with`` block, which gets a function ``check()``.

    agree: a function of the signal's number, 0 for none, that returns it; for several ranks, of
    which all stop if a signal stops one. ``check()`` calls it, the end of the block does not.

    A signal sets a flag; ``check()``, and the end of the block, raise ``Stopped`` if it is set.
    An exception that a handler raises can be lost: while Numba compiles, LLVM calls Python back,
    and what is raised in such a call is printed and forgotten. A flag is not.

    In a thread that is not the main one, which gets no signals, ``check()`` does nothing.
    """
    replaced = _install()
    _Received.deferred += 1
    try:
        yield lambda: _raise(agree(_Received.number))
        _raise(_Received.number)
    finally:
        _Received.deferred -= 1
        for number, handler in replaced.items():
            signal.signal(number, handler)
        if replaced:
            _Received.number = 0


def _raise(number: int) -> None:
    if number:
        raise Stopped(number)


def _install() -> dict[int, Any]:
    """Install the handler for signals that have their default one; return those by number."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    replaced = {n: signal.getsignal(n) for n in STOP_SIGNALS if signal.getsignal(n) in defaults}
    for number in replaced:
        signal.signal(number, _on_signal)
    return replaced


def _installed() -> list[int]:
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is _on_signal]


def _watch(reads: int) -> None:
    """Read the numbers of signals as they arrive, and end the process at a Ctrl-C that is not the
    first signal: the main thread may be in a long computation, where no handler runs.
    """
    is_first = True
    with open(reads, "rb", buffering=0) as file:
        while number := file.read(1):
            if _Received.again:
                _Received.again -= 1
                continue
            if number[0] == signal.SIGINT and not is_first:
                _end_at_once(signal.SIGINT)
            is_first = is_first and number[0] not in STOP_SIGNALS


def _on_lost(hook: Callable[[Any], Any], lost: Any) -> None:
    """Send a signal again whose exception was raised where Python cannot pass it on, such as in a
    function called from C.
    """
    if not isinstance(lost.exc_value, Stopped):
        hook(lost)
        return
    _Received.number = 0
    _send_again(lost.exc_value.number)


def stop(interrupt: KeyboardInterrupt, saved: str, after: str = "") -> typer.Exit:
    """Say in one line on stderr that the command stops, and return the exception to raise: exit
    code 128 plus the number of the signal.

    saved: what was saved, and the command that goes on. after: where it stopped, such as " after
    step 3 of 9".
    """
    number = getattr(interrupt, "number", signal.SIGINT)
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    with contextlib.suppress(OSError):  # a terminal that is closed
        output.echo(visible(f"stopped{after}{by}; {saved}"), err=True)
    return typer.Exit(128 + number)


def command_line() -> str:
    """Return the command line of this process, to be copied."""
    return shlex.join(["autocnn", *sys.argv[1:]])


def start_again() -> str:
    """Return what a command says that has saved nothing."""
    return f"nothing is half written; start again with: {command_line()}"


def stoppable(command: Callable) -> Callable:
    """Wrap a command that saves nothing before its end, or has said what it saved: when a signal
    stops it, it says so in one line.
    """

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            raise stop(interrupt, start_again()) from None
        except Exception as error:  # which a library may have made of it
            if not isinstance(error.__cause__, KeyboardInterrupt):
                raise
            raise stop(error.__cause__, start_again()) from None

    return wrapper
