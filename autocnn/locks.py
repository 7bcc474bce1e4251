"""Locks: one process at a time writes to a file or folder. A lock goes with its process, however
that comes to its end.
"""

import contextlib
import errno
import os
import re
import socket
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock; there, two writers at once go unnoticed
    fcntl = None

__all__ = ["Busy", "locked", "take"]

NAME = ".lock"
WITHOUT = (
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
)  # a file system that has no locks is like Windows
OWNER = re.compile(rb"process \d{1,20} on [\w.-]{1,64}")


class Busy(OSError):
    """Another process is writing there at this moment."""


def take(descriptor):
    """Lock an open file until it is closed; False when another process has it locked. The system
    undoes it after SIGKILL.
    """
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in WITHOUT:
                raise
    return True


@contextlib.contextmanager
def locked(folder, deed="writing to"):
    """Hold a folder, which must exist, for the body of ``with``, by a file .lock in it that says
    who holds it.

    ``Busy``, which names the process and its ``deed``, when another one does; OSError when the
    folder cannot be written. The file may stay behind after SIGKILL, but locks nobody out: it is
    the system's lock on it that counts.
    """
    path = Path(folder) / NAME
    descriptor = _opened(path, folder, deed)
    try:
        os.write(
            descriptor,
            b"process %d on %s\n"
            % (os.getpid(), socket.gethostname().encode("ascii", "replace")[:64]),
        )
        yield
    finally:
        with contextlib.suppress(
            OSError
        ):  # whoever has made the folder read-only meanwhile keeps the file
            path.unlink()
        os.close(descriptor)


def _opened(path, folder, deed):
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            if not take(descriptor):
                said = OWNER.match(os.read(descriptor, 200))
                who = said[0].decode() if said else "another process"
                raise Busy(
                    f"{who} is {deed} {folder} at this moment; wait for it to end, or name another folder"
                )
            if _same(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(
            descriptor
        )  # its holder has taken the file away between our opening it and locking it: look again


def _same(descriptor, path):
    """Whether the open file is still the one that the path leads to."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
