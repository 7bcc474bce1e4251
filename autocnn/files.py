"""Files that several processes may read and write: atomic writes."""

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from autocnn.deprecation import renamed_names

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "atomic_write",
    "open_regular",
    "partial_path",
    "remove",
    "remove_partial_writes",
    "replace",
    "sync_folder",
    "while_held",
]

P = ParamSpec("P")
T = TypeVar("T")
WAITS = (0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.4)  # seconds, one in all
PARTIAL = re.compile(r"\.(.+)\.[0-9a-f]{8}\.part", re.DOTALL)


def atomic_write(path: str | os.PathLike, content: bytes) -> None:
    """Write bytes to a file so that a reader finds either the old content or the new one, whole.

    The bytes go to a new file in the same folder, which is flushed to the disk, read back and then
    renamed; the folder is flushed last, so that a power cut after the call loses nothing. A link at
    ``path`` is replaced, never followed. What killed processes have left of writes to ``path`` is
    removed. OSError, with ``path`` as its file name, when the disk is full, the folder cannot be
    written, or what is read back differs; the old content then stays.
    """
    path = Path(path)
    partial: Path | None = None
    try:
        partial, opened = _open_new(path)
        with opened as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            _check_written(partial, content)
            if fcntl is not None:  # while the lock tells others that the partial file is in use
                replace(partial, path)
        if fcntl is None:  # an open file cannot be renamed
            replace(partial, path)
        sync_folder(path.parent)
        _remove_dead_writes(path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the partial's name
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):  # the folder may be gone, or read-only by now
                remove(partial)


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a file to read. ValueError for a folder, a pipe or a device, which might never end."""
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path} is not a file but a folder, a pipe or a device; remove it")
    return open(descriptor, "rb")


def replace(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """``os.replace``, tried again for a second, see ``while_held``."""
    while_held(os.replace, source, target)


def remove(path: str | os.PathLike) -> None:
    """Remove a file if it is there, tried again for a second, see ``while_held``."""
    with contextlib.suppress(FileNotFoundError):
        while_held(os.unlink, path)


def while_held(call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Call a function that replaces, moves or removes files, again for a second as long as it
    raises PermissionError: on Windows, virus scanners, indexers and viewers hold files for a
    moment. Raises what the last call raises.
    """
    for seconds in WAITS:
        try:
            return call(*args, **options)
        except PermissionError:
            time.sleep(seconds)
    return call(*args, **options)


def partial_path(path: Path) -> Path:
    """Return a name beside ``path`` that no other process uses and no reader looks at."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def sync_folder(folder: str | os.PathLike) -> None:
    """Flush the names in a folder to the disk. Does nothing where folders cannot be flushed."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def _check_written(path: Path, content: bytes) -> None:
    """Read a file that was just flushed, from the disk where the system can forget its copy."""
    with open(path, "rb") as file:
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if file.read() != content:
            raise OSError(errno.EIO, "what was read back differs from what was written")


def remove_partial_writes(folder: str | os.PathLike) -> None:
    """Remove the partial files that an ``atomic_write`` killed by SIGKILL has left in a folder."""
    for path in Path(folder).iterdir():
        if PARTIAL.fullmatch(path.name):
            remove(path)


def _open_new(path: Path) -> tuple[Path, Any]:
    """Create a partial file of ``path`` and lock it; return its path and the open file."""
    while True:
        partial = partial_path(path)
        file = open(partial, "xb")  # noqa: SIM115 ("x": never through a link that has this name)
        try:
            if fcntl is None:
                return partial, file
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(partial)):
                return partial, file
        except FileNotFoundError:  # another process found it unlocked, and has removed it
            pass
        except OSError:  # a file system without locks, where nobody removes it
            return partial, file
        file.close()


def _remove_dead_writes(path: Path) -> None:
    """Remove partial files of ``path`` that no living process has locked."""
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        names = [e.name for e in entries if e.name.endswith(".part")]
        for name in names:
            found = PARTIAL.fullmatch(name)
            if found and found[1] == path.name:
                _remove_if_dead(path.with_name(name))


def _remove_if_dead(partial: Path) -> None:
    with contextlib.suppress(OSError):
        if fcntl is None:  # an open file cannot be removed
            partial.unlink()
            return
        descriptor = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()
        finally:
            os.close(descriptor)


__getattr__ = renamed_names(
    __name__,
    {
        name: f"autocnn.checkpoint.lock.{name}"
        for name in ("LockedError", "lock_folder", "try_lock")
    },
)
