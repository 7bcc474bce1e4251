"""Keep checked code from ending, changing or holding up the process that checks it."""

import contextlib
import ctypes
import math
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import numpy as np

from autocnn.gradcheck import random_streams
from autocnn.gradcheck.outputs import CallError

__all__ = ["CheckTimeout", "describe", "is_own_exception", "protected", "set_stage"]

_REPEAT = 0.5  # seconds until an expired limit raises again: a bare `except:` swallows one


class CheckTimeout(CallError, TimeoutError):
    """The check took longer than its `timeout`."""


class _Expired(BaseException):
    """Raised inside the checked code when its time is over. `except Exception` lets it pass."""


class _State:
    """What the signal handlers and `guarded` share."""

    interrupted = False  # Ctrl-C was pressed: the KeyboardInterrupt is not the checked code's
    stage = ""  # the call of the checked code that runs now
    arguments: Mapping[str, Any] = {}  # what it is called with


def set_stage(stage: str, arguments: Mapping[str, Any] | None = None) -> None:
    """Remember which call of the checked code runs now, and with what, for the message of a
    timeout."""
    _State.stage, _State.arguments = stage, arguments or {}


def _stage() -> str:
    """The call that runs now, in words: "f: forward (first call) with x (3, 4)"."""
    if not _State.stage:
        return "the comparison"
    shapes = [f"{n} {a.shape}" for n, a in _State.arguments.items() if isinstance(a, np.ndarray)]
    more = [f"{len(shapes) - 6} more arrays"] if len(shapes) > 6 else []
    return _State.stage + (f" with {', '.join([*shapes[:6], *more])}" if shapes else "")


def is_own_exception(error: BaseException) -> bool:
    """True for an expired time limit and a real Ctrl-C, which must reach the caller."""
    if isinstance(error, KeyboardInterrupt):
        return _State.interrupted
    return isinstance(error, _Expired)


def describe(error: BaseException) -> str:
    """An exception of the checked code in words: "raised ValueError: ...", "called sys.exit(0)"."""
    if isinstance(error, SystemExit):
        return f"called sys.exit({'' if error.code is None else repr(error.code)})"
    lines = str(error).splitlines()
    return f"raised {type(error).__name__}" + (f": {lines[0]}" if lines else "")


@contextlib.contextmanager
def protected(timeout: float | None = None) -> Iterator[None]:
    """Run checked code in the ``with`` block.

    sys.exit, os._exit, os.exec* and a KeyboardInterrupt that nobody pressed become a CallError. The
    working directory, environment, sys.path, standard streams, recursion limit, warning filters,
    NumPy's error and print settings and the global random generators are put back at the end.

    `timeout` is a limit in seconds for the whole block; a CheckTimeout (a CallError) says which
    call ran too long. It interrupts Python code and NumPy calls between bytecodes, not a single
    call into C that never returns.
    """
    if timeout is not None and not (
        isinstance(timeout, int | float | np.number) and 0 < timeout < math.inf
    ):
        raise ValueError(f"timeout={timeout!r} must be a positive number of seconds, or None")
    try:
        with _kept_state(), _no_exits(), _own_interrupts(), _time_limit(timeout):
            try:
                yield
            except BaseException as error:
                if isinstance(error, Exception) or is_own_exception(error):
                    raise
                raise CallError(f"the checked code {describe(error)}") from error
    except _Expired as error:
        if timeout is None:  # the limit of a block around this one
            raise
        stage = _stage()
        set_stage("")
        raise CheckTimeout(
            f"timeout: {stage} was still running after {timeout:g} s, the limit for the whole "
            "check: it hangs, or pass a larger timeout="
        ) from error


@contextlib.contextmanager
def _kept_state() -> Iterator[None]:
    environment, path, streams = dict(os.environ), sys.path[:], (sys.stdout, sys.stderr, sys.stdin)
    recursion = sys.getrecursionlimit()
    try:
        folder = os.getcwd()
    except OSError:  # it was deleted
        folder = None
    try:
        with (
            random_streams.keep(),
            np.errstate(),
            np.printoptions(),
            warnings.catch_warnings(),
        ):
            yield
    finally:
        sys.stdout, sys.stderr, sys.stdin = streams
        if sys.getrecursionlimit() != recursion:
            sys.setrecursionlimit(recursion)
        sys.path[:] = path
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        if folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(folder)


@contextlib.contextmanager
def _no_exits() -> Iterator[None]:
    """Calls that end the process at once, without an exception, raise SystemExit instead."""
    kept = {name: getattr(os, name) for name in ("_exit", "execv", "execve")}
    here = os.getpid()

    def instead(name: str) -> Callable[..., NoReturn]:
        def leave(*arguments: Any) -> NoReturn:
            if os.getpid() != here:  # a forked child, of multiprocessing for example
                kept[name](*arguments)
            raise SystemExit(arguments[0] if arguments else None)

        return leave

    for name in kept:
        setattr(os, name, instead(name))
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(os, name, function)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextlib.contextmanager
def _own_interrupts() -> Iterator[None]:
    """Record Ctrl-C, so that a KeyboardInterrupt which the checked code raises can be told from
    it. Where the caller handles SIGINT in another way, every KeyboardInterrupt counts as his."""
    if not _in_main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        nested = getattr(before, "is_of_gradcheck", False)
        kept, _State.interrupted = _State.interrupted, _State.interrupted if nested else True
        try:
            yield
        finally:
            _State.interrupted = kept
        return

    def on_interrupt(signum: int, frame: Any) -> NoReturn:
        _State.interrupted = True
        raise KeyboardInterrupt

    on_interrupt.is_of_gradcheck = True  # type: ignore[attr-defined]
    _State.interrupted = False
    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _time_limit(seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    set_stage("")
    over = False

    def expire(signum: int, frame: Any) -> None:
        if not over:
            raise _Expired

    if _in_main_thread() and hasattr(signal, "setitimer"):
        handler = signal.signal(signal.SIGALRM, expire)
        outer = signal.setitimer(signal.ITIMER_REAL, seconds, _REPEAT)
        try:
            yield
        finally:
            over = True
            signal.setitimer(signal.ITIMER_REAL, *outer)
            signal.signal(signal.SIGALRM, handler)
        return
    thread, lock = threading.get_ident(), threading.Lock()

    def raise_in_thread() -> None:
        with lock:
            if not over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread), ctypes.py_object(_Expired)
                )

    timer = threading.Timer(seconds, raise_in_thread)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:
            over = True
        timer.cancel()
