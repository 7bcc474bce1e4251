"""What ranks tell one another besides gradients: that one has failed or is to stop, and whether all
do the same.

Before every collective operation, all ranks exchange a status of a few ints. A rank that fails
between two of them joins the next exchange with that news, so that no rank waits for one that is
gone, and all end in order, with everything printed that was to be printed.
"""

import hashlib
import platform
import sys
import time
from typing import Any, NamedTuple

import numpy as np

from autocnn.trees import count, leaves

__all__ = [
    "RankEnded",
    "World",
    "check_similar",
    "come_to_end",
    "digest",
    "drain",
    "end_job",
    "exchange",
    "versions",
]

PATIENCE = 30  # seconds in which the other ranks must come to an exchange before they are aborted
DRAIN = 10  # seconds in which mpiexec must have read what was printed last
TOLERANCE = {8: 1e-9, 4: 1e-4}  # of sums, relative, by the size of a float


class World(NamedTuple):
    """The communicator (None for one process), this process's rank, and the number of ranks."""

    comm: Any
    rank: int
    size: int


class RankEnded(SystemExit):
    """Another rank has failed, and says so itself: this one ends with its exit code, in silence."""


class _Job:
    """The ranks that this process exchanged with last, and whether it has left them."""

    world: World | None = None
    has_ended = False


# ------------------------------------------------------------------------------- the status


def exchange(
    world: World, parts: dict[str, Any] | None = None, stop: int = 0, is_end: bool = False
) -> int:
    """Exchange a status with all ranks, each of which must call this; return the largest ``stop``.

    parts: {name: tree of arrays, or anything that has a ``repr``}, which must be the same on all
    ranks. stop: the number of a signal that asks all ranks to stop, 0 for none. is_end: whether the
    program has come to its end.

    Raises ``RankEnded`` when a rank has failed; ValueError, on all ranks, when one has come to its
    end and another has not, or ``parts`` differ; it names the part and the ranks.
    """
    _Job.world = world
    digests = {name: digest(value) for name, value in (parts or {}).items()}
    number = int.from_bytes(digest(tuple(digests.items()))[:7], "big")
    failed, code, stop, ends, numbers = _largest(world, _status(0, 0, stop, is_end, number))
    if failed:
        _Job.has_ended = True
        raise RankEnded(code)
    if ends[0] != ends[1]:
        raise ValueError(
            "some ranks have come to the end of the program while others still train; give all the "
            "same images, batch size and epochs"
        )
    if numbers[0] != numbers[1]:
        _raise_different(world, digests, parts or {})
    return stop


def _status(failed: int, code: int, stop: int, is_end: bool, number: int) -> np.ndarray:
    # The maximum of a number and that of its negative tell whether it is the same everywhere.
    return np.array([failed, code, stop, is_end, -is_end, number, -number], np.int64)


def _largest(world: World, status: np.ndarray, seconds: float | None = None) -> Any:
    """Return (failed, code, stop, (largest, smallest is_end), (largest, smallest number)) of all
    ranks; None if they do not come within so many seconds.
    """
    from mpi4py import MPI

    largest, begun, naps = np.empty_like(status), time.monotonic(), 0
    request = world.comm.Iallreduce(status, largest, op=MPI.MAX)
    while not request.Test():  # Allreduce would keep the processor busy while others compute
        waited = time.monotonic() - begun
        if seconds is not None and waited > seconds:
            return None
        if waited > 0.002:
            naps += 1
            time.sleep(min(1e-4 * naps, 0.01))
    failed, code, stop, *ends = map(int, largest)
    return failed, code, stop, (ends[0], -ends[1]), (ends[2], -ends[3])


# ---------------------------------------------------------------------------------- the end


def end_job(world: World, message: str, code: int) -> None:
    """Tell all ranks that this one has failed, and print the message on stderr; return when all
    know, for this process to exit with the code as they do.

    Of an error on several ranks, the first of these prints its message. If the others do not come
    to an exchange within half a minute, they are aborted.
    """
    if _Job.has_ended:
        return
    _Job.has_ended = True
    world = _Job.world or world
    if world.rank == 0:
        _print(message)
    mine = world.size - world.rank  # the largest is that of the first rank
    try:
        found = _largest(world, _status(mine, code, 0, False, 0), PATIENCE)
    except Exception:  # of MPI itself, after which nothing but an abort is left
        found = None
    if world.rank and (found is None or found[0] == mine):
        _print(message)
    if found is None:
        drain()
        world.comm.Abort(code)


def come_to_end(world: World) -> None:
    """Wait at the end of the program for the other ranks; end all if some still train."""
    if _Job.has_ended:
        return
    try:
        exchange(_Job.world or world, is_end=True)
        _Job.has_ended = True
    except RankEnded:
        pass
    except ValueError as error:
        end_job(world, f"rank {world.rank} of {world.size}: {error}", 1)


def drain() -> None:
    """Wait until the pipes that this process prints into are empty: what is left in them when MPI
    aborts is lost.
    """
    if sys.platform == "win32":
        return
    import fcntl
    import termios

    end, left = time.monotonic() + DRAIN, bytearray(4)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
            while time.monotonic() < end:
                fcntl.ioctl(stream.fileno(), termios.FIONREAD, left)
                if not any(left):
                    break
                time.sleep(0.01)
        except (OSError, ValueError):  # not a pipe
            continue


def _print(message: str) -> None:
    if message:
        print(message, file=sys.stderr, flush=True)


# --------------------------------------------------------------------- do all do the same?


def digest(value: Any) -> bytes:
    """Return 16 bytes that differ for other values: trees of arrays count by their shapes, dtypes
    and bytes, all else by its ``repr``.
    """
    total = hashlib.blake2b(digest_size=16)
    for path, leaf in leaves(value):
        if isinstance(leaf, np.ndarray):
            total.update(f"{path} {leaf.shape} {leaf.dtype}".encode())
            total.update(np.ascontiguousarray(leaf).data)
        else:
            total.update(f"{path} {leaf!r}".encode())
    return total.digest()


def versions() -> str:
    """Return the versions that may make ranks of several machines compute different numbers."""
    import autocnn

    return f"autocnn {autocnn.__version__}, numpy {np.__version__}, {platform.python_version()}"


def _raise_different(world: World, digests: dict[str, bytes], parts: dict[str, Any]) -> None:
    everyone = world.comm.allgather((digests, {n: _shown(v) for n, v in parts.items()}))
    first, texts = everyone[0]
    for name in first:
        others = [r for r, (one, _) in enumerate(everyone) if one.get(name, name) != first[name]]
        if others and all(name in one for one, _ in everyone):
            here, there = texts[name], everyone[others[0]][1][name]
            values = "" if here == there else f": {there} there, {here} here"
            who = f"rank {', '.join(map(str, others[:8]))}{', ...' if others[8:] else ''}"
            raise ValueError(
                f"all ranks must train on the same images with the same settings; {who} of "
                f"{world.size} and rank 0 differ in {name}{values}"
            )
    raise ValueError(
        f"the ranks do not do the same: rank 0 compares {', '.join(first) or 'nothing'}, another "
        "rank something else; give all the same images, batch size and epochs"
    )


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    if any(isinstance(leaf, np.ndarray) for _, leaf in leaves(value)):
        return f"{count(value):,} numbers"
    return f"{value!r:.80}"


def check_similar(world: World, name: str, tree: Any) -> None:
    """Raise ValueError on all ranks unless the sums of a tree's floats, of their sizes and of their
    squares agree to rounding: machines of several kinds need not agree to the last bit.
    """
    exchange(world, {f"the sums of {name}": count(tree)})
    flat = [np.asarray(leaf) for _, leaf in leaves(tree)]
    double = [leaf.astype(np.float64) for leaf in flat]
    sums = [[leaf.sum(), np.abs(leaf).sum(), np.square(leaf).sum()] for leaf in double]
    everyone = np.array(world.comm.allgather(np.sum(sums, axis=0) if sums else np.zeros(3)))
    size = min((leaf.dtype.itemsize for leaf in flat), default=8)
    scale = everyone[0, [1, 1, 2]] + 1e-300
    apart = np.abs(everyone - everyone[0]) > TOLERANCE.get(size, 0.1) * scale
    others = np.flatnonzero(apart.any(axis=1))
    if len(others):
        raise ValueError(
            f"{name} of rank {others[0]} of {world.size} no longer agree with those of rank 0: the "
            "ranks have different optimizers or other settings, or one computes wrong numbers"
        )
