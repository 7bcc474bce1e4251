"""Which rank of ``autocnn train --ranks`` was killed, and by which signal.

When one rank is killed, mpiexec kills the others, and the one that it then reports may be any. So
every rank is the child of a small program that waits for it: when a signal ends the rank, the
program writes that down before it ends itself by that signal. mpiexec cannot know before, so that
the first to write is the program of the rank that was killed.
"""

import os
import re
import signal
import sys
from pathlib import Path
from typing import NamedTuple

from autocnn.processes import STOP_SIGNALS
from autocnn.training import mpi

__all__ = ["Death", "describe", "recorded", "reported", "supervised"]

FIRST = "first"  # the record, a file: a signal and a rank

# Runs a command: argv[1] is the variable that tells it its parent, with which it ends, argv[2] the
# record, whose folder another machine may not have, argv[3] the signals that are passed on to it.
SUPERVISE = """
import os, resource, signal, subprocess, sys, threading, time
variable, record, passed, *command = sys.argv[1:]
process, early = None, []
def watch(parent):
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)
def pass_on(number, _):
    process.send_signal(number) if process else early.append(number)
for number in map(int, passed.split(",")):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, pass_on)
threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
os.environ[variable] = str(os.getpid())
process = subprocess.Popen(command, close_fds=False, start_new_session=True)
for number in early:
    process.send_signal(number)
code = process.wait()
if code >= 0:
    os._exit(code)
names = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
rank = next((os.environ[name] for name in names if name in os.environ), "?")
try:
    with open(record, "x") as file:
        file.write(f"{-code} {rank}")
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the rank has left one
if -code != signal.SIGKILL:
    signal.signal(-code, signal.SIG_DFL)
os.kill(os.getpid(), -code)
"""


class Death(NamedTuple):
    """The signal that has ended a rank, and the rank, None if it is not known."""

    signal: int
    rank: str | None = None


def supervised(command: list[str], folder: str) -> list[str]:
    """Return a command that runs ``command`` as one rank, and writes its death into ``folder``."""
    if os.name != "posix":  # where no signal ends a process
        return command
    passed = ",".join(str(int(number)) for number in STOP_SIGNALS)
    program = [sys.executable, "-I", "-S", "-c", SUPERVISE]
    return [*program, mpi.PARENT, os.path.join(folder, FIRST), passed, *command]


def recorded(folder: str) -> Death | None:
    """Return the first death that was written into ``folder``."""
    try:
        number, rank = Path(folder, FIRST).read_text().split()
    except (OSError, ValueError):
        return None
    return Death(int(number), rank if rank.isdecimal() else None)


def reported(said: str) -> Death | None:
    """Return the death that mpiexec speaks of, which may be that of any rank."""
    number = re.search(r"EXIT STRING: .*\(signal (\d+)\)", said)
    return Death(int(number[1])) if number else None


def describe(death: Death, ranks: int) -> str:
    """Say which of so many ranks was killed, as in "rank 2 of 3 was killed (SIGKILL)"."""
    who = f"one of {ranks} ranks" if death.rank is None else f"rank {death.rank} of {ranks}"
    try:
        how = signal.Signals(death.signal).name
    except ValueError:
        how = f"signal {death.signal}"
    return f"{who} was killed ({how})"
