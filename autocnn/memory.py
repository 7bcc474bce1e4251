"""How much memory is free for this process."""

import contextlib
import os
from pathlib import Path

__all__ = ["available", "gigabytes"]


def available() -> int | None:
    """Return how many bytes of memory are free for this process; None where nothing tells.

    The least of what the system, its control group and the process's own limit leave.
    """
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable:"))
        limits.append(1024 * int(free.split()[1]))
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            group = Path("/sys/fs/cgroup")
            limits.append(int((group / limit).read_text()) - int((group / used).read_text()))
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        if most != resource.RLIM_INFINITY:
            limits.append(most - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(limits)) if limits else None


def gigabytes(n: int) -> str:
    """Return a number of bytes in GB or MB, for people."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
