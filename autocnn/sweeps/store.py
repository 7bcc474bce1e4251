"""The result file of a sweep: one JSON line a trial, added whole as the trial finishes, so that a
stopped sweep can go on.

The first line says which sweep this is; every further line is {"trial": {...}, "result": {...}}. A
line goes to the disk by one write to the end of the file, followed by a sync. What can be left of a
crash is half a last line: it is cut off, and that trial is done again.
"""

import errno
import json
import os
from pathlib import Path

from autocnn.files import try_lock

__all__ = ["Store", "line_of"]


def line_of(value):
    """Return plain values as one line of JSON: keys in order, floats at full precision. Equal
    values give equal lines.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


class Store:
    """The results on file, a dict ``found`` from a trial's ``line_of`` to its result. Closes with
    ``with``.

    ValueError when the file is damaged, belongs to another sweep, or is being written by one that
    runs at this moment.
    """

    def __init__(self, path, sweep):
        """Open ``path`` for the sweep that the plain dict ``sweep`` describes, creating the file
        if there is none.
        """
        self.path, self.found = Path(path), {}
        self.sweep = {name: json.loads(line_of(value)) for name, value in sweep.items()}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise ValueError(
                f"cannot write to {path}: {error.strerror}; name another place for the results"
            ) from None
        try:
            self._lock()
            self._read()
        except BaseException:
            self.close()
            raise

    def add(self, trial, result):
        """Append a finished trial; it is on the disk when this returns."""
        self._append({"trial": trial, "result": result})
        self.found[line_of(trial)] = result

    def close(self):
        """Close the file, which another sweep may then open."""
        os.close(self.file)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _lock(self):
        if not try_lock(self.file):
            raise ValueError(
                f"{self.path} is being written by another sweep; wait for it, or name another file"
            )

    def _append(self, value):
        line = (line_of(value) + "\n").encode()
        if os.write(self.file, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fsync(self.file)

    def _read(self):
        content = self.path.read_bytes()
        head, whole = (
            (line_of({"sweep": self.sweep}) + "\n").encode(),
            content[: content.rfind(b"\n") + 1],
        )
        if not whole and not head.startswith(content):
            raise ValueError(f"{self.path} holds no sweep's results; name another file")
        os.truncate(self.path, len(whole))
        if not whole:
            self._append({"sweep": self.sweep})
            return
        first, *lines = whole.decode("utf-8", "replace").splitlines()
        self._check(first)
        for number, line in enumerate(lines, 2):
            try:
                entry = json.loads(line)
                trial, result = line_of(entry["trial"]), dict(entry["result"])
            except (KeyError, TypeError, ValueError):
                raise ValueError(
                    f"line {number} of {self.path} is damaged: {line[:60]!r}; delete that line"
                ) from None
            if trial in self.found:
                raise ValueError(
                    f"line {number} of {self.path} repeats a trial, {trial}; delete one of the two"
                )
            self.found[trial] = result

    def _check(self, first):
        try:
            there = dict(json.loads(first)["sweep"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{self.path} holds no sweep's results; name another file") from None
        for name in {**self.sweep, **there}:
            if there.get(name) != self.sweep.get(name):
                raise ValueError(
                    f"{self.path} holds another sweep: {name} is {there.get(name)!r} there and "
                    f"{self.sweep.get(name)!r} here; name another file, or delete this one"
                )
