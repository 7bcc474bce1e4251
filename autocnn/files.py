"""Files that several processes may read and write: atomic writes, and a lock on a folder."""

import contextlib
import errno
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = [
    "LockedError",
    "atomic_write",
    "lock_folder",
    "partial_path",
    "remove_partial_writes",
    "sync_folder",
    "try_lock",
]

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # what a file system without locks answers
OWNER = re.compile(rb"process \d{1,20} on [\w.-]{1,64}")


class LockedError(OSError):
    """Another process holds the lock."""


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


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike, action: str = "writing to") -> Iterator[None]:
    """Lock an existing folder for the ``with`` block, by a file .lock that names this process.

    The operating system holds the lock and drops it when the process ends, however it ends: a .lock
    file left behind by SIGKILL locks nobody out. On a file system without locks, the block runs
    unlocked.

    folder: must exist and be writable, OSError otherwise. action: what the holder does to the
    folder, for the error message. Raises ``LockedError``, which names the process and its host,
    when another process, or another block of this one, holds the lock.
    """
    from filelock import FileLock, Timeout  # takes 50 ms to import

    path = Path(folder) / LOCK
    lock = FileLock(path, timeout=0, on_acquired=_write_owner)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"{_owner(path)} is {action} {folder} at this moment; wait for it to end, or name "
            "another folder"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        if lock.is_locked:
            # Removed before it is unlocked: a process that has this file open then opens a new one.
            with contextlib.suppress(OSError):  # the folder may be read-only by now
                path.unlink()
            lock.release()


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed. Returns False when another process holds its lock.

    On a file system without locks the answer is True.
    """
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return True


def _write_owner(descriptor: int) -> None:
    host = socket.gethostname().encode("ascii", "replace")[:64]
    # What an earlier holder has left follows the end of this line, where it is not read.
    os.write(descriptor, b"process %d on %s\n" % (os.getpid(), host))


def _owner(path: Path) -> str:
    """The process that a lock file names. Anything else in the file is not repeated."""
    try:
        with open(path, "rb") as file:
            owner = OWNER.match(file.read(200))
    except OSError:  # just removed, or Windows, where a locked file cannot be read
        owner = None
    return owner[0].decode() if owner else "another process"
