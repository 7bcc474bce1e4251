"""``autocnn train --ranks N``: a rank that is killed is named, and the others go on to the same
loss curve; signals save; nothing outlives the command.
"""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from autocnn import runs
from autocnn.cli import deaths, launch
from tests.helpers import ROOT

TRAIN = ["train", "tiny-cnn", "--data", "patterns", "--limit", "50", "--epochs", "4"]
TRAIN += ["--batch-size", "10", "--dtype", "float64", "--seed", "3"]

# What each rank runs: at some steps one of them does something, the first time that it comes by.
RANK = """
import os, pathlib, signal, sys
from autocnn.runs import recipes
from autocnn.training import mpi
build, steps = recipes.optimizer, []
def optimizer(*args):
    found = build(*args)
    def update(*args):
        steps.append(1)
        at = pathlib.Path({marks!r}, f"{{mpi.rank()}} {{len(steps)}}")
        if at.exists():
            deed = at.read_text()
            at.unlink()
            exec(deed)
        return found.update(*args)
    return found._replace(update=update)
recipes.optimizer = optimizer
from autocnn.cli import main
main()
"""
COMMAND = """
import sys
from autocnn.cli import launch, main
launch.PROGRAM = ("-c", {rank!r})
main()
"""


def command(tmp_path, *arguments, **deeds):
    """Start the command with ranks that do what ``deeds`` say, {"rank step": code}."""
    marks = tmp_path / "marks"
    marks.mkdir(exist_ok=True)
    for at, deed in deeds.items():
        (marks / at).write_text(deed)
    code = COMMAND.format(rank=RANK.format(marks=str(marks)))
    return subprocess.Popen(
        [sys.executable, "-c", code, *TRAIN, "--run", str(tmp_path / "run"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
    )


@pytest.mark.slow
def test_a_killed_rank_is_named_and_the_rest_reach_the_same_losses(tmp_path):
    pytest.importorskip("mpi4py")
    deeds = {f"{rank} {step}": f"os.kill(os.getpid(), signal.SIG{name})" for rank, step, name in
             ((2, 3, "KILL"), (0, 8, "SEGV"))}  # fmt: skip
    process = command(tmp_path, "--ranks", "3", "--json", **deeds)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert [line for line in err.splitlines() if line.startswith("autocnn: ")] == [
        "autocnn: rank 2 of 3 was killed (SIGKILL) after epoch 0; going on with 2 from there",
        "autocnn: rank 0 of 2 was killed (SIGSEGV) after epoch 1; going on with 1 from there",
    ]
    printed = [json.loads(line) for line in out.splitlines()]
    assert [row["epoch"] for row in printed] == [0, 1, 2, 3, 4, 4]  # each once, and the outcome

    alone = subprocess.run(
        [sys.executable, "-m", "autocnn", *TRAIN, "--run", str(tmp_path / "alone")],
        capture_output=True,
        cwd=ROOT,
    )
    assert alone.returncode == 0
    histories = [runs.load(tmp_path / n, "last").train_state.history for n in ("run", "alone")]
    for name, values in histories[1].items():
        np.testing.assert_allclose(histories[0][name], values, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_on_all_ranks(tmp_path, number):
    pytest.importorskip("mpi4py")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    wait = f"""
import time
from autocnn.cli.interrupt import _Received
open({str(fifo)!r}, "w").write("here")
while not _Received.number:  # signal.pause() would miss a signal that is already here
    time.sleep(0.01)
"""
    process = command(tmp_path, "--ranks", "2", **{"1 3": wait})
    with open(fifo) as file:
        assert file.read() == "here"
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == 128 + number, err
    by = "" if number == signal.SIGINT else " by SIGTERM"
    folder = tmp_path / "run"
    said = f"stopped after step 3 of 20{by}; go on with: autocnn train --run {folder}"
    assert said in err.splitlines()
    assert "Traceback" not in out + err
    assert runs.load(folder, "last").train_state.step == 3


@pytest.mark.slow
def test_ranks_wait_for_the_one_that_saves(tmp_path):
    """However long it takes: here longer than the patience that ranks have with one that fails."""
    pytest.importorskip("mpi4py")
    slow = """
import time
from autocnn import runs
runs.save = lambda *args, save=runs.save, wait=time.sleep: (wait(1), save(*args))
"""
    stop = """
from autocnn.training import agreement
agreement.PATIENCE = 0.1
signal.raise_signal(signal.SIGTERM)
"""
    process = command(tmp_path, "--ranks", "2", **{"0 3": slow, "1 3": stop})
    _, err = process.communicate()
    assert process.returncode == 143 and "stopped after step 3 of 20 by SIGTERM" in err
    assert runs.load(tmp_path / "run", "last").train_state.step == 3


@pytest.mark.slow
def test_no_rank_outlives_the_command(tmp_path):
    """The ranks hold the pipes, which are read to their end; one of them would sleep for ever."""
    pytest.importorskip("mpi4py")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    wait = f"file = open({str(fifo)!r}, 'w'); file.write('here\\n'); file.flush(); signal.pause()"
    process = command(tmp_path, "--ranks", "2", **{"1 3": wait})
    with open(fifo) as file:
        assert file.readline() == "here\n"
        process.kill()
        process.communicate()
        assert file.read() == ""


BANNER = [
    "first\n", "\n", "second\n", "\n", f"{'=' * 83}\n", "=   BAD TERMINATION\n",
    "=   PID 7 RUNNING AT a\n", "=   EXIT CODE: 9\n",
    "YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)\n",
]  # fmt: skip


def test_what_mpiexec_says_of_a_death_is_not_printed(capsys):
    said = []
    launch._copy(BANNER, said)
    assert capsys.readouterr().out == "first\n\nsecond\n"
    assert deaths.reported("".join(said)) == (9, None)
    assert deaths.reported("".join(said[:-1])) is None  # an exit code: the rank has said why


def supervise(folder, code, start=subprocess.run):
    """Run Python code as the rank 5."""
    command = deaths.supervised([sys.executable, "-c", code], str(folder))
    return start(command, env=os.environ | {"PMI_RANK": "5", "PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_the_first_rank_that_a_signal_ends_is_written_down(tmp_path, number):
    assert supervise(tmp_path, "raise SystemExit(3)").returncode == 3
    assert deaths.recorded(tmp_path) is None
    ended = supervise(tmp_path, f"import os; os.kill(os.getpid(), {number})")
    assert ended.returncode == -number  # as mpiexec is to see it
    assert deaths.recorded(tmp_path) == (number, "5")
    supervise(tmp_path, "import os; os.kill(os.getpid(), 15)")
    assert deaths.recorded(tmp_path) == (number, "5")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_reach_the_rank_once(tmp_path, number):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"""
import signal, time
got = []
signal.signal({number}, lambda *args: got.append(1))
file = open({str(fifo)!r}, "w")
print("here", file=file, flush=True)
while not got:
    time.sleep(0.01)
time.sleep(0.2)
print(len(got), file=file)
"""
    process = supervise(tmp_path, code, subprocess.Popen)
    with open(fifo) as file:
        assert file.readline() == "here\n"
        process.send_signal(number)
        assert file.read() == "1\n"
    assert process.wait() == 0


def test_a_rank_ends_with_what_waits_for_it(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"""
import signal
from autocnn.training import mpi
mpi.world()
file = open({str(fifo)!r}, "w")
print("here", file=file, flush=True)
signal.pause()
"""
    process = supervise(tmp_path, code, subprocess.Popen)
    with open(fifo) as file:
        assert file.readline() == "here\n"
        process.kill()
        process.wait()
        assert file.read() == ""


def test_a_death_is_described():
    assert (
        deaths.describe(deaths.Death(signal.SIGSEGV, "2"), 3) == "rank 2 of 3 was killed (SIGSEGV)"
    )
    assert deaths.describe(deaths.Death(99), 3) == "one of 3 ranks was killed (signal 99)"


def test_options_that_are_not_for_the_ranks():
    given = [
        "train",
        "--ranks",
        "3",
        "lenet5",
        "--out=a b",
        "--rate",
        "0.1",
        "--run",
        "x",
        "--flip",
    ]
    kept = ["train", "lenet5", "--rate", "0.1", "--flip"]
    assert launch._without(launch.OWN_OPTIONS, given) == kept


def test_without_mpiexec(monkeypatch):
    monkeypatch.setattr(launch.shutil, "which", lambda *args, **options: None)
    with pytest.raises(ValueError, match=r"pip install 'autocnn\[mpi\]'"):
        launch._mpiexec()
