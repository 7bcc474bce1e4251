"""``autocnn train`` and ``evaluate``: what they print, what they leave in a run folder, how they
stop, what they refuse.
"""

import ctypes
import importlib.util
import itertools
import json
import pathlib
import re
import shutil
import signal

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import autocnn as ac
from autocnn import checkpoint, runs
from autocnn.cli import app, interrupt, main, progress, session
from autocnn.data import idx
from autocnn.data.known import FILES
from autocnn.runs import recipes
from autocnn.training import Diverged
from autocnn.trees import leaves

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


def autocnn(*args):
    """Run a command and return its result; ValueErrors come through, as they do to
    ``autocnn.cli.main``.
    """
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, ValueError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of IDX files: the chapter's patterns in bytes, 60 for training and 30 for
    validation.
    """
    folder, drawn = tmp_path_factory.mktemp("idx"), ac.data.patterns()
    arrays = (drawn.x_train[::3, 0], drawn.y_train[::3], drawn.x_val[::3, 0], drawn.y_val[::3])
    for name, array in zip(FILES, arrays, strict=True):
        idx.write(folder / name, (array * 255 if array.ndim == 3 else array).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """One run of three epochs, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    return folder, autocnn(*short(images, folder))


def short(images, folder, *more):
    return (
        "train",
        "tiny-cnn",
        "--data",
        images,
        "--epochs",
        3,
        "--rate",
        0.2,
        "--batch-size",
        7,
        "--out",
        folder,
        *more,
    )


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
        assert (loss, accuracy) == (moment.history["val_loss"][-1], moment.history["val_acc"][-1])
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


@pytest.mark.parametrize("stop", [1, 9, 14, 27])
def test_ctrl_c_saves_and_run_goes_on_to_the_same_bits(
    trained, images, tmp_path, monkeypatch, stop
):
    """The interrupt comes while the stop-th batch is prepared; the recipe's other randomness is
    untouched.
    """
    calls, folder = [], tmp_path / "run"

    def interrupted(key, x):
        calls.append(key)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return x

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "augmentation", lambda *args: interrupted)
        stopped = autocnn(*short(images, folder))
    assert stopped.exit_code == 130
    assert f"stopped after step {stop - 1} of 27" in stopped.stderr
    assert f"autocnn train --run {folder}" in stopped.stderr
    assert runs.load(folder, "last").train_state.step == stop - 1
    again = []
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "augmentation", lambda *args: lambda key, x: again.append(key) or x)
        result = autocnn("train", "--run", folder)
    assert result.exit_code == 0
    assert calls[:-1] + again == sorted({*calls, *again}) and len(again) == 27 - (
        stop - 1
    )  # no step is lost or done twice
    for name in ("history.csv", "last.safetensors", "best.safetensors"):
        assert (folder / name).read_bytes() == (trained[0] / name).read_bytes()
    assert all((folder / name).exists() for name in PLOTS)


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
        "files": last["files"],
    }
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


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def test_a_ctrl_c_while_numba_compiles_is_not_lost():
    """LLVM calls Python back while it compiles. What Python raises in a function called from C is
    printed and lost: here it would be a warning, which is an error.
    """
    done = []

    @ctypes.CFUNCTYPE(None)
    def called_from_c():
        press_ctrl_c()
        done.append("called")

    with pytest.raises(KeyboardInterrupt), interrupt.deferred_interrupt() as check:
        check()
        called_from_c()
        done.append("back")
        check()
        done.append("never")
    assert done == ["called", "back"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_ctrl_c_ends_at_once_and_the_first_at_the_end(monkeypatch):
    ends = []
    monkeypatch.setattr(interrupt, "_end_at_once", ends.append)
    with pytest.raises(KeyboardInterrupt), interrupt.deferred_interrupt():
        press_ctrl_c()
        assert not ends
        press_ctrl_c()
        assert ends == [signal.SIGINT]
    with pytest.raises(ZeroDivisionError), interrupt.deferred_interrupt():
        press_ctrl_c()
        raise ZeroDivisionError


def test_a_handler_of_the_programs_own_stays():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append("own"))
    try:
        with interrupt.deferred_interrupt() as check:
            press_ctrl_c()
            check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == ["own"]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("stop", [1, 9, 14])
def test_a_signal_stops_the_run_after_its_step(trained, images, tmp_path, monkeypatch, stop):
    """SIGINT comes while the stop-th batch is prepared: its step is done, saved, and the last."""
    calls, folder = [], tmp_path / "run"

    def interrupted(key, x):
        calls.append(key)
        if len(calls) == stop:
            press_ctrl_c()
        return x

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "augmentation", lambda *args: interrupted)
        stopped = autocnn(*short(images, folder))
    assert stopped.exit_code == 130 and f"stopped after step {stop} of 27" in stopped.stderr
    assert len(calls) == runs.load(folder, "last").train_state.step == stop
    assert autocnn("train", "--run", folder).exit_code == 0
    assert files(folder) == files(trained[0])


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


@pytest.mark.parametrize("name", ["best", "last"])
def test_an_interrupt_while_saving_loses_nothing(trained, images, tmp_path, monkeypatch, name):
    """Ctrl-C just before the checkpoint of an epoch is written: the run goes on to the same
    files.
    """
    save, folder, calls = runs.save, tmp_path / "run", []

    def interrupted(folder, moment, which, config):
        calls.append(which)
        if calls.count(name) == 2 and which == name:
            raise KeyboardInterrupt
        save(folder, moment, which, config)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "save", interrupted)
        assert autocnn(*short(images, folder)).exit_code == 130
    assert autocnn("train", "--run", folder).exit_code == 0
    for file in ("history.csv", "last.safetensors", "best.safetensors"):
        assert (folder / file).read_bytes() == (trained[0] / file).read_bytes()


def test_an_interrupt_before_the_first_epoch(trained, images, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autocnn.training.loop.measure", interrupted)
        assert autocnn(*short(images, tmp_path / "run")).exit_code == 130
    assert autocnn("train", "--run", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (
        trained[0] / "last.safetensors"
    ).read_bytes()


def test_a_folder_that_cannot_be_written(images, tmp_path):
    (tmp_path / "file").write_text("")
    result = autocnn(*short(images, tmp_path / "file" / "run"))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1 and "cannot write to" in result.stderr


# --- one folder, many calls


def files(folder):
    """What a finished run has left, but for its figures."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".png"}


@pytest.fixture
def no_figures(monkeypatch):
    """They take most of a short run's time."""
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(f"autocnn.plots.training.{name}", lambda *args, **options: Figure())


def begun(images, folder, *more):
    """The call that makes ``trained``, with --run: it begins the run, and goes on with it."""
    call = [
        "train",
        "tiny-cnn",
        "--data",
        images,
        "--epochs",
        3,
        "--rate",
        0.2,
        "--batch-size",
        7,
        "--run",
        folder,
    ]
    return autocnn(*call, *more)


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
