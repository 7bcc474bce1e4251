"""Power cuts: whatever of the last writes a disk has lost, the run goes on to the same bits."""

import random
from itertools import pairwise

import pytest

from autocnn import checkpoint, files
from autocnn.checkpoint.generations import generations
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


@pytest.mark.parametrize("seed", range(40))
def test_a_power_cut_leaves_no_gap_between_generations(recorded, tmp_path, seed):
    """Generations move one after the other, also on a disk that stores names in any order."""
    draw, events = random.Random(seed), recorded[0]
    moves = [i for i, event in enumerate(events) if event[:2] == ("name", "last-2.safetensors")]
    cut = draw.choice(moves) + draw.randrange(8)
    power.after_cut(events[:cut], tmp_path / "run", draw)
    epochs = []
    for path in generations(tmp_path / "run" / "last.safetensors"):
        if path.exists():
            epochs.append(checkpoint.load(path).metadata["history"]["epoch"][-1])
    assert len(epochs) >= 2 and {a - b for a, b in pairwise(epochs)} <= {0, 1}, epochs


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
