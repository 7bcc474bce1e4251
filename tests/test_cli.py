"""The command line as people expect it: help, completion, exit codes, streams, pipes, colours, narrow terminals, examples."""

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import typer
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from autocnn import cli
from autocnn.data import idx
from autocnn.data.known import FILES

ROOT = pathlib.Path(__file__).parents[1]
app = cli.app
COMMANDS = typer.main.get_command(app).commands


def shell(line, cwd=None, **env):
    """Run a line in a shell, ``autocnn`` standing for this tree's program, and return the finished process."""
    program = f"{shlex.quote(sys.executable)} -c \"import sys; sys.argv[0] = 'autocnn'; from autocnn.cli import main; main()\""
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")}
    return subprocess.run(
        ["bash", "-c", f'autocnn() {{ {program} "$@"; }}; {line}'],
        env=kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | env,
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def invoke(words, **env):
    return CliRunner().invoke(app, words, env=env, prog_name="autocnn")


def without_figures(patch):
    """The figures of training are not looked at here, and take time."""
    for name in ("curves", "confusion", "mistakes"):
        patch.setattr(f"autocnn.plots.training.{name}", lambda *args, **options: Figure())


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A tiny run that stands for every run of the examples."""
    folder = tmp_path_factory.mktemp("examples") / "run"
    with pytest.MonkeyPatch.context() as patch:
        without_figures(patch)
        result = invoke(["train", "tiny-cnn", "--data", "patterns", "--epochs", "1", "--limit", "20", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


# --- streams and exit codes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, code, out, err",
    [
        ("--help", 0, r"Usage: autocnn .*summary", r"^$"),
        ("summary lenet5 --json", 0, r'^\{"network": "lenet5".*\}\n$', r"^$"),
        ("summary lenet6", 2, r"^$", r"^autocnn: there is no network or run folder 'lenet6'[^\n]*\n$"),
        ("predict", 2, r"^$", r"Missing argument 'RUN'"),
        ("sumary", 2, r"^$", r"Did you mean 'summary'"),
        ("summary lenet5 --shap 1,2,3", 2, r"^$", r"No such option: --shap.*--shape"),
        ("summary lenet5 --classes many", 2, r"^$", r"Invalid value for '--classes'.*valid integer"),
        ("filters /dev/null", 2, r"^$", r"^autocnn: /dev/null holds no run: [^\n]*\n$"),
        ("filters RUN --out /proc/figure.png", 1, r"^$", r"^autocnn: cannot write /proc/figure.png: [^\n]*\n$"),
    ],
)
def test_exit_codes_and_streams(words, code, out, err, capsys, monkeypatch, run_folder):
    monkeypatch.setattr(sys, "argv", ["autocnn", *words.replace("RUN", str(run_folder)).split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    found = capsys.readouterr()
    assert end.value.code == code, found.err
    assert re.search(out, found.out, re.DOTALL), found.out
    assert re.search(err, found.err, re.DOTALL), found.err


@pytest.mark.parametrize(
    "error, code, words",
    [
        (ValueError("bad"), 2, "bad"),
        (ImportError("ONNX graphs need the package onnx"), 1, "ONNX graphs need the package onnx"),
        (PermissionError(13, "Permission denied", "x.png"), 1, "x.png: Permission denied"),
        (OSError("no space"), 1, "no space"),
    ],
)
def test_whatever_ends_a_command_is_one_line(error, code, words, capsys, monkeypatch):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code, capsys.readouterr().err) == (code, f"autocnn: {words}\n")


@pytest.mark.parametrize("line, out", [("--json | head -c 3 | cat", '{"n'), ("| head -1", "resnet50, images of 3x224x224\n")])
def test_works_in_a_pipe(line, out):
    done = shell(f"autocnn summary resnet50 {line}")
    assert (done.returncode, done.stdout, done.stderr) == (0, out, "")


def test_colours_are_for_terminals_that_want_them():
    pytest.importorskip("pty")
    see = "import pty, sys; sys.exit(pty.spawn([sys.executable, '-c', sys.argv[1], 'summary', '--help']) >> 8)"
    program = "import sys; from autocnn.cli import main; main()"
    seen = {}
    for name, env in {"usual": {"TERM": "xterm-256color"}, "none": {"TERM": "xterm-256color", "NO_COLOR": "1"}}.items():
        kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
        done = subprocess.run(
            [sys.executable, "-c", see, program], env=kept | {"PYTHONPATH": str(ROOT)} | env, capture_output=True, text=True
        )
        assert done.returncode == 0 and "Usage" in done.stdout
        codes = {int(c) for found in re.findall(r"\x1b\[([0-9;]*)m", done.stdout) for c in found.split(";") if c}
        seen[name] = {c for c in codes if 30 <= c <= 49 or 90 <= c <= 107}
    assert seen["usual"] and not seen["none"]


def test_completion():
    def completed(words):
        env = {"_AUTOCNN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        return invoke([], **env).stdout.split()

    assert completed("autocnn su") == ["summary"]
    assert {"train", "predict", "export"} <= set(completed("autocnn "))
    assert completed("autocnn summary res") == ["resnet50"]
    assert "--shape" in completed("autocnn summary --s")


# --- help ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits_the_terminal(name, columns):
    result = invoke([name, "--help"], COLUMNS=str(columns), TERMINAL_WIDTH=str(columns))
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert f"autocnn {name}" in " ".join(result.stdout.split())


def told(text):
    """The command lines in a help text: on lines of their own, or between backticks."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("autocnn ")]
    return lines + [" ".join(line.split()) for line in re.findall(r"`(autocnn\s[^`]+)`", text)]


def examples():
    """Every command line in the README's shell blocks and in the help of the commands."""
    readme, found = (ROOT / "README.md").read_text(encoding="utf-8"), []
    for block in re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        lines = [line.strip().removeprefix("$ ") for line in block.replace("\\\n", " ").splitlines()]
        found += [line for line in lines if line.startswith("autocnn ")]
    return list(dict.fromkeys(found + [line for command in COMMANDS.values() for line in told(command.help or "")]))


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not hasattr(command, "commands")])
def test_help_has_an_example(name):
    assert any(line.startswith(f"autocnn {name} ") or line == f"autocnn {name}" for line in told(COMMANDS[name].help))


def split(line):
    """The words of the command itself, without the shell's part: comments, pipes, redirections."""
    words = shlex.split(line, comments=True)
    ends = [i for i, word in enumerate(words) if word in ("|", ">", ">>", "2>", "&&", ";", "&")]
    return words[1 : min(ends, default=len(words))]


@pytest.mark.parametrize("line", examples())
def test_examples_are_well_formed(line):
    """Each option exists and its value has the right type; nothing is run."""
    words, command = split(line), typer.main.get_command(app)
    context = typer.Context(command)
    while hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    if "--help" not in words:
        command.make_context("autocnn", words, parent=context)


def of(*commands):
    return [line for line in examples() if split(line)[0] in commands]


def placed(word, run_folder):
    """Put the tiny run where an example has a run folder, and a drawn picture where it has a picture."""
    path = pathlib.Path(word)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".jpg", ".jpeg"):
        Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(path)
    else:
        shutil.copytree(run_folder, path, dirs_exist_ok=True)


@pytest.mark.parametrize("line", of("predict", "trace", "filters", "summary", "export", "evaluate"))
def test_examples_that_use_a_network_run(line, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [word.replace("*", "three") for word in split(line)]
    for word, before in zip(words[1:], words, strict=False):
        if ("/" in word or word.endswith((".png", ".jpg", ".jpeg"))) and not before.startswith("--"):
            placed(word, run_folder)
    if words[0] == "export":
        pytest.importorskip("onnx")
    if "--data" in words:
        words[words.index("--data") + 1] = "patterns"
    check(line, words)


@pytest.mark.parametrize("line", of("train"))
def test_examples_that_train_run(line, run_folder, tmp_path, monkeypatch):
    """For one epoch on six pictures of noise, which stand for every data set."""
    monkeypatch.chdir(tmp_path)
    without_figures(monkeypatch)
    words = split(line)
    if "--run" in words and words[1].startswith("--"):  # no network: it goes on with a run
        placed(words[words.index("--run") + 1], run_folder)
        words += ["--epochs", "1"] if "--epochs" in words else []
    else:
        noise = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
        for name, array in zip(FILES, (noise, np.arange(6, dtype=np.uint8)) * 2, strict=True):
            idx.write(tmp_path / name, array)
        words += ["--data", str(tmp_path), "--epochs", "1", "--rate", "1e-6"]  # the last value of an option counts
        words += ["--until", "1"] if "--until" in words else []
    check(line, words)


@pytest.mark.parametrize("line", dict.fromkeys([line for line in of("data") if "fetch" not in line] + ["autocnn data"]))
def test_examples_that_list_data_run(line):
    check(line, split(line))


def check(line, words):
    result = invoke(words)
    assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception}"
    assert result.stdout.strip() and "\x1b" not in result.stdout
    if "--json" in words:
        json.loads(result.stdout)
