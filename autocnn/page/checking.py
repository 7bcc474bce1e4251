"""Check a text in a process of its own, which is ended when its time is over.

The process gets the text through its standard input and answers through its standard output, so
that nothing is written to a disk. It has its author's rights, so only a page that was started from
this machine offers the editor.
"""

import contextlib
import io
import json
import linecache
import os
import signal
import subprocess
import sys
import threading
from types import CodeType
from typing import Any

from autocnn.page import texts

__all__ = ["Cancelled", "Checker", "child"]

SECONDS = 20.0  # for the check; the process has some more to start
STARTING = 20.0
ENDING = 5.0  # for a process that has closed its output, to end with a code of its own
MEMORY = 4 * 2**30
MAX_TEXT = 20_000
MAX_ANSWER = 4 * 2**20
MAX_PRINTED = 4000
FILE = "/editor/{}.py"
_CHILD = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[1]); "
    "from autocnn.page.checking import child; child()"
)


class Cancelled(Exception):
    """The check was given up: the window was closed, or a newer check began."""


class Checker:
    """Runs one check at a time."""

    def __init__(self, seconds: float = SECONDS):
        self.seconds = seconds
        self._process: subprocess.Popen | None = None
        self._cancelled = False
        self._lock = threading.Lock()

    def check(self, word: str, options: dict[str, Any], text: str) -> dict[str, Any]:
        """Return what the checker finds in a text: see ``child``. ValueError, of one line, for a
        text that cannot be checked, ends its process or does not end.
        """
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise ValueError(f"the editor takes up to {MAX_TEXT:,} characters")
        request = {"word": word, "options": options, "text": text, "seconds": self.seconds}
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, json.dumps(sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=os.name == "posix",
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
        answer: list[bytes] = []
        reader = threading.Thread(
            target=_talk, args=(process, json.dumps(request).encode(), answer), daemon=True
        )
        reader.start()
        try:
            reader.join(STARTING + self.seconds)
            if self._cancelled:
                raise Cancelled
            if reader.is_alive():
                raise ValueError(_too_long(self.seconds))
            if not answer:  # it ends by itself: SIGKILL from here would hide why
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(ENDING)
                if self._cancelled:
                    raise Cancelled
        finally:
            _end(process)
            reader.join(1)
        try:
            found = json.loads(answer[0]) if answer else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ValueError(_ended(process.wait()))
        if "error" in found:
            raise ValueError(found["error"])
        return found

    def cancel(self) -> None:
        """End the check that runs, for good: later ones are refused."""
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                _end(self._process)


def _talk(process: subprocess.Popen, request: bytes, answer: list[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError), process.stdout:
        with contextlib.suppress(OSError), process.stdin:  # it may end before it has read all
            process.stdin.write(request)
        line = process.stdout.readline(MAX_ANSWER)
        if line.endswith(b"\n"):
            answer.append(line)


def _end(process: subprocess.Popen) -> None:
    """End the process and those that it started."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    process.wait()


def _too_long(seconds: float) -> str:
    """The words for both limits: that inside the process, and that of the process."""
    return f"the code was still running after {seconds:g} s and was ended"


def _ended(code: int) -> str:
    if code >= 0:
        return f"the code ended its process with exit code {code} before there was a report"
    name = signal.Signals(-code).name
    return f"the code crashed its process: {name}" + (" (out of memory?)" * (name == "SIGKILL"))


def child() -> None:
    """In the new process: read a request, check its text and answer with one line of JSON.

    The answer has ok, html and text of the report, its place {line, text, why, columns}, its fix
    {line, before, after, others}, the headline, and what the code printed; or an error.
    """
    answer = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    request = json.loads(sys.stdin.buffer.read())
    _limit_memory()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            found = _check(**request)
    except TimeoutError:
        found = {"error": _too_long(request["seconds"])}
    except ValueError as error:
        lines = str(error).splitlines()
        found = {"error": lines[0] if lines else "the check failed"}
    except MemoryError:
        found = {"error": "not enough memory"}
    found["printed"] = printed.getvalue()[:MAX_PRINTED]
    answer.write(json.dumps(found).encode() + b"\n")
    answer.flush()
    os._exit(0)  # threads and exit handlers of the checked code are not waited for


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _run(code: CodeType, names: dict[str, Any]) -> None:
    """Run the text; what it raises becomes a ValueError in words."""
    from autocnn.gradcheck.protection import describe

    try:
        exec(code, names)
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(f"the code {describe(error)}") from error


def _check(word: str, options: dict[str, Any], text: str, seconds: float) -> dict[str, Any]:
    from autocnn import gradcheck
    from autocnn.gradcheck.protection import protected

    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    file = FILE.format(word)
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        code = compile(text, file, "exec")
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        reason = getattr(error, "msg", None) or str(error)
        raise ValueError(
            f"line {line}: {reason}" if line else f"the text is not Python: {reason}"
        ) from None
    names: dict[str, Any] = {"__name__": word, "__file__": file}
    with protected(seconds):
        _run(code, names)
    if not callable(names.get(word)):
        raise ValueError(f"the text defines no function {word}: def {word}(...)")
    for arrays in texts.points(word, options):
        report = gradcheck.check(names[word], timeout=seconds, **arrays)
        if not report.ok:
            break
    place, fix = report.place, report.fix
    return {
        "ok": report.ok,
        "headline": report.headline,
        "html": report._repr_html_(),
        "text": report.text(100),
        "codes": [cause.code for cause in report.causes],
        "place": place
        and {"line": place.line, "text": place.text, "why": place.why, "columns": place.columns},
        "fix": fix
        and {
            "line": fix.line,
            "before": fix.before,
            "after": fix.after,
            "others": list(fix.others),
        },
    }
