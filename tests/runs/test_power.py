"""Power cuts: whatever of the last writes a disk has lost, the run goes on to the same bits."""

import random

import pytest

from autocnn import files
from benchmarks.robustness import flips, power


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The events of a training, and the files that it has left."""
    folder = tmp_path_factory.mktemp("power") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("curves", "confusion", "mistakes"):
            patch.setattr(f"autocnn.plots.training.{name}", lambda *args: flips.Figure())
        yield power.record(folder), flips.files(folder)


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_loses_at_most_the_epoch_that_is_being_saved(recorded, tmp_path, seed):
    events, whole = recorded
    draw = random.Random(seed)
    assert power.attack(events, whole, tmp_path / "run", draw) in {(0, True), (-1, True)}


def test_what_is_not_synced_may_be_lost(tmp_path, monkeypatch):
    """The simulation finds a write that forgets to sync."""
    recorder = power.Recorder(tmp_path)
    with monkeypatch.context() as patch:
        recorder.install(patch.setattr)
        patch.setattr("autocnn.files.os.fsync", lambda descriptor: None)
        files.atomic_write(tmp_path / "x", b"a" * 2000)
    found = set()
    for seed in range(40):
        power.after_cut(recorder.events, tmp_path / "cut", random.Random(seed))
        path = tmp_path / "cut" / "x"
        found.add(path.read_bytes() == b"a" * 2000 if path.exists() else None)
    assert found >= {None, False}
