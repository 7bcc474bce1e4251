"""Files of a run that are missing, older than others, or not files: said, and nothing is lost."""

import json
import os
import shutil

import pytest

from autocnn import runs
from tests.runs.conftest import autocnn, files, verified

LAST = ("last", "last-1", "last-2")
BEST = ("best", "best-copy")
pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def part(folders, tmp_path):
    """A run after three of five epochs, to be changed."""
    shutil.copytree(folders[0], tmp_path / "run")
    return tmp_path / "run"


def at(folder, names):
    return [folder / f"{name}.safetensors" for name in names]


def goes_on(folder, whole):
    """Go on with a run: one line is said, which is returned, and it ends as if undisturbed."""
    result = autocnn("train", "--run", folder)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 0 and files(folder) == files(whole) and verified(folder) == {}
    return line


@pytest.mark.parametrize("order", [(2, 1, 2), (1, 0, 2), (2, 1, 0), (None, 1, 2)])
def test_the_newest_state_is_used_wherever_it_is(part, folders, order):
    paths = at(part, LAST)
    contents = [path.read_bytes() for path in paths]
    for path, i in zip(paths, order, strict=True):
        path.unlink() if i is None else path.write_bytes(contents[i])
    newest = min(i for i in order if i is not None)
    assert list(verified(part)) == ["last.safetensors"]
    assert runs.load(part, "last").epoch == 3 - newest
    said = goes_on(part, folders[1])
    assert f"the run goes on from epoch {3 - newest}" in said
    assert "last.safetensors is " + ("missing" if None in order else "older than last-") in said


@pytest.mark.parametrize("names", [("last.safetensors", "last-1.safetensors"), ("config.json",)])
def test_a_run_that_has_lost_more_is_gone_on_with(part, folders, names):
    for name in names:
        (part / name).unlink()
    result = autocnn("evaluate", part)
    assert result.exit_code == 0 and f"{names[0]} is missing; best" in result.stderr
    assert f"{names[0]} is missing; " in goes_on(part, folders[1])


def test_without_any_last_the_best_is_where_the_run_stands(part, folders):
    for path in at(part, LAST):
        path.unlink()
    assert list(verified(part)) == ["last.safetensors"]
    result = autocnn("train", "--run", part)
    assert result.exit_code == 0 and "in best.safetensors" in result.stderr
    for path in at(part, ("last", *BEST)):
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()


def test_a_new_run_is_not_begun_over_checkpoints_without_config(part):
    (part / "config.json").unlink()
    before = files(part)
    result = autocnn("train", "tiny-cnn", "--data", "patterns", "--out", part)
    assert "holds a run already" in str(result.exception) and files(part) == before
    with pytest.raises(ValueError, match="holds a run already"):
        runs.create(part, runs.load(part, "last").config)


def test_the_checkpoints_of_another_run_are_not_dropped_for_the_best(part, folders):
    """They are whole, and may be worth more than the best."""
    config = runs.load(part).config.replace(run="e" * 32)
    for path, name in zip(at(part, LAST), LAST, strict=True):
        state = runs.load(folders[1], "last").train_state
        path.unlink()
        runs.save(part, state, name, config)
        path.with_stem(f"{name}-copy").unlink(missing_ok=True)
    before = files(part)
    result = autocnn("train", "--run", part)
    assert "belongs to the run eeeeeeee" in str(result.exception) and files(part) == before
    result = autocnn("evaluate", part)
    assert result.exit_code == 0 and "belongs to the run eeeeeeee" in result.stderr


def test_when_the_best_is_lost_the_last_is_used(part, caplog):
    state, config = runs.load(part, "last").train_state, runs.read_config(part)
    history = state.history | {"val_acc": [2.0, *state.history["val_acc"][1:]]}
    runs.save(part, state._replace(history=history), "last", config)
    assert runs.load(part).epoch == 3
    assert "nothing holds the parameters of epoch 0, the best; last.safetensors, of" in caplog.text
    result = autocnn("train", "--run", part)
    assert result.exit_code == 0 and "nothing holds the parameters of epoch 0" in result.stderr
    assert "validation accuracy" in result.stdout


@pytest.mark.parametrize("old, new", [('"seed": 0', '"seed": 4'), ("0.01", "0.03"), ("{", "{ ")])
def test_a_config_that_was_changed_before_the_first_save_is_refused(part, old, new):
    """No checkpoint tells how the run began, but the sum does."""
    for path in part.glob("*.safetensors"):
        path.unlink()
    config = part / "config.json"
    assert old in config.read_text()
    config.write_text(config.read_text().replace(old, new))
    before = files(part)
    result = autocnn("train", "--run", part)
    assert "was changed after the run began" in str(result.exception)
    assert files(part) == before


def test_a_config_that_was_sealed_anew_is_not_used(part, folders):
    """Its sum is right, but the checkpoints tell how the run was trained."""
    config = runs.read_config(part)
    runs.folder.write_config(part, config.replace(seed=config.seed + 4))
    assert "changed after the run began: seed" in verified(part)["config.json"]["problem"]
    assert "changed after the run began: seed" in goes_on(part, folders[1])


def test_a_config_without_its_sum_is_not_whole(part):
    values = json.loads((part / "config.json").read_text())
    del values["sha256"], values["run"]
    (part / "config.json").write_text(json.dumps(values))
    assert "changed after the run began: run" in verified(part)["config.json"]["problem"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
@pytest.mark.parametrize(
    "name", ["config.json", "last.safetensors", "history.csv", "best.safetensors"]
)
def test_a_pipe_is_not_read_for_ever(part, folders, name):
    (part / name).unlink()
    os.mkfifo(part / name)
    assert name in verified(part)
    assert autocnn("evaluate", part).exit_code == 0
    result = autocnn("train", "--run", part)
    assert result.exit_code == 0 and files(part) == files(folders[1])


def test_other_weights_in_the_folder_are_not_the_runs(part):
    assert autocnn("export", part, part / "named.safetensors").exit_code == 0
    runs.save(part, runs.load(part, "last").train_state, "kept")
    assert verified(part) == {}
