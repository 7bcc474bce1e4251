"""Child processes that end with this one, however it ends."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["STOP_SIGNALS", "end_with_parent", "run", "stop_signals_blocked", "watched"]

# Ctrl-C, ``kill``, a terminal that closes, warnings of batch systems. Windows has the first two.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
STOP_SIGNALS = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
PERIOD = 0.2  # seconds, between two looks at the parent

# Runs a command in this process's group, and ends the group when the pipe on file descriptor
# argv[1] closes, which is when the process that holds its other end is gone. SIGINT and SIGTERM are
# passed on.
WATCH = """
import os, signal, subprocess, sys, threading
process, early = None, []
def watch():
    os.read(int(sys.argv[1]), 1)
    os.killpg(0, signal.SIGKILL)
def pass_on(number, _):
    process.send_signal(number) if process else early.append(number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, pass_on)
threading.Thread(target=watch, daemon=True).start()
process = subprocess.Popen(sys.argv[2:])
for number in early:
    process.send_signal(number)
code = process.wait()
os._exit(code if code >= 0 else 128 - code)
"""


@contextlib.contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Block ``STOP_SIGNALS`` in this thread for the ``with`` block; they arrive after it.

    A process that is started in the block never sees them: its parent decides when it ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int, at_once: bool = True) -> None:
    """End this process as soon as the process ``parent``, which has started it, is gone.

    A thread looks for it every 0.2 seconds. at_once: on Linux the kernel also kills this process at
    the moment when the thread of the parent that has started it ends: only for a thread that lives
    as long as its process.
    """
    if at_once and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.name == "posix":  # on Windows a process keeps the number of its parent
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PERIOD)
    os._exit(1)


@contextlib.contextmanager
def watched(command: list[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a program for the ``with`` block, in a process group of its own, which Ctrl-C does not
    reach. It and all that it starts end when this process does, even by SIGKILL, or when an
    exception leaves the block.

    options: as for ``subprocess.Popen``. The exit code of a program that the signal n ends is
    128 + n.
    """
    if os.name != "posix":
        with subprocess.Popen(command, text=True, **options) as process:
            yield process
        return
    ends, alive = os.pipe()  # a pipe closes however its holder ends
    arguments = [sys.executable, "-I", "-S", "-c", WATCH, str(ends), *command]
    try:
        with subprocess.Popen(
            arguments,
            text=True,
            errors="replace",
            pass_fds=(ends,),
            start_new_session=True,
            **options,
        ) as process:
            try:
                yield process
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
    finally:
        os.close(ends)
        os.close(alive)


def run(command: list[str], folder: str | Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder as ``watched`` does, and return its exit code and what it printed.

    TimeoutExpired after so many seconds, when it has been ended.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with watched(command, cwd=folder, stdin=subprocess.DEVNULL, **pipes) as process:
        out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, process.returncode, out, err)
