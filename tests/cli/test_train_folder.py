"""``autocnn train --run``: one folder, many calls."""

import json
import re
import shutil

import numpy as np
import pytest

import autocnn as ac
from autocnn import checkpoint, runs
from autocnn.data import idx
from autocnn.data.known import FILES
from autocnn.trees import leaves
from tests.cli.tiny_runs import autocnn, begun, files, short


def test_an_existing_run_stays(trained, images):
    before = (trained[0] / "last.safetensors").read_bytes()
    with pytest.raises(ValueError, match="holds a run already"):
        autocnn(*short(images, trained[0]))
    assert (trained[0] / "last.safetensors").read_bytes() == before


def test_going_on_needs_the_same_data(trained, images, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    shutil.copytree(images, tmp_path / "data")
    config = runs.read_config(tmp_path / "run")
    runs.write_config(tmp_path / "run", config.replace(data=str(tmp_path / "data")))
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    assert autocnn("train", "--run", tmp_path / "run").exit_code == 0  # it was done already
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    for name in FILES[:2]:
        array = idx.read(tmp_path / "data" / name, "images" if "images" in name else "labels")
        idx.write(tmp_path / "data" / name, array[:40])
    with pytest.raises(ValueError, match="is not what it was"):
        autocnn("train", "--run", tmp_path / "run")


@pytest.mark.usefixtures("no_figures")
def test_one_call_begins_a_run_and_goes_on_with_it(trained, images, tmp_path):
    folder = tmp_path / "run"
    first = begun(images, folder, "--until", 1)
    assert first.exit_code == 0
    assert f"stopped after epoch 1 of 3; go on with: autocnn train --run {folder}\n" in first.stdout
    assert len((folder / "history.csv").read_text().splitlines()) == 3
    assert begun(images, folder, "--until", 1).exit_code == 0  # there already
    assert len((folder / "history.csv").read_text().splitlines()) == 3
    done = begun(images, folder)
    assert done.exit_code == 0 and "stopped" not in done.stdout
    assert files(folder) == files(trained[0])
    assert begun(images, folder).exit_code == 0  # done already
    assert files(folder) == files(trained[0])


@pytest.mark.usefixtures("no_figures")
def test_two_and_two_epochs_are_four_with_a_constant_schedule(images, tmp_path):
    for epochs, folder in ((4, "whole"), (2, "parts"), (4, "parts")):
        result = autocnn(
            *(
                "train",
                "tiny-cnn",
                "--data",
                images,
                "--schedule",
                "constant",
                "--epochs",
                epochs,
                "--shift",
            ),
            *("--run", tmp_path / folder),
        )
        assert result.exit_code == 0 and "rate 0.001 staying there" in result.stdout
    parts, whole = files(tmp_path / "parts"), files(tmp_path / "whole")
    assert parts.keys() == whole.keys()
    for name in parts:  # files of the first two epochs say that two were planned
        if parts[name] != whole[name]:
            one, other = (checkpoint.load(tmp_path / n / name) for n in ("parts", "whole"))
            assert one.metadata["config"]["recipe"].pop("epochs") == 2
            assert other.metadata["config"]["recipe"].pop("epochs") == 4
            assert one.metadata == other.metadata
            for (_, a), (_, b) in zip(leaves(one[:2]), leaves(other[:2]), strict=True):
                np.testing.assert_array_equal(a, b)
    assert len((tmp_path / "whole" / "history.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "change, words",
    [
        (["--rate", 0.3], "holds a run with --rate 0.2, not --rate 0.3; leave that away"),
        (["--seed", 7], "--seed 0, not --seed 7"),
        (["--data", "digits"], "--data .*, not --data digits"),
        (["--batch-size", 8], "--batch-size 7, not --batch-size 8"),
        (["--flip"], "--no-flip, not --flip"),
        (["--clip", 1], "no --clip, not --clip 1.0"),
        (["--patience", 2], "no --patience, not --patience 2"),
        (["--dtype", "float64"], "--dtype float32, not --dtype float64"),
        (["--limit", 5], "no --limit, not --limit 5"),
        (["--epochs", 2], "holds a run of 3 epochs, not 2; to stop it after epoch 2: --until 2"),
        (["--until", 4], "--until 4 is beyond the end of the run, which is after epoch 3"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_options_beside_a_run_agree_with_it(trained, images, change, words):
    before = files(trained[0])
    with pytest.raises(ValueError, match=words) as caught:
        begun(images, trained[0], *change)
    assert "\n" not in str(caught.value)
    assert files(trained[0]) == before
    with pytest.raises(ValueError, match="holds a run with tiny-cnn, not lenet5-1998"):
        autocnn("train", "--original", "--run", trained[0])


@pytest.mark.usefixtures("no_figures")
def test_options_that_say_the_same_agree(trained, images, tmp_path, monkeypatch):
    shutil.copytree(trained[0], tmp_path / "run")
    monkeypatch.chdir(images.parent)
    same = (
        "--no-shift",
        "--no-flip",
        "--seed",
        0,
        "--width",
        1,
        "--schedule",
        "cosine",
        "--data",
        f"./{images.name}/",
    )
    assert begun(images, tmp_path / "run", *same).exit_code == 0
    assert files(tmp_path / "run") == files(trained[0])


@pytest.mark.usefixtures("no_figures")
def test_a_cosine_cannot_grow_and_the_calls_that_are_named_work(trained, images, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    with pytest.raises(
        ValueError, match="rate falls as a cosine to 0 at the end of epoch 3"
    ) as caught:
        begun(images, tmp_path / "run", "--epochs", 4)
    assert files(tmp_path / "run") == files(trained[0])
    anew, growing = re.findall(r"autocnn (train .*? --run \S+)", str(caught.value))
    assert "--rate 0.2" in anew and "--batch-size 7" in anew and "--schedule constant" in growing
    for i, call in enumerate((anew, growing)):
        *words, folder = call.split()
        assert folder == str(tmp_path / "run-2")
        assert autocnn(*words, f"{folder}-{i}").exit_code == 0
        assert len((tmp_path / f"run-2-{i}" / "history.csv").read_text().splitlines()) == 6
    assert (
        json.loads((tmp_path / "run-2-0" / "config.json").read_text())["recipe"]["schedule"]
        == "cosine"
    )


@pytest.mark.usefixtures("no_figures")
def test_folders_of_earlier_versions_go_on(trained, images, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    for name in ("schedule", "patience", "class_weight"):
        del config["recipe"][name]
    path.write_text(json.dumps(config))
    assert begun(images, tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (
        trained[0] / "last.safetensors"
    ).read_bytes()


@pytest.mark.usefixtures("no_figures")
def test_early_stopping_and_class_weights(images, tmp_path):
    call = ("train", "tiny-cnn", "--data", images, "--epochs", 60, "--rate", 0.1, "--patience", 3)
    call += ("--class-weight", "balanced")
    whole = autocnn(*call, "--run", tmp_path / "a")
    assert whole.exit_code == 0, whole.output
    assert (
        "at most 60 epochs, and no more than 3 without a better validation accuracy" in whole.stdout
    )
    assert "every class weighs the same" in whole.stdout
    accuracy = runs.load(tmp_path / "a", "last").train_state.history["val_acc"]
    best = accuracy.index(max(accuracy))
    assert len(accuracy) == best + 4 < 61
    assert f"stopped early, after epoch {best + 3} of 60" in whole.stdout
    assert runs.load(tmp_path / "a", "best").train_state.history["epoch"][-1] == best
    call += ("--limit", 40)  # which makes the classes unequal
    plain = [word for word in call if word not in ("--class-weight", "balanced")]
    assert len(np.unique(np.bincount(ac.data.load(images).y_train[:40]))) > 1
    for folder, words in (("c", call), ("d", plain)):
        assert autocnn(*words, "--run", tmp_path / folder).exit_code == 0
    assert (
        runs.load(tmp_path / "c", "last").train_state.history
        != runs.load(tmp_path / "d", "last").train_state.history
    )
    call = call[:-2]
    for until in (2, 60):
        assert autocnn(*call, "--run", tmp_path / "b", "--until", until).exit_code == 0
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    "name", ["engine", "data", "seed", "limit", "recipe", "steps_per_epoch", "network", "classes"]
)
@pytest.mark.parametrize("more", [False, True])
def test_settings_that_are_missing_are_named(trained, images, tmp_path, name, more):
    shutil.copytree(trained[0], tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    del config[name]
    path.write_text(json.dumps(config))
    more = ("--data", images, "--seed", 0) if more else ()
    result = autocnn("train", "--run", tmp_path / "run", *more)
    (line,) = result.stderr.splitlines()
    words = f"config.json is damaged: it lacks {name}; it is written anew from last.safetensors"
    assert result.exit_code == 0 and line.endswith(words)
    assert files(tmp_path / "run") == files(trained[0])
