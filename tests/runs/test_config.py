"""``RunConfig``: what config.json stores, and run folders of the previous version."""

import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

import autocnn as ac
from autocnn import runs
from autocnn.cli import app
from autocnn.runs import RunConfig
from autocnn.runs.config import WeightsFile
from autocnn.runs.preprocessing import Inputs
from autocnn.runs.recipes import Recipe

RUNS = pathlib.Path(__file__).parents[1] / "data" / "runs"
NAMES = sorted(path.name for path in RUNS.iterdir())


def test_a_config_survives_json():
    config = RunConfig(
        version="0.2",
        network="lenet5-1998",
        width=1.0,
        engine="reference",
        dtype="float64",
        data="mnist",
        limit=7,
        classes=("0", "1"),
        shape=(1, 28, 28),
        inputs=Inputs(2, -0.1, 1.175),
        seed=3,
        recipe=Recipe(clip=1.0, patience=2, class_weight="balanced", flip=True),
        steps_per_epoch=4,
    )
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert config.input_shape == (1, 32, 32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 4
    assert config.replace(seed=4).seed == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_config_of_the_previous_version_is_kept_whole(name):
    text = (RUNS / name / "config.json").read_text()
    config = RunConfig.from_json(json.loads(text))
    assert json.dumps(config.to_json(), indent=2) + "\n" == text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", ["last", "best"])
def test_a_run_of_the_previous_version_is_read_and_evaluated(name, which):
    config, model, now = runs.load(RUNS / name, which)
    lines = (RUNS / name / "history.csv").read_text().splitlines()
    rows = [[float(cell) for cell in line.split(",")] for line in lines[1:]]
    epoch = now.history["epoch"][-1]
    assert [values[-1] for values in now.history.values()] == rows[epoch]
    if which == "best":
        assert epoch == int(np.argmax([row[4] for row in rows]))
    if config.data == "digits":
        pytest.importorskip("sklearn")
    data = runs.load_data(config.data, config.limit)
    loss, accuracy = ac.evaluate(model, now.params, now.state, data.x_val, data.y_val)
    assert loss == pytest.approx(rows[epoch][3], rel=1e-6) and accuracy == rows[epoch][4]
    call = ["evaluate", str(RUNS / name), "--json", *(["--last"] if which == "last" else [])]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0 and json.loads(result.stdout)["accuracy"] == accuracy


def test_a_stopped_run_of_the_previous_version_goes_on(tmp_path):
    """Two of its four epochs are done: the other two add to them."""
    shutil.copytree(RUNS / "tiny-cnn-stopped", tmp_path / "run")
    before = (tmp_path / "run" / "history.csv").read_text()
    config = (tmp_path / "run" / "config.json").read_bytes()
    result = CliRunner().invoke(app, ["train", "--run", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    after = (tmp_path / "run" / "history.csv").read_text()
    assert after.startswith(before) and len(after.splitlines()) == len(before.splitlines()) + 2
    assert (tmp_path / "run" / "config.json").read_bytes() == config
    now = runs.load(tmp_path / "run", "last").train_state
    assert now.step == 4 * 10 and now.history["epoch"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": "mse"}, "unknown setting 'loss'"),
        ({"seed": None}, "seed cannot be null"),
        ({"width": float("nan")}, "width cannot be NaN"),
        ({"classes": []}, r"classes cannot be \[\]"),
        ({"shape": [1, 8, 0]}, r"shape cannot be \[1, 8, 0\]"),
        ({"inputs": {"padding": 1}}, "inputs cannot be"),
        ({"recipe": {"epochs": 1}}, "recipe cannot be"),
        ({"recipe": {"epochs": 1, "batch_size": 2, "flip": 1}}, "recipe cannot be"),
    ],
)
def test_values_that_make_no_sense_are_named(change, message):
    values = json.loads((RUNS / NAMES[0] / "config.json").read_text())
    with pytest.raises(ValueError, match=message):
        RunConfig.from_json(values | change)


@pytest.mark.parametrize(
    "setting",
    [
        {"validation": 0.2},
        {"size": "8x8"},
        {"content": "0" * 64},
        {"build_options": {"filters": 2}},
        {"weights": WeightsFile("/w.pth", "0" * 64)},
        {"seed": 1},
    ],
    ids=str,
)
def test_a_setting_that_one_config_leaves_out_is_a_difference(setting):
    plain = RunConfig(
        network="lenet5",
        data="mnist",
        classes=("0", "1"),
        shape=(1, 28, 28),
        recipe=Recipe(),
        steps_per_epoch=4,
    )
    other = plain.replace(**setting)
    assert plain.differences(other) == other.differences(plain) == list(setting)
    assert other.differences(other.replace(data="elsewhere", version="0.3")) == []
