"""How much memory is free for this process."""

import contextlib
import os
from pathlib import Path

__all__ = ["available", "gigabytes"]


def available() -> int | None:
    """Return how many bytes of memory are free for this process; None where nothing tells.

    The least of what the system, its control group and the process's own limit leave. A control
    group's file cache that is not in use counts as free, since the kernel gives it back.
    """
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [line for line in lines if line.startswith("MemAvailable:")]
        limits.append(1024 * int(free[0].split()[1]))
    group = Path("/sys/fs/cgroup")
    for limit, usage, statistics, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        with contextlib.suppress(OSError, ValueError):
            left = int((group / limit).read_text()) - int((group / usage).read_text())
            limits.append(left + _statistic(group / statistics, cache))
    with contextlib.suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        most, _ = resource.getrlimit(resource.RLIMIT_AS)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        if most != resource.RLIM_INFINITY:
            limits.append(most - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(limits)) if limits else None


def _statistic(path: Path, name: str) -> int:
    """Return a number of bytes from a control group's memory.stat, 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError):
        words = [line.split() for line in path.read_text().splitlines()]
        return sum(int(value) for key, value in words if key == name)
    return 0


def gigabytes(n: int) -> str:
    """Return a number of bytes in GB or MB, for people."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.0f} MB"
