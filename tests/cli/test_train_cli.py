"""``autocnn train`` and ``evaluate``: what they print, what they leave in a run folder, what they
refuse.
"""

import importlib.util
import itertools
import json
import pathlib
import re

import numpy as np
import pytest
from typer.testing import CliRunner

import autocnn as ac
from autocnn import runs
from autocnn.cli import app, main, progress, session
from autocnn.training import Diverged
from tests.cli.tiny_runs import autocnn, begun, files, short

PLOTS = ["confusion.png", "curves.png", "mistakes.png"]
FOLDER = [
    "best-copy.safetensors",
    "best.safetensors",
    "config.json",
    *PLOTS[:2],
    "history.csv",
    "last-1.safetensors",
    "last-2.safetensors",
    "last.safetensors",
    PLOTS[2],
]


def test_prints_a_row_an_epoch(trained):
    folder, result = trained
    assert result.exit_code == 0, result.output
    assert "tiny-cnn, 114 parameters" in result.stdout
    assert "60 training and 30 validation images of 1x8x8" in " ".join(result.stdout.split())
    rows = re.findall(
        r"^ +(\d+)  ([\d.]+) +([\d.]+)%  ([\d.]+) +([\d.]+)%  +\d+:\d\d$",
        result.stdout,
        re.MULTILINE,
    )
    lines = (folder / "history.csv").read_text().splitlines()[1:]
    assert len(rows) == len(lines) == 4
    for row, line in zip(rows, lines, strict=True):
        epoch, loss, accuracy, val_loss, val_accuracy = map(float, line.split(","))
        assert row == (
            f"{epoch:.0f}",
            f"{loss:.4f}",
            f"{100 * accuracy:.2f}",
            f"{val_loss:.4f}",
            f"{100 * val_accuracy:.2f}",
        )
    assert f"validation accuracy {val_accuracy:.2%}" in result.stdout
    assert (
        max(len(text) for text in result.stdout.splitlines() if re.match(r" *(epoch|\d+ )", text))
        == 52
    )
    assert result.stderr == ""  # the bar is for terminals


def test_leaves_a_run_folder(trained, images):
    folder, _ = trained
    assert sorted(path.name for path in folder.iterdir()) == sorted(FOLDER)
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in PLOTS)
    config = json.loads((folder / "config.json").read_text())
    assert config["recipe"]["epochs"] == 3 and config["recipe"]["rate"] == 0.2
    assert (config["data"], config["shape"], config["steps_per_epoch"]) == (
        str(images),
        [1, 8, 8],
        9,
    )


def test_the_parameters_are_those_of_the_history(trained, images):
    data = ac.data.load(images)
    for name in ("last", "best"):
        model, moment = runs.load(trained[0], name)[1:]
        loss, accuracy = ac.evaluate(model, moment.params, moment.state, data.x_val, data.y_val)
        expected = moment.history["val_loss"][-1], moment.history["val_acc"][-1]
        assert loss == pytest.approx(expected[0], rel=1e-6)  # sums of float32 in another order
        assert accuracy == expected[1]
        assert {leaf.dtype for _, leaf in ac.trees.leaves(moment.params)} == {np.dtype("float32")}
    history = runs.load(trained[0], "last").train_state.history["val_acc"]
    assert accuracy == max(history)
    assert (
        moment.step == 9 * history.index(accuracy) < 27
    )  # here the best epoch is not the last, and of equals it is the first


def test_one_seed_one_result(trained, images, tmp_path):
    again = autocnn(*short(images, tmp_path / "a"))
    other = autocnn(*short(images, tmp_path / "b", "--seed", 1))
    assert again.exit_code == other.exit_code == 0
    for name in ("history.csv", "last.safetensors", "best.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (trained[0] / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() != (trained[0] / name).read_bytes()


def test_gradients_by_hand_train_the_same(trained, images, tmp_path):
    result = autocnn(*short(images, tmp_path / "a", "--engine", "reference"))
    assert "gradients by reference" in result.stdout
    histories = [
        runs.load(folder, "last").train_state.history for folder in (trained[0], tmp_path / "a")
    ]
    np.testing.assert_allclose(histories[0]["val_loss"], histories[1]["val_loss"], rtol=1e-3)


def test_a_loss_that_diverges_is_exit_1(images, tmp_path):
    for rate in (1e6, 1e36):
        result = autocnn(*short(images, tmp_path / f"{rate}", "--optimizer", "sgd", "--rate", rate))
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert re.match("autocnn: .*(loss|params).* lower the rate", line)
    assert re.search(
        r"epoch 1, step \d: layer \d \(\w+\) is the first whose output is not finite|"
        r"params leaf '\d.\w'",
        line,
    )
    assert (
        autocnn("evaluate", tmp_path / f"{rate}").exit_code == 0
    )  # the last good parameters are there


def test_a_run_that_learned_nothing_is_saved_and_is_exit_1(images, tmp_path):
    high = ("--optimizer", "adam", "--rate", 1)
    result = autocnn(*short(images, tmp_path / "a", *high))
    assert result.exit_code == 1 and "validation accuracy" in result.stdout
    assert "no better than guessing after 3 epochs" in result.stderr
    assert "lower the rate (--rate), which is 1 here and 0.001 in the recipe" in result.stderr
    assert "3 of 3 in layer 1 (relu)" in result.stderr
    assert (tmp_path / "a" / "curves.png").exists()
    again = autocnn("train", "--run", tmp_path / "a")  # there is nothing left to train
    assert again.exit_code == 1 and "no better than guessing" in again.stderr
    stopped = autocnn(*short(images, tmp_path / "b", *high, "--until", 1))
    assert stopped.exit_code == 0 and not stopped.stderr


def test_a_loss_that_stays_finite_can_diverge_too():
    check = session.check_progress
    check([2.0, 3.0, 1.9], is_last=True)
    check([2.0, 19.0], is_last=False)
    check([2.0], is_last=False)
    for losses, is_last in (([2.0, 3.0], True), ([2.0, 1.0, 21.0], False)):
        with pytest.raises(Diverged, match="rose from 2 to"):
            check(losses, is_last)


@pytest.mark.parametrize(
    "columns, least", [(100, 52), (60, 52), (52, 52), (51, 36), (40, 36), (35, 20), (20, 20)]
)
def test_the_table_fits_the_terminal(columns, least):
    history = {
        "epoch": [0, 120],
        "train_loss": [2.3, 0.01],
        "train_acc": [0.1, 1.0],
        "val_loss": [2.3, 12.345678],
    }
    history["val_acc"] = [0.1, 0.98765]
    above, labels = progress.head(columns).splitlines()
    row = progress.row(history, 3599.7, columns)
    assert len(labels) == len(row) == least and len(above) <= least
    assert "12.346" in row and "98.77%" in row and "1" + "20 " in row
    assert row.endswith("60:00") == (least == 52) and ("100.00%" in row) == (least > 20)


def test_the_words_around_the_table_are_wrapped(images, tmp_path):
    call = [str(word) for word in short(images, tmp_path / "run", "--until", 1)]
    said = CliRunner().invoke(app, call, env={"COLUMNS": "40"}).stdout
    long = [line for line in said.splitlines() if len(line) > 40]
    assert (
        f"stopped after epoch 1 of 3; go on with: autocnn train --run {tmp_path / 'run'}" in long
    )  # whole, to be copied
    assert all(str(images) in line or str(tmp_path) in line for line in long)


@pytest.mark.usefixtures("no_figures")
def test_json_lines(trained, images, tmp_path):
    folder = tmp_path / "run"
    result = begun(images, folder, "--json")
    *epochs, last = [json.loads(text) for text in result.stdout.splitlines()]
    history = runs.load(trained[0], "last").train_state.history
    assert [{name: line[name] for name in history} for line in epochs] == [
        dict(zip(history, values, strict=True)) for values in zip(*history.values(), strict=True)
    ]
    assert all(set(line) == {*history, "seconds"} for line in epochs)
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(epochs))
    best = int(np.argmax(history["val_acc"]))
    assert last == {
        **{
            "run": str(folder),
            "network": "tiny-cnn",
            "data": str(images),
            "seed": 0,
            "epoch": 3,
            "epochs": 3,
        },
        **{"val_loss": history["val_loss"][-1], "val_acc": history["val_acc"][-1]},
        **{"best_epoch": best, "best_val_acc": history["val_acc"][best], "stopped": None},
        **{"calibrated": False, "val_images": 30},
        "files": last["files"],
    }
    assert "are not calibrated: of 50 validation images" in " ".join(trained[1].stdout.split())
    assert sorted(last["files"]) == sorted(path.name for path in folder.iterdir())
    assert "tiny-cnn, 114 parameters" in result.stderr and "accuracy" not in result.stderr
    assert files(folder) == files(trained[0])
    again = begun(images, folder, "--json")  # done already, and --json is no setting of the run
    assert [json.loads(text) for text in again.stdout.splitlines()] == [last]


@pytest.mark.usefixtures("no_figures")
def test_json_says_why_a_run_stopped(images, tmp_path):
    for more, why in ((("--until", 1), "until"), ((), None)):
        *epochs, last = map(
            json.loads, begun(images, tmp_path / "a", "--json", *more).stdout.splitlines()
        )
        assert last["stopped"] == why and len(epochs) == 2
    result = begun(
        images, tmp_path / "b", "--json", "--epochs", 60, "--patience", 1, "--rate", 1e-9
    )
    assert json.loads(result.stdout.splitlines()[-1])["stopped"] == "patience"
    stopped = autocnn(
        *short(images, tmp_path / "c", "--optimizer", "sgd", "--rate", 1e36, "--json")
    )
    assert stopped.exit_code == 1 and [
        json.loads(text)["epoch"] for text in stopped.stdout.splitlines()
    ] == [0]


def test_without_scikit_learn_there_are_patterns(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name == "sklearn" else find(name, *more),
    )
    with pytest.raises(ImportError, match=r"autocnn train tiny-cnn --data patterns$"):
        result = CliRunner().invoke(app, ["train", "tiny-cnn"])
        raise result.exception


def test_evaluate(trained, images):
    history = runs.load(trained[0], "last").train_state.history
    assert autocnn("evaluate", trained[0], "--last").stdout.startswith(
        f"30 validation images: loss {history['val_loss'][-1]:.4f}, "
        f"accuracy {history['val_acc'][-1]:.2%}\n\nclass  images  precision"
    )
    assert (
        f"accuracy {max(history['val_acc']):.2%}"
        in autocnn("evaluate", trained[0], "--data", images).stdout
    )
    with pytest.raises(ValueError, match="3 classes, the data have 10"):
        autocnn("evaluate", trained[0], "--data", "digits")


def test_evaluate_as_json(trained, images):
    folder, history = trained[0], runs.load(trained[0], "last").train_state.history
    last = json.loads(autocnn("evaluate", folder, "--last", "--json").stdout)
    assert len(last.pop("classes")) == 3 and last.pop("calibration")["temperature"] is None
    assert last == {
        "run": str(folder),
        "data": str(images),
        "set": "validation",
        "epoch": 3,
        "images": 30,
        "loss": pytest.approx(history["val_loss"][-1], rel=1e-6),
        "accuracy": history["val_acc"][-1],
    }
    best = json.loads(autocnn("evaluate", folder, "--json", "--data", "patterns").stdout)
    assert best["epoch"] == int(np.argmax(history["val_acc"])) and best["data"] == "patterns"
    assert best["images"] == len(ac.data.patterns().x_val)


def test_label_smoothing_is_kept_in_the_run(trained, images, tmp_path):
    folder = tmp_path / "run"
    result = autocnn(*short(images, folder, "--label-smoothing", 0.2))
    assert "labels smoothed by 0.2" in result.stdout
    config = runs.read_config(folder)
    assert config.recipe.label_smoothing == 0.2
    assert "label_smoothing" not in (trained[0] / "config.json").read_text()
    plain, smoothed = (runs.load(f, "last").train_state for f in (trained[0], folder))
    assert not np.array_equal(plain.params[0]["w"], smoothed.params[0]["w"])
    data = runs.load_data(str(images))
    loss = ac.losses.smoothed_cross_entropy(0.2)
    found = ac.evaluate(
        config.build(ac.layers), smoothed.params, smoothed.state, data.x_val, data.y_val, loss=loss
    )
    assert found[0] == pytest.approx(smoothed.history["val_loss"][-1], rel=1e-5)
    with pytest.raises(ValueError, match="label smoothing is a share"):
        autocnn(*short(images, tmp_path / "other", "--label-smoothing", 1.5))
    assert not (tmp_path / "other").exists()


def test_limit_and_shifts(images, tmp_path):
    result = autocnn(*short(images, tmp_path / "a", "--limit", 20, "--shift", "--flip"))
    said = " ".join(
        result.stdout.split()
    )  # a folder with a long name may have changed where lines end
    assert "20 training and 20 validation images" in said
    assert "shifts of up to 1 and mirror images" in said
    assert json.loads((tmp_path / "a" / "config.json").read_text())["steps_per_epoch"] == 3


@pytest.mark.parametrize(
    "change, words",
    [
        (["--epochs", 0], "epochs must be an int, 1 or more; got 0"),
        (["--batch-size", 0], "batch_size"),
        (["--rate", -1], "rate must be a finite number"),
        (["--rate", "nan"], "rate must be a finite number"),
        (["--clip", 0], "max_norm must be a number above 0"),
        (["--weight-decay", -1], "weight_decay"),
        (["--optimizer", "lion"], "no optimizer 'lion'; use adam or sgd"),
        (["--seed", -1], "--seed must be an int, 0 or more and below 2^63; got -1"),
        (
            ["--seed", 2**63],
            "--seed must be an int, 0 or more and below 2^63; got 9223372036854775808",
        ),
        (["--width", 0], "width"),
        (["--width", "inf"], "width"),
        (["--limit", 0], "--limit"),
        (["--engine", "torch"], "no engine 'torch'"),
        (["--data", "minst"], "did you mean 'mnist'"),
        (["--original"], "--original is for lenet5"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(images, tmp_path, change, words):
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        autocnn(*short(images, tmp_path / "run", *change))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "args, words",
    [
        (("train",), "name a network"),
        (("train", "tiny-gnn", "--data", "patterns"), "no network 'tiny-gnn'"),
        (("train", "tiny-cnn", "--data", "patterns", "--optimizer", "adam"), "needs a --rate"),
        (
            ("train", "tiny-cnn", "--data", "patterns", "--optimizer", "rms"),
            "no optimizer 'rms'; use",
        ),
        (
            ("train", "tiny-cnn", "--run", "x", "--out", "y"),
            "--run x and --out y both name the run folder",
        ),
        (("train", "--run", "nowhere"), "nowhere holds no run; to begin one there name a network"),
        (("train", "--run", "nowhere", "--epochs", "9"), "nowhere holds no run"),
        (
            ("train", "tiny-cnn", "--schedule", "linear", "--run", "nowhere"),
            "no schedule 'linear'; use cosine or constant",
        ),
        (
            ("train", "tiny-cnn", "--patience", "0", "--run", "nowhere"),
            "--patience must be an int, 1 or more; got 0",
        ),
        (
            ("train", "tiny-cnn", "--class-weight", "equal", "--run", "nowhere"),
            "class_weight is 'balanced'.*got 'equal'",
        ),
        (
            ("train", "tiny-cnn", "--epochs", "3", "--until", "4", "--run", "nowhere"),
            "--until 4 is beyond the end.*epoch 3",
        ),
        (
            ("train", "tiny-cnn", "--until", "0", "--run", "nowhere"),
            "--until must be an int, 1 or more; got 0",
        ),
        (("evaluate", "nowhere"), "holds no run"),
    ],
)
def test_bad_calls(args, words):
    with pytest.raises(ValueError, match=words):
        autocnn(*args)
    assert not pathlib.Path("nowhere").exists()


def test_the_program_ends_with_2_and_one_line(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["autocnn", "train", "lenet5", "--data", "digits"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("autocnn: lenet5 does not fit images of 1x8x8: ")


@pytest.mark.parametrize(
    "width, words",
    [
        ("1e14", "more numbers than fit into memory"),
        ("1e9", "it would have .* parameters, too many"),
    ],
)
def test_a_network_that_is_too_large_is_not_drawn(width, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=words):
        autocnn("train", "tiny-cnn", "--data", "patterns", "--width", width)
    assert not list(tmp_path.iterdir())


def test_too_little_memory_is_one_line(monkeypatch, capsys, tmp_path):
    def initialize(config):
        raise MemoryError("Unable to allocate 1.00 PiB")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "initialize", initialize)
    monkeypatch.setattr("sys.argv", ["autocnn", "train", "tiny-cnn", "--data", "patterns"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("autocnn: not enough memory: Unable to allocate")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(images, tmp_path):
    (tmp_path / "file").write_text("")
    result = autocnn(*short(images, tmp_path / "file" / "run"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1 and "cannot write to" in result.stderr
