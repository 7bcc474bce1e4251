"""The process that a lock file names: who it is, and whether it lives."""

import contextlib
import os
import re
import secrets
import socket
from pathlib import Path
from typing import NamedTuple

__all__ = ["Owner", "lives", "parse_owner", "read_owner", "this_process", "write_owner"]

OWNER = re.compile(
    rb"process (\d{1,20}) on ([\w.-]{1,64})\n(?:boot ([\w-]*) space (\w*) start (\d*) key (\w+)\n)?"
)


class Owner(NamedTuple):
    """The process that a lock file names; ``key`` is new for every lock."""

    process: str
    host: str
    boot: str
    space: str
    start: str
    key: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def this_process() -> Owner:
    """Return this process as an owner, with a new key."""
    host = socket.gethostname().encode("ascii", "replace").decode()[:64]
    host = re.sub(r"[^\w.-]", "-", host) or "localhost"
    boot, space = "", ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = re.sub(r"\W", "", os.readlink("/proc/self/ns/pid"))
    pid = os.getpid()
    return Owner(str(pid), host, boot, space, _start_time(pid), secrets.token_hex(8))


def _start_time(pid: int) -> str:
    """When a process began, in ticks since the boot: numbers of processes come again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def lives(owner: Owner) -> bool:
    """Whether a process of this boot and namespace is still there."""
    try:
        os.kill(int(owner.process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return _start_time(int(owner.process)) == owner.start


def write_owner(file: int, owner: Owner) -> None:
    """Write an owner into an open lock file, in place of what it holds."""
    text = (
        f"{owner}\nboot {owner.boot} space {owner.space} start {owner.start} key {owner.key}\n"
    ).encode()
    os.ftruncate(file, 0)
    os.pwrite(file, text, 0)


def read_owner(path: Path) -> Owner | None:
    """Return the process that a lock file names; None for one that is not there or names none."""
    try:
        with open(path, "rb") as file:
            return parse_owner(file.read(400))
    except OSError:  # just removed, or Windows, where a locked file cannot be read
        return None


def parse_owner(content: bytes) -> Owner | None:
    """The process that a lock file names. Anything else in the file is not repeated."""
    found = OWNER.match(content)
    return Owner(*((part or b"").decode() for part in found.groups())) if found else None
