"""Locks on folders: one process trains into a run folder, a second is told; reading goes on; a
killed holder is forgotten.
"""

import errno
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from autocnn import files, runs
from autocnn.cli import app

fcntl = pytest.importorskip("fcntl")
ROOT = pathlib.Path(__file__).parents[2]
HOLD = """
import sys, time
from autocnn import runs

with runs.lock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""
TAKE = """
import pathlib, sys, time
from autocnn import files

time.sleep(max(0, float(sys.argv[2]) - time.time()))
inside, taken, end = pathlib.Path(sys.argv[1], "inside"), 0, time.time() + 0.4
while time.time() < end:
    try:
        with files.lock_folder(sys.argv[1]):
            inside.touch(exist_ok=False)
            inside.unlink()
            taken += 1
    except files.LockedError:
        pass
print(taken)
"""
TRAIN = ("train", "tiny-cnn", "--data", "patterns", "--limit", "10", "--epochs", "1")


def holder(folder):
    """Another process that holds the folder until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "held\n"
    return process


def end(process, how):
    process.send_signal(how)
    process.wait()
    process.stdout.close()


def autocnn(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_second_process_is_told(tmp_path):
    folder = tmp_path / "run"
    process = holder(folder)
    try:
        for option in ("--run", "--out"):  # there is no run in it yet, so that both would begin one
            result = autocnn(*TRAIN, option, folder)
            assert result.exit_code == 1
            (line,) = result.stderr.splitlines()
            assert line.startswith(f"autocnn: process {process.pid} on ")
            assert line.endswith(
                f" is training into {folder} at this moment; "
                "wait for it to end, or name another folder"
            )
            assert not runs.has_config(folder)
    finally:
        end(process, signal.SIGKILL)
    assert (folder / ".lock").exists()
    assert autocnn(*TRAIN, "--run", folder).exit_code == 0  # SIGKILL has undone the lock
    assert not (folder / ".lock").exists()

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    process = holder(folder)
    try:
        result = autocnn("train", "--run", folder)
        assert result.exit_code == 1 and f"process {process.pid} " in result.stderr
        assert autocnn("evaluate", folder).exit_code == 0  # reading is for everybody
        assert {
            path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"
        } == before
    finally:
        end(process, signal.SIGTERM)
    assert autocnn("train", "--run", folder).exit_code == 0


def test_a_lock_is_held_once_and_given_back(tmp_path):
    with (
        files.lock_folder(tmp_path),
        pytest.raises(files.LockedError, match=f"process {os.getpid()} on .* is writing to"),
    ):
        files.lock_folder(tmp_path).__enter__()
    with pytest.raises(KeyError), files.lock_folder(tmp_path):
        raise KeyError
    with files.lock_folder(tmp_path, "training into") as _:
        assert os.listdir(tmp_path) == [".lock"]
    assert os.listdir(tmp_path) == []


def test_a_removed_lock_file_is_not_taken_for_the_lock(tmp_path, monkeypatch):
    """Between opening the file and locking it, its holder removes it and another process locks a
    new one: the lock on the old file counts for nothing.
    """
    flock, others = fcntl.flock, []

    def late(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / ".lock").unlink()
        others.append(os.open(tmp_path / ".lock", os.O_RDWR | os.O_CREAT))
        flock(others[0], fcntl.LOCK_EX)
        flock(descriptor, operation)  # succeeds: the old file is nobody's

    monkeypatch.setattr(fcntl, "flock", late)
    try:
        with pytest.raises(files.LockedError), files.lock_folder(tmp_path):
            pass
    finally:
        os.close(others[0])


def test_what_is_in_a_lock_file_is_not_repeated(tmp_path):
    with files.lock_folder(tmp_path):
        (tmp_path / ".lock").write_text("\x1b[2Jprocess of mine")
        with pytest.raises(files.LockedError, match="another process is writing to"):
            files.lock_folder(tmp_path).__enter__()


def test_a_lock_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".lock").symlink_to("precious")
    with pytest.raises(OSError), files.lock_folder(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.lock_folder(tmp_path), files.lock_folder(tmp_path):  # nobody is kept out
        (tmp_path / "written").write_text("twice")
    with open(tmp_path / "written") as file:
        assert files.try_lock(file.fileno())


def test_any_other_failure_to_lock_is_an_error(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), files.lock_folder(tmp_path):
        pass


def test_two_processes_at_once(tmp_path):
    """Of three that want the folder again and again, each for a moment, no two ever have it
    together.
    """
    command = [sys.executable, "-c", TAKE, str(tmp_path), str(time.time() + 1)]
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    processes = [subprocess.Popen(command, **options) for _ in range(3)]
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, ends
    assert sum(int(out) for out, _ in ends) > 3


def test_what_an_earlier_holder_wrote_is_not_mixed_in(tmp_path):
    (tmp_path / ".lock").write_text("process 12345678901234567890 on an-earlier.machine\n")
    with files.lock_folder(tmp_path), pytest.raises(files.LockedError) as caught:
        files.lock_folder(tmp_path).__enter__()
    assert str(caught.value).startswith(
        f"process {os.getpid()} on {socket.gethostname()} is writing to"
    )
