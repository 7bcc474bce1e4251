"""A lock on a folder, which one process holds, however the folder is moved, shared or left behind.

The operating system holds the lock (``flock``), and drops it when the process ends, however it
ends. That fails in two places: on file systems without locks, and between machines whose file
system keeps locks to itself. The lock file therefore names its holder (process, host, boot, and
namespace of process numbers, which containers have of their own) and is written every ``BEAT``
seconds. A holder of this boot and namespace lives as long as its process does; any other one as
long as its file is not older than ``STALE`` seconds by the clock of the file system.
"""

import contextlib
import errno
import os
import shlex
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autocnn.checkpoint.owner import (
    Owner,
    lives,
    parse_owner,
    read_owner,
    this_process,
    write_owner,
)
from autocnn.files import partial_path, replace, while_held

__all__ = ["LockLostError", "LockedError", "check_held", "held", "lock_folder", "try_lock"]

LOCK = ".lock"
BEAT, STALE = 5.0, 60.0  # seconds
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # what a file system without locks answers
_held: dict[str, "_Lock"] = {}


class LockedError(OSError):
    """Another process holds the lock."""


class LockLostError(LockedError):
    """The folder was moved, removed or replaced, or another process has taken its lock."""


@contextlib.contextmanager
def lock_folder(
    folder: str | os.PathLike, action: str = "writing to", name: str = LOCK, call: str = ""
) -> Iterator[None]:
    """Lock an existing folder for the ``with`` block, by a file in it that names this process.

    What a process has left that was killed locks nobody out. folder: must exist and be writable,
    OSError otherwise. action: what the holder does to the folder, for the error message. name: of
    the lock file. call: the command that goes on with a folder, for the message when the folder was
    moved; "" for the same call as before. Raises ``LockedError``, which names the process and its
    host, when another process, or another block of this one, holds the lock.
    """
    lock = _Lock(Path(folder), name, action, call)
    key = os.path.abspath(lock.path)
    lock.acquire()
    _held[key] = lock
    try:
        yield
    finally:
        _held.pop(key, None)
        lock.release()


def check_held(folder: str | os.PathLike, name: str = LOCK) -> None:
    """Raise ``LockLostError`` when a lock of this process on the folder no longer holds.

    Call it before each write. It does nothing for a folder that this process has not locked.
    """
    lock = _held.get(os.path.abspath(Path(folder) / name))
    if lock is not None:
        lock.check()


@contextlib.contextmanager
def held(folder: str | os.PathLike, name: str = LOCK) -> Iterator[None]:
    """Do ``check_held`` before and after the ``with`` block, which writes one file: when the folder
    has gone, that is said, and not what it makes fail.
    """
    check_held(folder, name)
    try:
        yield
    finally:
        check_held(folder, name)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed. Returns False when another process holds its lock, and
    None on a file system without locks.
    """
    from filelock import lock_descriptor

    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None


class _Lock:
    def __init__(self, folder: Path, name: str, action: str, call: str) -> None:
        from filelock import FileLock  # takes 50 ms to import

        self.folder, self.path, self.action, self.call = folder, folder / name, action, call
        self.me = this_process()
        self.file, self.place = -1, -1  # descriptors of the lock file and of the folder
        self.system = FileLock(self.path, timeout=0, on_acquired=self._got)
        self.stopped = threading.Event()

    def _got(self, descriptor: int) -> None:
        self.file = descriptor

    def acquire(self) -> None:
        """Lock, or raise ``LockedError``."""
        from filelock import Timeout

        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(self.path).st_mode):
                why = "it is a link, a folder or a pipe, not a lock file; remove it"
                raise OSError(errno.EINVAL, why, str(self.path))
        try:
            self.system.acquire()
        except Timeout:
            raise self._locked(read_owner(self.path)) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self._acquire_by_file()
        else:
            owner = parse_owner(os.pread(self.file, 400, 0))
            # A holder of this boot would have been found by the system.
            if owner and owner.boot not in ("", self.me.boot) and self._is_fresh(self.file):
                self.system.release()
                raise self._locked(owner)
            try:
                write_owner(self.file, self.me)
            except OSError as error:  # a full disk
                with contextlib.suppress(OSError):
                    os.unlink(self.path)
                self.system.release()
                raise OSError(error.errno, error.strerror, str(self.path)) from error
        if hasattr(os, "O_DIRECTORY"):  # not on Windows, where an open folder cannot be moved
            self.place = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self.beat = threading.Thread(target=self._beat, daemon=True, name="autocnn lock")
        self.beat.start()

    def check(self) -> None:
        """Raise ``LockLostError`` unless the path still leads to the folder, with this lock."""
        again = f"go on with the folder that holds the files by {self.call or 'the same call'}"
        if self.place >= 0 and not _is_open_as(self.place, self.folder):
            with contextlib.suppress(OSError):
                now = Path(os.readlink(f"/proc/self/fd/{self.place}"))
                if _is_open_as(self.place, now):  # not removed, nor below another file system
                    call = f"go on with: {self.call} {shlex.quote(str(now))}"
                    back = "put it back, and the same call goes on"
                    again = f"what was saved is in {now}; {call if self.call else back}"
            raise LockLostError(
                f"{self.folder} was moved, removed or replaced while this process was "
                f"{self.action} it; {again}"
            )
        if not _is_open_as(self.file, self.path):
            raise LockLostError(
                f"{self.path} was removed or replaced while this process was {self.action} "
                f"{self.folder}; end other processes that do, and {again}"
            )

    def release(self) -> None:
        """Unlock, and remove the lock file if it is still this process's, wherever it is now."""
        self.stopped.set()
        self.beat.join()
        at: dict[str, Any] = {} if self.place < 0 else {"dir_fd": self.place}
        with contextlib.suppress(OSError):  # the folder may be gone, or read-only by now
            path = self.path if self.place < 0 else self.path.name
            # Removed before it is unlocked: who has this file open then opens a new one.
            if os.path.samestat(os.stat(path, **at), os.fstat(self.file)):
                while_held(os.unlink, path, **at)
        if self.place >= 0:
            os.close(self.place)
        if self.system.is_locked:
            self.system.release()
        else:
            os.close(self.file)

    def _acquire_by_file(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        try:
            self.file = os.open(self.path, flags, 0o644)
        except FileExistsError:
            self._take_over(flags)
            return
        write_owner(self.file, self.me)

    def _take_over(self, flags: int) -> None:
        """Replace the lock file of a process that is dead. Of two that do so, the last one wins."""
        file = os.open(self.path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        try:
            content = os.read(file, 400)  # empty: what FileLock has left that could not lock it
            owner = parse_owner(content)
            if owner and (owner.boot, owner.space) == (self.me.boot, self.me.space):
                is_held = lives(owner)
            else:
                is_held = bool(content) and self._is_fresh(file)
            if is_held:
                raise self._locked(owner)
        finally:
            os.close(file)
        partial = partial_path(self.path)
        self.file = os.open(partial, flags, 0o644)
        write_owner(self.file, self.me)
        replace(partial, self.path)
        time.sleep(0.2)
        now = read_owner(self.path)
        if now is None or now.key != self.me.key:
            os.close(self.file)
            raise self._locked(now)

    def _is_fresh(self, file: int) -> bool:
        """Whether a lock file was written in the last ``STALE`` seconds. One that was written in
        the future, before the clock was set back, is written again soon if its holder lives.
        """
        age, written = self._age(file), os.fstat(file).st_mtime_ns
        if age < -BEAT:
            time.sleep(2 * BEAT)
            return os.fstat(file).st_mtime_ns != written
        return age < STALE

    def _age(self, file: int) -> float:
        """Seconds since a file was written, by the clock of its file system."""
        partial = partial_path(self.path)
        try:
            partial.touch(exist_ok=False)
            return partial.stat().st_mtime - os.fstat(file).st_mtime
        finally:
            partial.unlink(missing_ok=True)

    def _locked(self, owner: Owner | None) -> LockedError:
        who = owner or "another process"
        if owner is not None and owner.boot != self.me.boot:
            who = f"{owner}, which has been there in the last {STALE:.0f} seconds,"
        return LockedError(
            f"{who} is {self.action} {self.folder} at this moment; wait for it to end, or name "
            "another folder"
        )

    def _beat(self) -> None:
        while not self.stopped.wait(BEAT):
            with contextlib.suppress(OSError):
                if os.utime in os.supports_fd:
                    os.utime(self.file)
                else:
                    write_owner(self.file, self.me)


def _is_open_as(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False
