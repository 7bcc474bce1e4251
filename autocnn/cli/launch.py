"""``autocnn train --ranks N``: start the ranks by mpiexec, and go on with fewer when one dies.

MPI ends all ranks of a program when one of them is killed. So a run goes on from its last epoch, in
a new program of one rank less: a gradient is a sum over images, which does not depend on the number
of ranks but for the rounding of a sum, nor does the loss curve. (With batch norm or dropout it
does, see ``autocnn.training.mpi``.)
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from autocnn import processes
from autocnn.cli import output
from autocnn.training import mpi

__all__ = ["train_on_ranks"]

OWN_OPTIONS = ("--ranks", "--out", "--run")
PROGRAM = ("-m", "autocnn")
BANNER = "=" * 40  # with such a line begins what mpiexec says about a process that died


class Death(NamedTuple):
    """What mpiexec says about a process that a signal has ended: its number, and the signal's."""

    process: int
    signal: int


def train_on_ranks(ranks: int, folder: str) -> int:
    """Run this process's command line on so many ranks, with ``--run folder``; return the exit
    code.

    A rank that is killed is named on stderr, and the others go on from the last epoch.
    """
    arguments = _without(OWN_OPTIONS, sys.argv[1:])
    for left in range(ranks, 0, -1):
        with tempfile.TemporaryDirectory(prefix="autocnn-") as ids:
            code, death = _start(left, [*arguments, "--run", folder], ids)
            if death is None:
                return code
            who = _who(_rank(Path(ids), death.process), left, death.signal)
        where = _last_epoch(Path(folder))
        rest = f"going on with {left - 1} from there" if left > 1 else "none is left"
        output.echo(
            f"autocnn: {who} was killed ({_signal_name(death.signal)}) {where}; {rest}", err=True
        )
    return 1


def _start(ranks: int, arguments: list[str], ids: str) -> tuple[int, Death | None]:
    """Run the command line on so many ranks; return its exit code, and of what a rank died."""
    program = [sys.executable, *PROGRAM, *arguments]
    options = {"stdout": subprocess.PIPE, "env": os.environ | {mpi.FOLDER: ids}}
    with processes.watched([_mpiexec(), "-n", str(ranks), *program], **options) as process:
        assert process.stdout is not None
        said: list[str] = []
        stopped = 0
        try:
            _copy(process.stdout, said)
        except KeyboardInterrupt as stop:
            # The ranks save, and say so; mpiexec passes on these two signals.
            stopped = getattr(stop, "number", signal.SIGINT)
            number = signal.SIGINT if stopped == signal.SIGINT else signal.SIGTERM
            process.send_signal(number)
            _copy(process.stdout, said)
        code = process.wait()
    if stopped:
        return 128 + stopped, None
    return code, _death("".join(said))


def _copy(lines: Iterable[str], said: list[str]) -> None:
    """Print lines as they come, but put what mpiexec says about a death into ``said``."""
    blank = ""
    for line in lines:
        if said or line.startswith(BANNER):
            said.append(line)
        elif line == "\n":
            sys.stdout.write(blank)
            blank = line  # the banner begins with an empty line
        else:
            sys.stdout.write(blank + line)
            blank = ""
        sys.stdout.flush()
    if not said:
        sys.stdout.write(blank)


def _death(said: str) -> Death | None:
    process = re.search(r"PID (\d+) ", said)
    number = re.search(r"EXIT STRING: .*\(signal (\d+)\)", said)
    return Death(int(process[1]), int(number[1])) if process and number else None


def _rank(ids: Path, process: int) -> str:
    """The rank of a process; "" if it is not known, such as on another machine."""
    numbers = {path.read_text(): path.name for path in ids.iterdir()}
    return numbers.get(str(process), "")


def _who(name: str, ranks: int, number: int) -> str:
    """Say which rank was killed. mpiexec kills the others by SIGKILL, and may report one of those:
    only for another signal is it certain which rank was first.
    """
    if not name:
        return f"one of {ranks} ranks"
    if number == getattr(signal, "SIGKILL", 9) and ranks > 1:
        return f"one of {ranks} ranks (rank {name}, according to mpiexec)"
    return f"rank {name} of {ranks}"


def _last_epoch(folder: Path) -> str:
    try:
        *_, last = (folder / "history.csv").read_text().splitlines()
        return f"after epoch {int(last.partition(',')[0])}"
    except (OSError, ValueError):
        return "before its first epoch was saved"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _without(names: tuple[str, ...], arguments: list[str]) -> list[str]:
    """Arguments without some options and their values."""
    kept, rest = [], iter(arguments)
    for argument in rest:
        if argument in names:
            next(rest, None)
        elif argument.partition("=")[0] not in names:
            kept.append(argument)
    return kept


def _mpiexec() -> str:
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("mpiexec")
    if found is None:
        raise ValueError("--ranks needs mpiexec; install it: pip install 'autocnn[mpi]'")
    return found
