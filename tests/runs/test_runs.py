"""Run folders: what is written can be read back bit for bit, and what is damaged or missing is
named.
"""

import json
import os
import re

import numpy as np
import pytest

from autocnn import files, models, optim, runs
from autocnn.runs import RunConfig, recipes
from autocnn.training import TrainState
from autocnn.trees import leaves

CONFIG = RunConfig(
    network="tiny-cnn",
    data="patterns",
    classes=("a", "b", "c"),
    shape=(1, 8, 8),
    recipe=recipes.Recipe(epochs=2),
    steps_per_epoch=5,
)
RECIPE = CONFIG.recipe._asdict()


def a_train_state(seed=1):
    _, params, state = models.build("tiny-cnn", 3).init(seed, (1, 8, 8), "float32")
    opt = optim.adam()
    params, opt_state = opt.update(params, params, opt.init(params))
    history = {
        "epoch": [0, 1],
        "train_loss": [1.25, 0.1],
        "train_acc": [0, 1 / 3],
        "val_loss": [2.0, 1e-9],
        "val_acc": [0, 1],
    }
    return TrainState(params, state, opt_state, 5, 0.7, history)


@pytest.fixture
def folder(tmp_path):
    made = runs.create(tmp_path / "run", CONFIG)
    runs.save(made, a_train_state())
    return made


def test_what_is_saved_is_read_back(folder):
    saved, expected = runs.load(folder, "last"), a_train_state()
    assert saved.config == CONFIG.replace(run=saved.config.run) and len(saved.config.run) == 32
    for part in ("params", "state", "opt_state"):
        want, got = leaves(getattr(expected, part)), leaves(getattr(saved.train_state, part))
        assert [path for path, _ in got] == [path for path, _ in want]
        for (_, a), (_, b) in zip(got, want, strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
    assert saved.train_state[3:] == expected[3:]
    x = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    y, _ = saved.model.apply(saved.train_state.params, saved.train_state.state, x)
    np.testing.assert_array_equal(
        y, models.build("tiny-cnn", 3).apply(expected.params, expected.state, x)[0]
    )
    assert not (folder / "best.safetensors").exists()


def test_history_is_a_table_of_all_digits(folder):
    lines = (folder / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,train_loss,train_acc,val_loss,val_acc"
    assert [float(cell) for cell in lines[2].split(",")] == [1, 0.1, 1 / 3, 1e-9, 1]


def test_a_run_is_not_overwritten(folder):
    with pytest.raises(ValueError, match=r"holds a run already.*run-2"):
        runs.create(folder, CONFIG)
    assert runs.free_folder(folder).name == "run-2"
    assert runs.free_folder(folder / "new") == folder / "new"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(folder, monkeypatch, call):
    def full(*args):
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space"):
            runs.save(folder, a_train_state(2))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_file_is_synced_before_it_is_renamed(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda file: done.append(os.fstat(file).st_size))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(str(b)), replace(a, b)))
    files.atomic_write(tmp_path / "x", b"12345")
    assert done[:2] == [5, str(tmp_path / "x")] and len(done) == 3  # and the folder's names last
    assert (tmp_path / "x").read_bytes() == b"12345"


def edit(folder, **changes):
    """Change settings in config.json; None removes one."""
    path = folder / "config.json"
    values = json.loads(path.read_text()) | changes
    removed = [name for name, value in changes.items() if value is None]
    path.write_text(json.dumps({k: v for k, v in values.items() if k not in removed}))


def cut(folder):
    path = folder / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda folder: [path.unlink() for path in folder.iterdir()], "holds no run"),
        (lambda folder: (folder / "last.safetensors").unlink(), "no last.safetensors"),
        (lambda folder: (folder / "last.safetensors").write_bytes(b"\xff" * 64), "damaged"),
        (lambda folder: (folder / "last.safetensors").write_bytes(b""), "damaged"),
        (cut, "damaged"),
    ],
)
def test_damage_is_named(folder, damage, words):
    damage(folder)
    with pytest.raises(ValueError, match=words):
        runs.load(folder, "last")


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda folder: (folder / "config.json").write_text("{"), "config.json is damaged"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json is damaged"),
        (lambda folder: edit(folder, classes=None), "lacks classes"),
        (lambda folder: edit(folder, recipe=None), "damaged.*recipe"),
        (lambda folder: edit(folder, network="tiny-gnn"), "was changed"),
        (
            lambda folder: edit(folder, width=2.0),
            "was changed after the run began",
        ),
        (lambda folder: edit(folder, network="tiny-mlp"), "was changed"),
        (lambda folder: edit(folder, shape=[1, 2, 2]), "was changed"),
        (
            lambda folder: edit(folder, recipe=RECIPE | {"schedule": "linear"}),
            "was changed",
        ),
        (
            lambda folder: edit(folder, recipe=RECIPE | {"schedule": None}),
            "damaged: recipe cannot be",
        ),
        (lambda folder: edit(folder, classes=["b", "a", "c"]), "was changed"),
        (lambda folder: edit(folder, inputs={"pad": 1}), "was changed"),
        (lambda folder: edit(folder, seed=1), "was changed"),
        (lambda folder: edit(folder, recipe=RECIPE | {"rate": 1.0}), "was changed"),
        (lambda folder: edit(folder, autocnn="99.1.0"), "of autocnn 99.1.0, newer than this"),
        (lambda folder: edit(folder, shape=[10**9, 10**9, 10**9]), "which is more than"),
        (
            lambda folder: edit(folder, recipe=RECIPE | {"patience": 0}),
            "damaged: recipe cannot be",
        ),
        (
            lambda folder: edit(folder, recipe=RECIPE | {"class_weight": {"a": 2}}),
            "damaged: recipe cannot be",
        ),
    ],
)
def test_a_config_that_was_changed_is_not_used(folder, damage, words, caplog):
    """The checkpoint holds the config as well: that one is used, and the change is said."""
    before = (folder / "config.json").read_bytes()
    damage(folder)
    with pytest.raises(ValueError, match=words):
        runs.read_config(folder)
    assert runs.load(folder, "last").config.replace(run=None) == CONFIG
    (line,) = caplog.messages
    assert re.search(words, line) and line.endswith("last.safetensors, of epoch 1, is used")
    runs.recover(folder)
    assert (folder / "config.json").read_bytes() == before


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="holds no run"):
        runs.load(tmp_path / "nothing")


def test_what_was_killed_while_it_wrote_is_cleared_away(folder):
    """And nothing else: neither files with other names nor what a link leads to."""
    for name in (
        ".last.safetensors.0a1b2c3d.part",
        ".history.csv.deadbeef.part",
        ".mine.part",
        "notes.part",
    ):
        (folder / name).write_text("half")
    (folder / ".best.safetensors.00000000.part").symlink_to("notes.part")
    with runs.lock(folder):
        there = {path.name for path in folder.iterdir()}
    assert there == {
        ".lock",
        ".mine.part",
        "notes.part",
        "config.json",
        "history.csv",
        "last.safetensors",
    }
    assert not (folder / ".lock").exists()
