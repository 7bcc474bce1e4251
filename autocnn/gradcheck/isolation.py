"""A process of its own for checked code, and a standard output of its own."""

import contextlib
import ctypes
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autocnn.files import replace

__all__ = ["run_in_process", "stdout_to_stderr"]

GRACE = 5.0  # seconds beyond the limit until a process that does not answer is killed
_CHILD = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "from autocnn.gradcheck.isolation import _serve; _serve(*sys.argv[1:])"
)


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send all that is written to standard output to standard error for the ``with`` block: by
    print, by os.write, by C code and by child processes."""
    kept = [_duplicate(1), _duplicate(2)]
    _flush()
    if kept[0] is not None and kept[1] is not None:
        os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _flush()
        for number, copy in enumerate(kept, 1):
            if copy is not None:
                os.dup2(copy, number)
                os.close(copy)


def _duplicate(descriptor: int) -> int | None:
    try:
        return os.dup(descriptor)
    except OSError:  # it is closed
        return None


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    if os.name == "posix":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).fflush(None)  # what C code has printed


def run_in_process(function: str, arguments: dict[str, Any], timeout: float | None) -> Any:
    """Call "module:function" with `arguments` (JSON) in a new process and return its result (JSON).

    What it prints goes to standard error. Raises ValueError, of one line, with the message of a
    ValueError that it raises, when the process ends without a result (a crash, an exit, no memory),
    and when it has not ended some seconds after `timeout`.
    """
    with tempfile.TemporaryDirectory(prefix="autocnn-check-") as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path), function]
        child = subprocess.Popen(
            [*command, json.dumps(arguments), str(result)],
            stdin=subprocess.DEVNULL,
            stdout=2 if _is_open(2) else subprocess.DEVNULL,
            start_new_session=os.name == "posix",
        )
        try:
            code = _wait(child, Path(folder) / "started", timeout)
        finally:
            _kill(child)
        if not result.is_file():
            raise ValueError(_ended(code))
        answer = json.loads(result.read_text(encoding="utf-8"))
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer["result"]


def _wait(child: subprocess.Popen, started: Path, timeout: float | None) -> int:
    """The exit code of the process; its time begins when it has written the file `started`."""
    deadline = math.inf
    while True:
        try:
            return child.wait(None if timeout is None else 0.05)
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if deadline == math.inf and started.exists():
            deadline = now + timeout + GRACE
        if now > deadline:
            raise ValueError(
                f"timeout: the code was still running after {timeout:g} s, in a call that cannot "
                "be interrupted"
            )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _kill(child: subprocess.Popen) -> None:
    """End the process and those that it started."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
    if child.poll() is None:
        child.kill()
    child.wait()


def _ended(code: int) -> str:
    if code >= 0:
        return f"the code ended its process with exit code {code} before there was a report"
    name = signal.Signals(-code).name
    return f"the code crashed its process: {name}" + (" (out of memory?)" * (name == "SIGKILL"))


def _serve(function: str, arguments: str, result: str) -> None:
    """In the new process: call the function and write what it returns or its error."""
    module, _, name = function.partition(":")
    try:
        call = getattr(importlib.import_module(module), name)
        Path(result).with_name("started").touch()
        answer = {"result": call(json.loads(arguments))}
    except (ValueError, ImportError) as error:
        lines = str(error).splitlines()
        answer = {"error": lines[0] if lines else type(error).__name__}
    except MemoryError:
        answer = {"error": "not enough memory"}
    scratch = Path(result + ".part")
    scratch.write_text(json.dumps(answer), encoding="utf-8")
    replace(scratch, result)
    _flush()
    os._exit(0)  # threads and exit handlers of the checked code are not waited for
