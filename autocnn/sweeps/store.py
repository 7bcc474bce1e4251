"""The results file of a sweep: one line of JSON per trial, so that a stopped sweep can go on.

The first line describes the sweep, {"sweep": {...}}. Every other line is {"trial": {...}, "result":
{...}, "sha256": a sum of both}, appended by a single write and synced as the trial finishes. A
crash can leave half a line at the end: it is cut off, and that trial runs again.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from autocnn.checkpoint.lock import LockedError, check_held, lock_folder, try_lock
from autocnn.sweeps.identity import without_hashes

__all__ = ["Store", "json_line"]


def json_line(value: Any) -> str:
    """Return a value as one line of JSON with sorted keys: equal values give equal lines."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sum(trial: dict[str, Any], result: dict[str, Any]) -> str:
    """Return the SHA-256 of a trial and its result, by which a changed bit is found."""
    return hashlib.sha256(json_line([trial, result]).encode()).hexdigest()


class Store:
    """A results file, open and locked; use it in a ``with`` block.

    results: {``json_line(trial)``: result}, all that the file holds.
    """

    def __init__(self, path: str | os.PathLike, sweep: dict[str, Any]) -> None:
        """Open ``path``, or create it and its folder, for the sweep that ``sweep`` describes.

        ValueError when the file is damaged, holds another sweep, cannot be written, or is open in
        another process.
        """
        self.path = Path(path)
        self._stack, self._lock_name = contextlib.ExitStack(), f".{self.path.name}.lock"
        self.results: dict[str, dict[str, Any]] = {}
        self._sweep = {name: json.loads(json_line(value)) for name, value in sweep.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise ValueError(
                f"cannot write to {path}: {error.strerror}; name another place for the results"
            ) from None
        try:
            if not stat.S_ISREG(os.fstat(self._file).st_mode):  # a pipe would be read for ever
                raise ValueError(f"{path} is not a file but a pipe or a device; name another place")
            self._lock()
            self._read()
        except BaseException:
            self.close()
            raise

    def add(self, trial: dict[str, Any], result: dict[str, Any]) -> None:
        """Append a finished trial. It is on the disk when this returns; OSError if it cannot be.

        A trial is stored once: the same result again is not written, which the log notes.
        ValueError, with both, when the results differ.
        """
        name, result = json_line(trial), json.loads(json_line(result))
        if name in self.results:
            before = self.results[name]
            if json_line(before) != json_line(result):
                raise ValueError(
                    f"the trial {name} has run twice, with different results: {json_line(before)} "
                    f"is in {self.path}, {json_line(result)} came now; do the workers have the "
                    "same versions of autocnn and NumPy, and the same data?"
                )
            logging.getLogger(__name__).info("%s holds the trial %s already", self.path, name)
            return
        self._check()
        self._append({"trial": trial, "result": result, "sha256": _sum(trial, result)})
        self.results[name] = result

    def close(self) -> None:
        """Close and unlock the file."""
        self._stack.close()
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _lock(self) -> None:
        """Lock the file, and a file beside it, whose heartbeat other machines see as well."""
        taken = try_lock(self._file)
        if taken is not False:
            try:
                self._stack.enter_context(
                    lock_folder(self.path.parent, "sweeping into", self._lock_name)
                )
            except LockedError:
                taken = False
            except OSError:  # a full disk, where what is stored can still be read
                if taken is None:
                    raise
        if taken is False:
            raise ValueError(
                f"{self.path} is being written by another sweep; wait for it, or name another file"
            )

    def _check(self) -> None:
        """Raise OSError when the path no longer leads to the open file."""
        try:
            same = os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            same = False
        if not same:
            raise LockedError(
                f"{self.path} was moved, removed or replaced during the sweep; put it back, and "
                "the same call continues"
            )
        check_held(self.path.parent, self._lock_name)

    def _append(self, value: Any) -> None:
        line = (json_line(value) + "\n").encode()
        if os.write(self._file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fsync(self._file)

    def _read(self) -> None:
        content = self.path.read_bytes()
        header = (json_line({"sweep": self._sweep}) + "\n").encode()
        complete = content[: content.rfind(b"\n") + 1]
        if not complete and not header.startswith(content):
            raise ValueError(f"{self.path} does not hold a sweep's results; name another file")
        os.truncate(self.path, len(complete))
        if not complete:
            self._append({"sweep": self._sweep})
            return
        first, *lines = complete.decode("utf-8", "replace").splitlines()
        self._check_header(first)
        for number, line in enumerate(lines, 2):
            try:
                entry = json.loads(line)
                trial, result = json_line(entry["trial"]), dict(entry["result"])
                total = entry.pop("sha256", None)  # which earlier versions did not write
                if len(entry) > 2 or total not in (None, _sum(entry["trial"], result)):
                    raise ValueError("it does not match its sum")
            except (KeyError, RecursionError, TypeError, ValueError):
                raise ValueError(
                    f"line {number} of {self.path} is damaged: {line[:60]!r}; delete that line"
                ) from None
            if trial in self.results:
                raise ValueError(
                    f"line {number} of {self.path} repeats a trial, {trial}; delete one of the two"
                )
            self.results[trial] = result

    def _check_header(self, line: str) -> None:
        try:
            stored = dict(json.loads(line)["sweep"])
        except (KeyError, RecursionError, TypeError, ValueError):
            raise ValueError(
                f"{self.path} does not hold a sweep's results; name another file"
            ) from None
        for name in {**self._sweep, **stored}:
            there, here = stored.get(name), self._sweep.get(name)
            names_function = name in ("build", "data") and isinstance(here, str)
            if there != here and not (names_function and there == without_hashes(here)):
                raise ValueError(
                    f"{self.path} holds another sweep: {name} is {there!r} there and {here!r} "
                    "here; name another file, or delete this one"
                )
