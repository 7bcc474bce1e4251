"""Files that several processes may read and write: atomic writes."""

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from autocnn.deprecation import renamed_names

__all__ = [
    "atomic_write",
    "partial_path",
    "remove_partial_writes",
    "sync_folder",
]


def atomic_write(path: str | os.PathLike, content: bytes) -> None:
    """Write bytes to a file so that a reader finds either the old content or the new one, whole.

    The bytes go to a new file in the same folder, which is flushed to the disk, read back and then
    renamed; the folder is flushed last, so that a power cut after the call loses nothing. A link at
    ``path`` is replaced, never followed. OSError, with ``path`` as its file name, when the disk is
    full, the folder cannot be written, or what is read back differs; the old content then stays.
    """
    path = Path(path)
    partial = partial_path(path)
    try:
        with open(partial, "xb") as file:  # "x": never through a link that has this name
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _check_written(partial, content)
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the partial's name
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone, or read-only by now
            partial.unlink(missing_ok=True)


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
        if re.fullmatch(r"\..+\.[0-9a-f]{8}\.part", path.name):
            path.unlink(missing_ok=True)


__getattr__ = renamed_names(
    __name__,
    {
        name: f"autocnn.checkpoint.lock.{name}"
        for name in ("LockedError", "lock_folder", "try_lock")
    },
)
