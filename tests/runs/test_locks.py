"""Locks on folders: one process trains into a run folder, a second is told; reading goes on; a
killed holder is forgotten.
"""

import errno
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from autocnn import runs
from autocnn.checkpoint import lock
from autocnn.cli import app
from autocnn.sweeps.store import Store

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
from autocnn.checkpoint import lock

inside, taken = pathlib.Path(sys.argv[1], "inside"), 0
print("begun", flush=True)
sys.stdin.read()  # until all have begun
while taken < 50:
    try:
        with lock.lock_folder(sys.argv[1]):
            inside.touch(exist_ok=False)
            inside.unlink()
            taken += 1
    except lock.LockedError:
        time.sleep(0)
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
        lock.lock_folder(tmp_path),
        pytest.raises(lock.LockedError, match=f"process {os.getpid()} on .* is writing to"),
    ):
        lock.lock_folder(tmp_path).__enter__()
    with pytest.raises(KeyError), lock.lock_folder(tmp_path):
        raise KeyError
    with lock.lock_folder(tmp_path, "training into") as _:
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
        with pytest.raises(lock.LockedError), lock.lock_folder(tmp_path):
            pass
    finally:
        os.close(others[0])


def test_what_is_in_a_lock_file_is_not_repeated(tmp_path):
    with lock.lock_folder(tmp_path):
        (tmp_path / ".lock").write_text("\x1b[2Jprocess of mine")
        with pytest.raises(lock.LockedError, match="another process is writing to"):
            lock.lock_folder(tmp_path).__enter__()


def test_a_lock_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / ".lock").symlink_to("precious")
    with pytest.raises(OSError), lock.lock_folder(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def no_locks(monkeypatch, code=errno.ENOLCK):
    def flock(*_):
        raise OSError(code, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)


def leave(folder, age=0.0, **changes):
    """Leave the lock file of a process that is not this one, last written ``age`` seconds ago."""
    text = "process {process} on {host}\nboot {boot} space {space} start {start} key abc\n"
    mine = lock.this_process()._asdict() | {"process": "1", "start": "0"} | changes
    (folder / ".lock").write_text(text.format(**mine))
    now = time.time() - age
    os.utime(folder / ".lock", (now, now))


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    no_locks(monkeypatch, code)
    with lock.lock_folder(tmp_path):
        for _ in range(2):
            with pytest.raises(lock.LockedError, match=f"process {os.getpid()} on"):
                lock.lock_folder(tmp_path).__enter__()
        lock.check_held(tmp_path)
        (tmp_path / "written").write_text("once")
    assert os.listdir(tmp_path) == ["written"]
    with open(tmp_path / "written") as file:
        assert lock.try_lock(file.fileno()) is None


FOREIGN = {"boot": "another-boot", "host": "elsewhere"}


@pytest.mark.parametrize("flock", [True, False])
@pytest.mark.parametrize(
    "age, owner, is_held",
    [
        (0, {}, False),  # of this boot, and there is no such process: the number is another's now
        (0, FOREIGN, True),
        (lock.STALE / 2, FOREIGN, True),
        (lock.STALE * 2, FOREIGN, False),
    ],
)
def test_what_a_dead_process_left_is_told_from_what_a_live_one_holds(
    tmp_path, monkeypatch, flock, age, owner, is_held
):
    """The system has no lock on the file: its holder is dead, or on another machine."""
    if not flock:
        no_locks(monkeypatch)
    leave(tmp_path, age, **owner)
    if is_held:
        with pytest.raises(lock.LockedError, match="process 1 on elsewhere"):
            lock.lock_folder(tmp_path).__enter__()
        assert (tmp_path / ".lock").read_text().startswith("process 1 on elsewhere")
        return
    with lock.lock_folder(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()
        lock.check_held(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("is_held", [True, False])
def test_a_container_without_flock_is_seen_by_its_heartbeat(tmp_path, monkeypatch, is_held):
    """Its numbers of processes mean nothing here."""
    no_locks(monkeypatch)
    leave(tmp_path, 0 if is_held else lock.STALE + 1, space="pid1", process=str(os.getpid()))
    if is_held:
        with pytest.raises(lock.LockedError):
            lock.lock_folder(tmp_path).__enter__()
    else:
        with lock.lock_folder(tmp_path):
            pass


def test_the_heart_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with lock.lock_folder(tmp_path):
        os.utime(tmp_path / ".lock", (0, 0))
        for _ in range(1000):
            if (tmp_path / ".lock").stat().st_mtime > 0:
                break
            time.sleep(0.01)
        assert (tmp_path / ".lock").stat().st_mtime > 0


@pytest.mark.parametrize("flock", [True, False])
@pytest.mark.parametrize("what", ["moved", "removed", "replaced", "taken", "lock removed"])
def test_a_lock_that_is_lost_is_said_at_the_next_write(tmp_path, monkeypatch, what, flock):
    if not flock:
        no_locks(monkeypatch)
    folder, words = tmp_path / "run", "was moved, removed or replaced while this process was"
    folder.mkdir()
    with lock.lock_folder(folder, "training into", call="autocnn train --run"):
        lock.check_held(folder)
        if what == "moved":
            folder.rename(tmp_path / "new")
            words = f"what was saved is in {tmp_path / 'new'}; go on with: autocnn train --run"
        elif what == "removed":
            shutil.rmtree(folder)
        elif what == "replaced":
            folder.rename(tmp_path / "new")
            folder.mkdir()
            (folder / ".lock").write_text("another's")
        elif what == "taken":
            (folder / "new").write_text("another's")
            (folder / "new").rename(folder / ".lock")
            words = "lock was removed or replaced while"
        else:
            (folder / ".lock").unlink()
            words = "lock was removed or replaced while"
        with pytest.raises(lock.LockLostError, match=words):
            lock.check_held(folder)
    lock.check_held(folder)
    if what in ("replaced", "taken"):
        assert (folder / ".lock").read_text() == "another's"
    assert not (tmp_path / "new" / ".lock").exists()


def test_a_run_whose_folder_is_moved_ends_with_one_line(tmp_path, monkeypatch):
    """And goes on in the new place."""
    save, folder = runs.save, tmp_path / "run"

    def moved(path, now, *args):
        save(path, now, *args)
        if now.history["epoch"][-1] == 1 and args[0] == "last":
            folder.rename(tmp_path / "new")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "save", moved)
        call = [*TRAIN[:-1], "3"]
        result = autocnn(*call, "--run", folder)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 1 and f"autocnn train --run {tmp_path / 'new'}" in line
    assert not folder.exists() and runs.load(tmp_path / "new", "last").epoch == 1


@pytest.mark.parametrize("flock", [True, False])
def test_two_sweeps_into_one_file(tmp_path, monkeypatch, flock):
    if not flock:
        no_locks(monkeypatch)
    with Store(tmp_path / "trials.jsonl", {"build": "x"}) as store:
        with pytest.raises(ValueError, match="is being written by another sweep"):
            Store(tmp_path / "trials.jsonl", {"build": "x"})
        store.add({"seed": 0}, {"val_acc": 1.0})
        (tmp_path / "trials.jsonl").rename(tmp_path / "moved")
        with pytest.raises(OSError, match=r"trials.jsonl was moved, removed or replaced"):
            store.add({"seed": 1}, {"val_acc": 1.0})
    assert os.listdir(tmp_path) == ["moved"]


def test_any_other_failure_to_lock_is_an_error(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="Input/output error"), lock.lock_folder(tmp_path):
        pass


def test_two_processes_at_once(tmp_path):
    """Of three that want the folder again and again, each for a moment, no two ever have it
    together.
    """
    command = [sys.executable, "-c", TAKE, str(tmp_path)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [subprocess.Popen(command, **pipes, text=True, cwd=ROOT) for _ in range(3)]
    assert [process.stdout.readline() for process in processes] == ["begun\n"] * 3
    for process in processes:
        process.stdin.close()
        process.stdin = None
    ends = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, ends
    assert [out for out, _ in ends] == ["50\n"] * 3


def test_what_an_earlier_holder_wrote_is_not_mixed_in(tmp_path):
    (tmp_path / ".lock").write_text("process 12345678901234567890 on an-earlier.machine\n")
    with lock.lock_folder(tmp_path), pytest.raises(lock.LockedError) as caught:
        lock.lock_folder(tmp_path).__enter__()
    assert str(caught.value).startswith(
        f"process {os.getpid()} on {socket.gethostname()} is writing to"
    )
