"""Logs for TensorBoard: every metric of every epoch, read back from the file of events."""

import struct
import sys

import pytest
from matplotlib.figure import Figure

from autocnn import runs
from autocnn.cli.tensorboard import NAMES


@pytest.fixture(autouse=True)
def no_figures(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *a, **o: Figure((1, 1)))


def events(folder):
    """{(name, step): value} of all files of events: records of length, sum, content, sum."""
    pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = pb2.Event.FromString(content[at + 12 : at + 12 + size])
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
            at += size + 16
    return found


TRAIN = ("train", "tiny-cnn", "--data", "patterns", "--limit", 30, "--epochs", 3)


def test_every_metric_of_every_epoch(command, tmp_path):
    pytest.importorskip("tensorboardX")
    code, _, err = command(*TRAIN, "--until", 2, "--run", "run", "--tensorboard")
    assert (code, err) == (0, "")
    first = events(tmp_path / "run")
    assert {step for _, step in first} == {0, 1, 2}
    assert command("train", "--run", "run", "--tensorboard")[0] == 0
    found = events(tmp_path / "run")
    history = runs.load("run", "last").train_state.history
    assert set(found) == {(name, epoch) for name in NAMES.values() for epoch in range(4)}
    for column, name in NAMES.items():
        logged = [found[name, epoch] for epoch in range(4)]
        assert logged == pytest.approx(history[column], rel=1e-6)


def test_nothing_is_logged_unless_asked(command, tmp_path):
    assert command(*TRAIN, "--run", "run")[0] == 0
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_without_the_package(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    code, _, err = command(*TRAIN, "--tensorboard")
    assert code == 1 and err.count("\n") == 1
    assert "--tensorboard needs the package tensorboardX: pip install 'autocnn[tens" in err
    assert list(tmp_path.iterdir()) == []
