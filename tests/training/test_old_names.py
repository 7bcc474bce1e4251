"""The names of the previous version: each works, and its warning names the new one."""

import importlib

import pytest

import autocnn as ac
from autocnn import runs, training

NAMES = [
    ("autocnn.training", "Moment", training.TrainState),
    ("autocnn.training", "waited", training.epochs_since_best),
    ("autocnn.training.step", "once", training.step.train_one_pass),
    ("autocnn.runs", "Saved", runs.SavedRun),
    ("autocnn.runs", "settings", runs.read_config),
    ("autocnn.runs", "configure", runs.write_config),
    ("autocnn.runs", "holds", runs.has_config),
    ("autocnn.runs", "started", runs.has_checkpoint),
    ("autocnn.runs", "held", runs.lock),
    ("autocnn.runs.recipes", "build", ac.models.build),
    ("autocnn.runs.recipes", "NETWORKS", ac.models.NETWORKS),
    ("autocnn.runs.recipes", "prepare", runs.preprocessing.prepare),
    ("autocnn.runs.recipes", "padded", runs.preprocessing.padded_shape),
]


@pytest.mark.parametrize("module, name, new", NAMES)
def test_an_old_name_is_the_new_one(module, name, new):
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{name} is deprecated.*: use autocnn"):
        assert getattr(importlib.import_module(module), name) is new


def test_old_arguments_and_attributes_of_a_run(tiny, patterns):
    with pytest.warns(DeprecationWarning, match="metric_subset="):
        run = ac.train(tiny[1], patterns, epochs=1, measured=7)
    new = ac.train(tiny[1], patterns, epochs=1, metric_subset=7)
    assert run.history == new.history
    with pytest.warns(DeprecationWarning, match=r"use \.train_state"):
        assert run.moment is run.train_state
