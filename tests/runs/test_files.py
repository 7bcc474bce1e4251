"""Writing files whole: what is held for a moment, and what killed processes have left."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from autocnn import files
from autocnn.cli import app
from benchmarks.robustness import flips
from tests.helpers import ROOT

OLD = ".net.onnx.0123abcd.part"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Only the number of attempts matters."""
    waits = []
    monkeypatch.setattr("autocnn.files.time.sleep", waits.append)
    return waits


def held(monkeypatch, name, times):
    """Let ``os.name`` raise PermissionError the first so many times; return its calls."""
    real, calls = getattr(os, name), []

    def function(*args, **options):
        calls.append(args)
        if len(calls) <= times:
            raise PermissionError(13, "Access is denied", str(args[0]))
        return real(*args, **options)

    monkeypatch.setattr(os, name, function)
    return calls


@pytest.mark.parametrize("name", ["replace", "unlink"])
def test_a_file_that_is_held_for_a_moment_is_tried_again(tmp_path, monkeypatch, name, no_waiting):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    calls = held(monkeypatch, name, 3)
    if name == "replace":
        files.atomic_write(path, b"new")
        assert path.read_bytes() == b"new"
    else:
        files.remove(path)
        assert not path.exists()
    assert len(calls) == 4 and list(files.WAITS[:3]) == no_waiting
    assert 0.9 < sum(files.WAITS) < 1.1
    assert {*os.listdir(tmp_path)} <= {"a"}


def test_a_file_that_stays_held_is_one_error(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    held(monkeypatch, "replace", 99)
    with pytest.raises(PermissionError) as caught:
        files.atomic_write(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_training_goes_on_when_one_file_is_held(tmp_path, monkeypatch):
    calls = held(monkeypatch, "replace", 1)
    asked = "train tiny-cnn --data patterns --limit 12 --epochs 1 --batch-size 6 --run"
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *args: flips.Figure())
    result = CliRunner().invoke(app, [*asked.split(), str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert len(calls) > 2


def test_removing_what_is_not_there_is_nothing(tmp_path):
    files.remove(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        files.while_held(os.unlink, tmp_path)


def test_other_errors_are_not_tried_again(tmp_path, no_waiting):
    with pytest.raises(FileNotFoundError):
        files.replace(tmp_path / "nothing", tmp_path / "b")
    assert no_waiting == []


# ------------------------------------------------- partial files of killed processes


def test_the_next_write_removes_what_killed_ones_have_left(tmp_path):
    others = [".net.onnx.0123abcd.part2", ".other.onnx.0123abcd.part", ".net.onnx.xyz.part", "b"]
    for name in (OLD, ".net.onnx.ffffffff.part", *others):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / ".net.onnx.11111111.part").symlink_to("b")
    os.mkfifo(tmp_path / ".net.onnx.22222222.part")
    files.atomic_write(tmp_path / "net.onnx", b"whole")
    kept = {"net.onnx", *others, ".net.onnx.11111111.part", ".net.onnx.22222222.part"}
    assert {*os.listdir(tmp_path)} == kept


def test_the_partial_file_of_a_living_process_stays(tmp_path):
    code = (
        "import pathlib, sys; from autocnn import files; "
        "files._check_written = lambda *args: (print('here', flush=True), input()); "
        "files.atomic_write(sys.argv[1], b'theirs')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdout.readline() == "here\n"
        files.atomic_write(tmp_path / "a", b"ours")
        assert len(os.listdir(tmp_path)) == 2
        process.communicate("\n")
    assert process.returncode == 0
    assert (tmp_path / "a").read_bytes() == b"theirs" and os.listdir(tmp_path) == ["a"]


def test_a_partial_file_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    real, removed = fcntl.flock, []

    def late(descriptor, how):
        if not removed:
            (name,) = os.listdir(tmp_path)
            removed.append(name)
            (tmp_path / name).unlink()
        return real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    files.atomic_write(tmp_path / "a", b"whole")
    assert removed and (tmp_path / "a").read_bytes() == b"whole" and os.listdir(tmp_path) == ["a"]


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*args):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (tmp_path / OLD).write_bytes(b"half")
    files.atomic_write(tmp_path / "net.onnx", b"whole")
    assert {*os.listdir(tmp_path)} == {OLD, "net.onnx"}
