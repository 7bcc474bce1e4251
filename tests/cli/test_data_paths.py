"""``--data`` with paths: forms, shares, sizes, data that have moved, ~, and what a path holds."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from autocnn import runs

RNG = np.random.default_rng(2)


@pytest.fixture
def pets(tmp_path, monkeypatch):
    """A folder of two classes of images of two sizes, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    for label, name in enumerate(("cat", "dog")):
        for k in range(10):
            size = (12, 16) if k % 2 else (10, 10)
            image = RNG.integers(0, 100, size, dtype=np.uint8) + np.uint8(120 * label)
            path = tmp_path / "pets" / name / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return tmp_path / "pets"


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def test_a_folder_of_images_trains_and_says_what_was_chosen(command, pets, tmp_path):
    code, out, err = command("train", "tiny-cnn", "--data", "pets", "--epochs", 1, "--run", "r")
    assert code == 0, err
    text = " ".join(out.split())
    assert f"{pets}: 16 training and 4 validation images of 1x10x10" in text
    assert "10x10 to 16x12 (width x height) were scaled to cover 10x10" in text
    assert config_of(tmp_path / "r")["data"] == str(pets)
    code, out, err = command("evaluate", "r")
    assert code == 0 and out.startswith("4 validation images: loss")
    assert "count as" not in err
    (pets / "dog").rename(pets / "bird")  # which sorts before cat
    code, _, err = command("evaluate", "r", "--data", "pets")
    assert code == 0 and "the data's classes are bird, cat; they count as the run's cat, dog" in err


def test_a_share_and_a_size_are_kept(command, pets, tmp_path):
    options = ("--data", "pets/", "--validation", 0.5, "--size", "8x9", "--run", "r")
    code, out, err = command("train", "tiny-cnn", *options, "--epochs", 1)
    assert code == 0 and "and 10 validation images of 1x8x9" in " ".join(out.split()), err
    config = runs.read_config(tmp_path / "r")
    assert (config.validation, config.size, config.shape) == (0.5, "8x9", (1, 8, 9))
    assert command("train", "--run", "r", "--validation", 0.5, "--size", "8x9")[0] == 0
    for option, word in ((("--size", 8), "--size 8x9, not --size 8x8"),
                         (("--validation", 0.4), "--validation 0.5, not")):  # fmt: skip
        code, _, err = command("train", "--run", "r", *option)
        assert code == 2 and word in err
    for option, words in (
        (("--size", "8.5"), "--size is a number of pixels, or HEIGHTxWIDTH"),
        (("--validation", "1.5"), "validation must lie between 0 and 1"),
    ):
        code, _, err = command("train", "tiny-cnn", "--data", "pets", *option)
        assert code == 2 and words in err and err.count("\n") == 1


def test_a_share_of_a_named_set_leaves_its_validation_images_for_the_test(command, tmp_path):
    pytest.importorskip("sklearn")
    folder = tmp_path / "r"
    options = ("--data", "digits", "--validation", 0.2, "--limit", 50, "--epochs", 1)
    code, out, err = command("train", "tiny-cnn", *options, "--run", folder)
    assert code == 0 and "50 test images, for evaluate" in " ".join(out.split()), err
    code, out, _ = command("evaluate", folder, "--json")
    assert json.loads(out)["set"] == "test" and json.loads(out)["images"] == 50


def test_a_limit_takes_images_of_all_classes(pets):
    data = runs.load_data(str(pets), 4)
    assert sorted(data.y_train.tolist()) == [0, 0, 1, 1]


def test_a_run_goes_on_from_another_folder_and_after_its_data_have_moved(
    command, pets, tmp_path, monkeypatch
):
    begin = ("--epochs", 3, "--until", 1, "--run", "r")
    assert command("train", "tiny-cnn", "--data", "pets", *begin)[0] == 0
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert command("train", "--run", "../r", "--until", 2)[0] == 0
    monkeypatch.chdir(tmp_path)
    shutil.move("pets", "moved")
    for words in (("train", "--run", "r"), ("evaluate", "r")):
        code, _, err = command(*words)
        assert code == 2 and "not there any more; if they have moved" in err and "--data NEW" in err
    code, out, err = command("train", "--run", "r", "--data", "moved")
    assert code == 0 and "\n    3 " in out, err
    assert config_of(tmp_path / "r")["data"] == str(tmp_path / "moved")
    assert command("train", "--run", "r")[0] == command("evaluate", "r")[0] == 0


@pytest.mark.parametrize("change", ["an image", "a label", "a class", "fewer"])
def test_other_data_are_refused(command, pets, tmp_path, change):
    begin = ("--epochs", 2, "--until", 1, "--run", "r")
    assert command("train", "tiny-cnn", "--data", "pets", *begin)[0] == 0
    before = (tmp_path / "r" / "config.json").read_text()
    shutil.copytree("pets", "other")
    if change == "an image":
        Image.fromarray(np.full((10, 10), 7, np.uint8)).save("other/cat/4.png")
    elif change == "a label":
        os.replace("other/cat/2.png", "other/dog/2.png")
    elif change == "a class":
        os.rename("other/cat", "other/lion")
    else:
        for k in range(4):
            os.remove(f"other/cat/{k}.png")
    code, _, err = command("train", "--run", "r", "--data", "other")
    assert code == 2 and "holds a run with --data" in err and "not --data" in err
    assert err.count("\n") == 1 and (tmp_path / "r" / "config.json").read_text() == before


def test_a_run_without_a_sum_says_what_is_not_checked(command, pets, tmp_path):
    begin = ("--epochs", 2, "--until", 1, "--run", "r")
    assert command("train", "tiny-cnn", "--data", "pets", *begin)[0] == 0
    config = runs.read_config(tmp_path / "r").replace(content=None)
    (tmp_path / "r").rename("old")
    runs.create("new", config.replace(run=None))
    shutil.copytree("pets", "other")
    code, _, err = command("train", "--run", "new", "--data", "other")
    assert code == 0 and "keeps no sum of its data" in err


def test_a_tilde_behind_an_equals_sign_is_the_home_folder(command, pets, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    shutil.copytree("pets", "home/pets")
    options = ("--data=~/pets", "--epochs", 1, "--run=~/runs/a")
    code, _, err = command("train", "tiny-cnn", *options)
    assert code == 0, err
    code, _, err = command("filters", tmp_path / "home/runs/a", "--out=~/filters.png")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"pets", "runs", "filters.png"}
    assert not (tmp_path / "~").exists()


def test_what_a_path_holds(command, pets):
    code, out, err = command("data", "pets")
    assert code == 0, err
    assert "image files in class folders: 2 classes (cat, dog), 20 training images" in out
    assert "10x10 to 16x12 pixels" in out and "autocnn train tiny-cnn --data pets" in out
    code, out, _ = command("data", "show", "pets", "--json")
    found = json.loads(out)
    assert found["classes"] == ["cat", "dog"] and found["images"] == {"train": 20}
    np.savez("a.npz", X=np.zeros((10, 28, 28), np.uint8), y=np.arange(10) % 2)
    code, out, _ = command("data", "a.npz")
    assert "arrays (.npz): 2 classes (0, 1), 8 training and 2 validation images, 28x28" in out
    assert "autocnn train lenet5 --data a.npz" in out
    code, _, err = command("data", "fetsch")
    assert code == 2 and "commands are list, show and fetch" in err


def test_augmentations_are_kept_and_a_resumed_run_repeats_them(command, pets, tmp_path):
    options = ("train", "tiny-cnn", "--data", "pets", "--epochs", 3, "--seed", 3)
    changes = ("--augment", "rotate=10,crop=1,flip")
    code, out, err = command(*options, *changes, "--run", "whole")
    assert code == 0 and "rotate=10,crop=1,flip" in out, err
    assert runs.read_config("whole").recipe.augment == "rotate=10,crop=1,flip"
    assert command(*options, *changes, "--until", 1, "--run", "parts")[0] == 0
    assert command("train", "--run", "parts")[0] == 0
    assert command(*options, "--run", "plain")[0] == 0
    texts = {name: (tmp_path / name / "history.csv").read_text() for name in
             ("whole", "parts", "plain")}  # fmt: skip
    assert texts["whole"] == texts["parts"] != texts["plain"]
    assert '"augment"' not in (tmp_path / "plain" / "config.json").read_text()
    code, _, err = command("train", "--run", "plain", *changes)
    assert code == 2 and "with no --augment, not --augment" in err
    code, _, err = command(*options, "--augment", "twist=3")
    assert code == 2 and "there is no augmentation 'twist'" in err and err.count("\n") == 1


def test_a_table_trains_and_a_damaged_image_is_said_once(command, pets, tmp_path):
    rows = [f"{k % 2}," + ",".join(str((k * v) % 256) for v in range(64)) for k in range(20)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    code, out, err = command("train", "tiny-cnn", "--data", "./train.csv", "--epochs", 1)
    assert code == 0 and "training and 4 validation images of 1x8x8" in " ".join(out.split()), err
    (pets / "cat" / "broken.png").write_bytes(b"x")
    code, out, err = command("train", "tiny-cnn", "--data", "pets", "--epochs", 1)
    assert code == 0 and (out + err).count("broken.png") == 1


def test_data_of_an_earlier_version_that_are_not_in_this_folder(command, pets, tmp_path):
    assert command("train", "tiny-cnn", "--data", "pets", "--epochs", 1, "--run", "r")[0] == 0
    config = runs.read_config(tmp_path / "r").replace(data="pets", run=None)
    runs.create("earlier", config)  # 0.1 kept the text of --data
    os.rename("pets", "moved")
    code, _, err = command("train", "--run", "earlier")
    assert code == 2 and "the data of the run, pets, are not there any more" in err
