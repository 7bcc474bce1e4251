"""Child processes end with their parent, however that ends; no test waits for a certain time: a
child that lives on keeps a pipe open, which is then read for ever.
"""

import os
import signal
import subprocess
import sys
import threading

import pytest

from autocnn import processes
from tests.helpers import ROOT

if os.name != "posix":
    pytest.skip("signals are POSIX", allow_module_level=True)

FIFO = "(echo begun; sleep 600) >$FIFO & wait"
LIMIT = 300  # seconds until a test that hangs is a failure

SWEEP = """
import os, sys, time
import autocnn as ac

def build(filters):
    os.write(1, b"begun\\n")  # in one piece: both workers write into one pipe
    time.sleep(600)

ac.sweep(build, {"filters": [1, 2]}, 1, workers=2, name="sleeps", out=sys.argv[1])
"""


def start(code, *arguments):
    """A Python process, and all that it starts, which write to the pipe that is returned."""
    reads, writes = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=writes,
        stderr=writes,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    os.close(writes)
    return process, os.fdopen(reads)


HOLD = """
import os, subprocess, sys
from autocnn import processes
child = '''
import os, sys, time
from autocnn import processes
processes.end_with_parent(int(sys.argv[1]), at_once={at_once})
print("begun", flush=True)
time.sleep(600)
'''
subprocess.run([sys.executable, "-c", child, str(os.getpid())])
"""


@pytest.mark.parametrize("at_once", [True, False], ids=["by the kernel", "by a thread"])
def test_a_child_ends_with_its_parent(at_once):
    process, said = start(HOLD.format(at_once=at_once))
    with said:
        assert said.readline() == "begun\n"
        process.kill()
        process.wait()
        assert said.read() == ""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_of_a_sweep_end_with_it(tmp_path, number):
    process, said = start(SWEEP, tmp_path / "trials.jsonl")
    with said:
        assert said.readline() + said.readline() == "begun\nbegun\n"
        process.send_signal(number)
        process.wait(LIMIT)
        rest = said.read()  # to its end: nobody holds the pipe any more
    # Of a process that SIGKILL ends, loky says that it cleans up semaphores.
    assert rest == "" or ("Traceback" in rest) == (number == signal.SIGINT), rest


def test_a_program_and_its_children_end_with_this_process(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"from autocnn import processes; processes.run(['sh', '-c', {FIFO!r}], '.', 600)"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT), "FIFO": str(fifo)},
    )
    with open(fifo) as said:
        assert said.readline() == "begun\n"
        process.kill()
        process.wait()
        assert said.read() == ""


def test_a_program_that_takes_too_long_ends_with_its_children(tmp_path):
    shell = "sleep 600 & wait"
    with pytest.raises(subprocess.TimeoutExpired):
        processes.run(["sh", "-c", shell], tmp_path, 0.1)  # waits for the pipes of all of them


def test_what_a_program_says(tmp_path):
    code = "import os, sys; print(os.getcwd()); print('no', file=sys.stderr); sys.exit(3)"
    done = processes.run([sys.executable, "-c", code], tmp_path, 60)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n", "no\n")
    killed = processes.run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], ".", 60)
    assert killed.returncode == 137


def test_blocked_signals_arrive_after_the_block():
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("seen"))
    try:
        with processes.stop_signals_blocked():
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
            seen.append("block")
        assert seen == ["block", "seen"]
    finally:
        signal.signal(signal.SIGUSR1, before)
