"""What comes from outside is shown as text: names of classes, images, runs and folders that hold
escape sequences, line ends, NUL or lone surrogates change neither a terminal nor a line.
"""

import io
import os
import pathlib
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from autocnn import cli, runs
from autocnn.cli import output
from autocnn.data import idx
from autocnn.data.known import FILES
from autocnn.experiments import page, report
from autocnn.plots import predict as predict_plots
from autocnn.plots import sweep as sweep_plots
from autocnn.plots import training as plots
from autocnn.plots.style import label
from autocnn.runs import recipes
from autocnn.text import html_text, inert, visible

# Clears a screen, sets a title, rings, goes back, ends lines in four ways, writes backwards.
EVIL = "e\x1b[2J\x1b]0;owned\x07\r\n\x0b\x85\u2028\u202eb\x9bA$\\frac$"
EVIL += os.fsdecode(b"\xff")  # a byte of a file name that is not UTF-8
TAME = "n" * len(visible(EVIL))


def test_visible():
    assert visible("Ångström 数字 / a\u3000b \\ é") == "Ångström 数字 / a\u3000b \\ é"
    assert visible("a\0\x1b[1m\n\t\x7f\x9b\ud800\u202e\u2028") == (
        r"a\x00\x1b[1m\n\t\x7f\x9b\ud800\u202e\u2028"
    )
    assert visible(pathlib.Path("a\nb")) == r"a\nb" and visible(visible("\x1b")) == r"\x1b"
    assert inert("one\n\ttwo\r\n\x1b") == "one\n\ttwo\\r\n\\x1b"
    assert html_text("<b>\x00&\n'") == "&lt;b&gt;\\x00&amp;\n&#x27;"


def is_inert(text):
    return inert(text).encode() == text.encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module", params=[TAME, EVIL], ids=["tame", "evil"])
def place(request, tmp_path_factory):
    """A folder with a run, an image and data, all with the parameter in their names."""
    root, name = tmp_path_factory.mktemp("names"), request.param
    run, data = root / f"run {name}", root / f"data {name}"
    config = runs.RunConfig(
        network="tiny-cnn",
        data=str(data),
        classes=tuple(f"{name}{i}" for i in range(3)),
        shape=(1, 8, 8),
        recipe=recipes.Recipe(epochs=1, batch_size=9),
        steps_per_epoch=1,
    )
    runs.create(run, config)
    start = runs.initialize(config)[2]
    history = {column: [0.5] for column in ("train_loss", "train_acc", "val_loss", "val_acc")}
    for which in ("best", "last"):
        runs.save(run, start._replace(history={"epoch": [0]} | history), which)
    Image.fromarray(np.eye(8, dtype=np.uint8) * 200).save(root / f"{name}.png")
    data.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)
    for file, array in zip(FILES, (noise, np.arange(9, dtype=np.uint8) % 3) * 2, strict=True):
        idx.write(data / file, array)
    return root, name


COMMANDS = {
    "predict": "predict {run} {image}",
    "predict --json": "predict {run} {image} --json",
    "predict nothing": "predict {run} {root}/no{name} {image}",
    "predict no run": "predict {root}/no{name} {image}",
    "predict no image": "predict {run} {root}/no{name}",
    "trace": "trace {run} {image}",
    "trace --json": "trace {run} {image} --json",
    "explain": "explain {run} {image}",
    "explain --json": "explain {run} {image} --json --method occlusion",
    "explain class": "explain {run} {image} --class no{name}",
    "filters": "filters {run}",
    "filters --json": "filters {run} --json",
    "evaluate": "evaluate {run}",
    "evaluate no data": "evaluate {run} --data no{name}",
    "export": "export {run} {root}/{name}.onnx",
    "export suffix": "export {run} {root}/{name}",
    "export folder": "export {run} {root}/no{name}/x.onnx",
    "summary": "summary no{name}",
    "train": "train tiny-cnn --data {data} --epochs 1 --until 1 --run {root}/new{name}",
    "train no network": "train no{name}",
    "train own": "train {root}/no{name}.py:build",
    "train build": "train tiny-cnn --build {name}",
    "train weights": "train tiny-cnn --data patterns --weights {root}/no{name}",
    "lr-find": "lr-find no{name}",
    "train a run": "train tiny-cnn --out {run} --data patterns",
    "train no data": "train tiny-cnn --data no{name}",
    "train a file": "train tiny-cnn --data patterns --out {image}/x",
    "sweep": "sweep tiny-cnn --grid kernel={name} --seeds 1 --workers 1 --out {root}/s{name}",
    "sweep option": "sweep tiny-cnn --grid no{name}=1",
    "sweep data": "sweep tiny-cnn --grid filters=1 --data no{name}",
    "sweep a file": "sweep tiny-cnn --grid filters=1 --seeds 1 --out {image}/x",
    "data": "data list",
    "data --json": "data list --json",
    "fetch": "data fetch no{name}",
    "chapter": "chapter --sections no{name}",
    "chapter a file": "chapter --sections 25.1 --out {image}",
    "exercise": "exercise no{name}",
    "check": "check {root}/no{name}.py:f",
    "check-kernel": "check-kernel {root}/no{name}.py:f",
    "usage": "predict {run} {image} --top no{name}",
    "too many": "evaluate {run} {name}",
    "no subcommand": "data no{name}",
    "a switch": "data list --json={name}",
    "no command": "no{name}",
    "no option": "train --no{name}",
}  # fmt: skip
QUICK = ("predict nothing", "evaluate no data", "train no network", "sweep a file", "data", "usage")
BOXES = ("usage", "too many", "no subcommand", "a switch", "no command", "no option")
LINES = {}  # of the tame names, by command


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """They take most of a short run's time."""
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(plots, name, lambda *args, **options: Figure(figsize=(1, 1)))


@pytest.mark.parametrize(
    "which",
    [key if key in QUICK else pytest.param(key, marks=pytest.mark.slow) for key in COMMANDS],
)
def test_every_command(place, which, monkeypatch, command):
    """The same number of lines as with a name that is harmless, none of which does anything."""
    if "onnx" in COMMANDS[which]:
        pytest.importorskip("onnx")
    root, name = place
    names = {"root": root, "name": name, "image": root / f"{name}.png"}
    names |= {"run": root / f"run {name}", "data": root / f"data {name}"}
    monkeypatch.setenv("AUTOCNN_DATA", str(root))
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    words = [word.format(**names) for word in COMMANDS[which].split(" ")]
    code, out, err = command(*words, columns=4000)
    assert is_inert(out) and is_inert(err)
    is_box = which in BOXES  # which Typer draws
    found = (code, out.count("\n"), 0 if is_box else err.count("\n"))
    if name == TAME:
        LINES[which] = found
    assert found == LINES.get(which, found)


def test_warnings_are_inert(monkeypatch, capsys):
    monkeypatch.setattr(output.warnings, "formatwarning", None)
    output.prepare_streams()
    said = output.warnings.formatwarning("no\x1b[2J", UserWarning, "file.py", 1, "")
    assert said == "file.py:1: UserWarning: no\\x1b[2J\n"


def test_commands_print_through_one_function():
    """No file of the command line prints in another way, but for the copies of what ranks say."""
    for path in pathlib.Path(cli.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name not in ("output.py", "launch.py"):
            assert not re.search(
                r"\bprint\(|typer\.s?echo|click\.s?echo|std(out|err)\.write", text
            ), path


@pytest.mark.slow
def test_figures_take_any_name(tmp_path, monkeypatch):
    monkeypatch.undo()
    names = ["\x1b[2J", "\ud800\0", "$\\frac$ $"]
    probs = np.eye(3)[[1, 2, 0]]
    figures = [
        plots.confusion(np.ones((3, 3), int), names),
        plots.mistakes(np.zeros((3, 1, 8, 8)), np.arange(3), probs, names),
        predict_plots.activations({"input": np.zeros((1, 8, 8)), "probs": probs[0]}, names),
        sweep_plots.points(
            [
                {"a": n, "b": n, "n": 1, "parameters": 3, "mean": 0.5, "low": None, "high": None}
                for n in names
            ],
            [{"a": n, "b": n, "val_acc": 0.5} for n in names],
            ("a", "b"),
        ),
    ]
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")


@pytest.mark.parametrize("name", ["W" * 300, "数字" * 30, EVIL * 9, "数\ud800🎉"])
def test_figures_of_names_that_are_long_or_not_in_the_font(name, monkeypatch):
    """They leave room for the axes, and Matplotlib warns of nothing: warnings are errors."""
    monkeypatch.undo()
    for n in (1, 3):
        figure = plots.confusion(np.ones((n, n), int), [name] * n)
        figure.savefig(io.BytesIO())
        box = figure.axes[0].get_position()
        assert box.width > 0.1 and box.height > 0.1
    taps = {"input": np.zeros((1, 8, 8)), "probs": np.array([0.4, 0.6])}
    predict_plots.activations(taps, [name] * 2).savefig(io.BytesIO())


def test_names_in_figures_are_cut_and_escaped():
    assert label("Ångström $") == r"Ångström \$" and label("数\n") == r"\u6570\n"
    assert label("a" * 28) == "a" * 27 + "…" and label("a" * 27) == "a" * 27


def test_the_report_of_the_chapter_is_utf_8_and_has_no_markup_of_names(tmp_path):
    row = report.comparison([])
    assert row == []
    cells = ("", f"<script>{EVIL}", "", "", "exact")
    written = page._row(cells[1:])
    assert "<script>" not in written and is_inert(written)
