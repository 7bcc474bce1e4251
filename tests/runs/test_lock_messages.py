"""Locks of other machines and clocks, and what is said when a lock cannot be or is lost."""

import contextlib
import errno
import os
import shlex
import threading

import pytest

from autocnn.checkpoint import lock
from autocnn.files import atomic_write
from autocnn.sweeps.store import Store
from tests.runs.test_locks import FOREIGN, leave, no_locks


@pytest.mark.parametrize("flock", [True, False])
@pytest.mark.parametrize("lives", [True, False])
def test_a_lock_of_the_future_is_judged_by_its_heartbeat(tmp_path, monkeypatch, lives, flock):
    """The clock was set back after it was written."""
    if not flock:
        no_locks(monkeypatch)
    monkeypatch.setattr(lock, "BEAT", 0.05)
    leave(tmp_path, -1e6, **FOREIGN)
    beat = threading.Timer(0.02, os.utime, (tmp_path / ".lock",)) if lives else None
    with contextlib.ExitStack() as stack:
        if lives:
            beat.start()
            stack.callback(beat.join)
            stack.enter_context(pytest.raises(lock.LockedError, match="in the last 60 seconds"))
        stack.enter_context(lock.lock_folder(tmp_path))


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_is_not_a_lock_file_is_named(tmp_path, kind):
    path = tmp_path / ".lock"
    {"folder": path.mkdir, "link": lambda: path.symlink_to("a"), "pipe": lambda: os.mkfifo(path)}[
        kind
    ]()
    with pytest.raises(OSError, match="not a lock file; remove it") as caught:
        lock.lock_folder(tmp_path).__enter__()
    assert caught.value.filename == str(path) and not (tmp_path / "a").exists()


@pytest.mark.parametrize("call", ["autocnn train --run", ""])
def test_what_fails_since_the_folder_was_moved_is_said_as_that(tmp_path, call):
    folder, new = tmp_path / "run", tmp_path / "it's new"
    folder.mkdir()
    with lock.lock_folder(folder, "training into", call=call):
        with pytest.raises(lock.LockLostError) as caught, lock.held(folder):
            folder.rename(new)
            atomic_write(folder / "a", b"a")
        again = f"go on with: {call} {shlex.quote(str(new))}"
        if not call:
            again = "put it back, and the same call goes on"
        assert str(caught.value).endswith(f"what was saved is in {new}; {again}")
        new.rename(folder)
        with pytest.raises(OSError, match="is full"), lock.held(folder):
            raise OSError("is full")


def test_a_sweep_of_another_machine_is_seen_by_its_heartbeat(tmp_path):
    """Its file system may keep locks to each machine."""
    (tmp_path / "sweep").mkdir()
    with Store(tmp_path / "trials.jsonl", {"build": "x"}):
        leave(tmp_path, **FOREIGN)
        (tmp_path / ".lock").rename(tmp_path / "sweep" / ".trials.jsonl.lock")
    with pytest.raises(ValueError, match="is being written by another sweep"):
        Store(tmp_path / "sweep" / "trials.jsonl", {"build": "x"})


def test_a_pipe_is_not_read_as_the_results_of_a_sweep(tmp_path):
    os.mkfifo(tmp_path / "trials.jsonl")
    with pytest.raises(ValueError, match="is not a file but a pipe"):
        Store(tmp_path / "trials.jsonl", {"build": "x"})


def test_results_on_a_full_disk_are_still_read(tmp_path, monkeypatch):
    with Store(tmp_path / "trials.jsonl", {"build": "x"}) as store:
        store.add({"seed": 0}, {"val_acc": 1.0})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock, "write_owner", full)
    with Store(tmp_path / "trials.jsonl", {"build": "x"}) as store:
        assert list(store.results.values()) == [{"val_acc": 1.0}]
