"""What a page can show, and what it refuses in one line."""

import numpy as np
import pytest

import autocnn as ac
from autocnn.page.model import load
from autocnn.page.session import Session
from autocnn.page.train import Trainer
from tests.page.conftest import Window


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder of one epoch."""
    from typer.testing import CliRunner

    from autocnn.cli import app

    path = tmp_path_factory.mktemp("runs") / "tiny"
    arguments = ["train", "tiny-cnn", "--data", "patterns", "--epochs", "1", "--run", str(path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return path


def everything(path):
    return {p: p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def opened(shown):
    return Window(lambda send: Session(shown, Trainer(shown), send))


def test_the_default_is_the_chapters():
    shown = load()
    assert shown.epochs == 80 and shown.settings == (0.12, 18, "sgd", 11)
    _, params, _ = ac.models.tiny_cnn().init(3, (1, 8, 8))
    assert ac.trees.max_relative_difference(params, shown.params) == 0


def test_a_run_folder_is_shown_and_not_written_to(folder):
    before = everything(folder)
    shown = load(folder)
    window = opened(shown)
    info = window.ask("info")
    assert info["name"].startswith("tiny-cnn") and info["offers"]["train"]
    image = shown.data.x_val[0].astype(np.float32)
    found = window.ask("look", pixels=image, label=1)
    _, model, now = ac.runs.load(folder)
    traced = ac.trace(model, now.params, now.state, image[None])
    np.testing.assert_allclose(found["probabilities"], traced["probs"][0], rtol=1e-5)
    window.ask("epoch")
    window.session.close()
    assert everything(folder) == before


def test_a_run_folder_whose_data_are_gone_is_shown_without_training(folder, monkeypatch):
    def gone(name, *_):
        raise ValueError("it is not on this machine\nsecond line")

    monkeypatch.setattr("autocnn.runs.start.load_data", gone)
    shown = load(folder)
    window = opened(shown)
    info = window.ask("info")
    assert info["images"] == [] and not info["offers"]["train"]
    assert "no images to choose from" in info["notes"][0] and "\n" not in info["notes"][0]
    assert window.ask("look", pixels=np.zeros(64, np.float32), label=1)["loss"] > 0
    with pytest.raises(ValueError, match="no images to train on"):
        window.ask("play")
    window.session.close()


@pytest.mark.parametrize("damage", ["zeros", "gone", "cut"])
def test_a_damaged_run_folder_is_one_line(folder, tmp_path, damage, command, monkeypatch):
    import shutil

    def serves(*arguments):
        raise AssertionError("a damaged run is served")

    monkeypatch.setattr("autocnn.page.server.Server", serves)
    other = tmp_path / "damaged"
    shutil.copytree(folder, other)
    for path in everything(other):
        content = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(bytes(100) if damage == "zeros" else content[: len(content) // 2])
    code, out, err = command("page", other, "--no-browser")
    assert code == 2 and out == ""
    assert err.startswith("autocnn: ") and err.count("\n") <= 2  # a warning may come first


@pytest.mark.parametrize("what", ["nothing", "resnet50", "", "alexnet"])
def test_what_cannot_be_shown_is_one_line(what):
    with pytest.raises(ValueError, match=r"networks are|too large") as raised:
        load(what)
    assert "\n" not in str(raised.value)


def test_a_run_of_a_notebook_needs_its_data(patterns):
    _, params, _ = ac.models.tiny_cnn().init(3, (1, 8, 8))
    run = ac.train(params, patterns, epochs=1)
    with pytest.raises(ValueError, match=r"ac.page\(run, data\)"):
        load(run)
    shown = load(run, patterns)
    window = opened(shown)
    assert window.ask("info")["classes"] == patterns.classes
    window.session.close()


@pytest.mark.parametrize("what", [3, [1], ac])
def test_other_things_are_one_line(what):
    with pytest.raises(ValueError, match="network's name, a run folder or a Run"):
        load(what)


@pytest.mark.slow
def test_lenet5_is_shown_with_digits():
    pytest.importorskip("sklearn")
    shown = load("lenet5")
    assert shown.shape == (1, 28, 28) and shown.data.x_val.shape[1:] == (1, 28, 28)
    assert shown.data.x_val.min() >= 0 and shown.data.x_val.max() <= 1
    trainer = Trainer(shown)
    trainer.epoch(shown.nets)
    assert trainer.history[-1].accuracies[1] > 0.5


def test_the_1998_network_takes_images_of_28():
    shown = load("lenet5-1998") if ac.data.digits.available() else pytest.skip("no scikit-learn")
    window = opened(shown._replace(data=None))
    info = window.ask("info")
    assert info["input"] == (1, 28, 28) and info["stages"][0]["shape"] == (1, 32, 32)
    found = window.ask("look", pixels=np.zeros(784, np.float32), label=0)
    assert found["stages"][0]["values"].min() == pytest.approx(-0.1)
    window.session.close()


def test_a_network_of_a_file_is_trained_first():
    with pytest.raises(ValueError, match=r"autocnn train own\.py:build --data NAME --out"):
        load("own.py:build")
