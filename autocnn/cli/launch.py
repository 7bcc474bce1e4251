"""``autocnn train --ranks N``: start the ranks by mpiexec, and go on with fewer when one dies.

MPI ends all ranks of a program when one of them is killed. So a run goes on from its last epoch, in
a new program of one rank less: a gradient is a sum over images, which does not depend on the number
of ranks but for the rounding of a sum, nor does the loss curve. (With batch norm or dropout it
does, see ``autocnn.training.mpi``.)
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from autocnn import processes
from autocnn.cli import deaths, output

__all__ = ["train_on_ranks"]

OWN_OPTIONS = ("--ranks", "--out", "--run")
PROGRAM = ("-m", "autocnn")
BANNER = "=" * 40  # with such a line begins what mpiexec says about a process that died


def train_on_ranks(ranks: int, folder: str) -> int:
    """Run this process's command line on so many ranks, with ``--run folder``; return the exit
    code.

    A rank that is killed is named on stderr, and the others go on from the last epoch.
    """
    arguments = _without(OWN_OPTIONS, sys.argv[1:])
    for left in range(ranks, 0, -1):
        code, death = _start(left, [*arguments, "--run", folder])
        if death is None:
            return code
        where = _last_epoch(Path(folder))
        rest = f"going on with {left - 1} from there" if left > 1 else "none is left"
        output.echo(f"autocnn: {deaths.describe(death, left)} {where}; {rest}", err=True)
    return 1


def _start(ranks: int, arguments: list[str]) -> tuple[int, deaths.Death | None]:
    """Run the command line on so many ranks; return its exit code, and of what a rank died."""
    program = [sys.executable, *PROGRAM, *arguments]
    with tempfile.TemporaryDirectory(prefix="autocnn-") as folder:
        command = [_mpiexec(), "-n", str(ranks), *deaths.supervised(program, folder)]
        code, said = _run(command)
        return code, None if said is None else deaths.recorded(folder) or deaths.reported(said)


def _run(command: list[str]) -> tuple[int, str | None]:
    """Run mpiexec; return its exit code, and what it says of a death, None if a signal stopped it
    here.
    """
    with processes.watched(command, stdout=subprocess.PIPE) as process:
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
    return code, "".join(said)


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


def _last_epoch(folder: Path) -> str:
    try:
        *_, last = (folder / "history.csv").read_text().splitlines()
        return f"after epoch {int(last.partition(',')[0])}"
    except (OSError, ValueError):
        return "before its first epoch was saved"


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
