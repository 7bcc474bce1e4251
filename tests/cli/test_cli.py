"""The command line as people expect it: help, completion, exit codes, streams, pipes, colours,
narrow terminals, examples.
"""

import itertools
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

import autocnn
from autocnn import cli
from autocnn.data import idx
from autocnn.data.known import FILES

ROOT = pathlib.Path(__file__).parents[2]
app = cli.app
COMMANDS = typer.main.get_command(app).commands


def shell(line, cwd=None, **env):
    """Run a line in a shell, ``autocnn`` standing for this tree's program, and return the
    finished process.
    """
    code = "import sys; sys.argv[0] = 'autocnn'; from autocnn.cli import main; main()"
    program = f'{shlex.quote(sys.executable)} -c "{code}"'
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
    }
    return subprocess.run(
        ["bash", "-c", f'autocnn() {{ {program} "$@"; }}; {line}'],
        env=kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | env,
        cwd=cwd,
        capture_output=True,
        text=True,
    )


def invoke(words, **env):
    return CliRunner().invoke(app, words, env=env, prog_name="autocnn")


def test_ctrl_c_before_a_command_is_exit_130_without_a_word(capsys, monkeypatch):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupt)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code, capsys.readouterr().err) == (130, "")


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
        result = invoke(
            [
                "train",
                "tiny-cnn",
                "--data",
                "patterns",
                "--epochs",
                "1",
                "--limit",
                "20",
                "--out",
                str(folder),
            ]
        )
    assert result.exit_code == 0, result.output
    return folder


# --- streams and exit codes


@pytest.mark.parametrize(
    "words, code, out, err",
    [
        ("--help", 0, r"Usage: autocnn .*summary", r"^$"),
        ("summary lenet5 --json", 0, r'^\{"network": "lenet5".*\}\n$', r"^$"),
        (
            "summary lenet6",
            2,
            r"^$",
            r"^autocnn: there is no network or run folder 'lenet6'[^\n]*\n$",
        ),
        ("predict", 2, r"^$", r"Missing argument 'RUN'"),
        ("sumary", 2, r"^$", r"Did you mean 'summary'"),
        ("summary lenet5 --shap 1,2,3", 2, r"^$", r"No such option: --shap.*--shape"),
        (
            "summary lenet5 --classes many",
            2,
            r"^$",
            r"Invalid value for '--classes'.*valid integer",
        ),
        ("filters /dev/null", 2, r"^$", r"^autocnn: /dev/null holds no run: [^\n]*\n$"),
        ("chapter --sections 25.9", 2, r"^$", r"^autocnn: there is no section '25.9'[^\n]*\n$"),
        (
            "exercise 25.1 --seeds 99999999999999999999",
            2,
            r"^$",
            r"Invalid value for '--seeds'.*100000",
        ),
        (
            "sweep tiny-cnn --grid filters=1:999999999",
            2,
            r"^$",
            r"^autocnn: the range 1:999999999 has more than 100,000",
        ),
        (
            "data fetch cifar",
            2,
            r"^$",
            r"^autocnn: only mnist and fashion-mnist can be fetched[^\n]*\n$",
        ),
        ("data --json list", 2, r"^$", r"^autocnn: put --json after the command[^\n]*\n$"),
        (
            "filters RUN --out /proc/figure.png",
            1,
            r"^$",
            r"^autocnn: cannot write /proc/figure.png: [^\n]*\n$",
        ),
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
        (OSError(28, "No space left on device"), 1, "No space left on device"),
    ],
)
def test_whatever_ends_a_command_is_one_line(error, code, words, capsys, monkeypatch):
    def fail(**_):
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code, capsys.readouterr().err) == (code, f"autocnn: {words}\n")


@pytest.mark.parametrize(
    "words", ["--help", "trace RUN x.png", "check layers.py:double --shape x=2"]
)
def test_a_pipe_that_nobody_reads(words, run_folder, tmp_path):
    """``| head`` ends a program as SIGPIPE does, with 141, and without a word."""
    placed(tmp_path / "x.png", run_folder)
    (tmp_path / "layers.py").write_text("def double(x):\n    return 2 * x, lambda dy: 2 * dy\n")
    done = shell(
        f"set -o pipefail; autocnn {words.replace('RUN', str(run_folder))} 2>errors | true",
        tmp_path,
    )
    said = (tmp_path / "errors").read_text()
    assert (done.returncode, done.stdout) == (141, "") and said == "", said


def test_the_first_lines_in_a_pipe():
    done = shell(
        "autocnn summary resnet50 | head -1; autocnn summary lenet5 --json | head -c 3 | cat"
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        'resnet50, images of 3x224x224\n{"n',
        "",
    )


def test_a_full_disk_behind_stdout():
    done = shell("autocnn summary tiny-cnn >/dev/full")
    assert (done.returncode, done.stderr) == (1, "autocnn: No space left on device\n")


def test_an_encoding_that_lacks_letters():
    done = shell("autocnn summary tiny-cnn", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0 and "--------  ---------" in done.stdout


@pytest.mark.parametrize(
    "words, env, terminal, some",
    [
        ("--help", {}, True, True),
        ("--help", {"NO_COLOR": "1"}, True, False),
        ("--nonsense", {"FORCE_COLOR": "1"}, False, True),
        ("--nonsense", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_escape_sequences_are_for_those_who_want_them(words, env, terminal, some):
    """Neither colours nor bold letters where NO_COLOR is set, which counts for more than
    FORCE_COLOR.
    """
    program = "autocnn"
    if terminal:
        pytest.importorskip("pty")
        program = f"{shlex.quote(sys.executable)} -c {shlex.quote(PTY)}"
    done = shell(f"{program} summary {words}", TERM="xterm-256color", **env)
    said = done.stdout + done.stderr
    assert "Usage" in said and ("\x1b" in said) == some


MAIN = "from autocnn.cli import main; main()"
PTY = f"import pty, sys; pty.spawn([sys.executable, '-c', '{MAIN}', *sys.argv[1:]])"


def test_completion():
    def completed(words):
        env = {
            "_AUTOCNN_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        return invoke([], **env).stdout.split()

    assert completed("autocnn su") == ["summary"]
    assert {"train", "predict", "export"} <= set(completed("autocnn "))
    assert completed("autocnn summary res") == ["resnet50"]
    assert completed("autocnn train tiny") == ["tiny-cnn", "tiny-mlp"]
    assert "--shape" in completed("autocnn summary --s")


# --- help


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [40, 80])
def test_help_fits_the_terminal(name, columns):
    result = invoke([name, "--help"], COLUMNS=str(columns), TERMINAL_WIDTH=str(columns))
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert f"autocnn {name}" in " ".join(result.stdout.split())


@pytest.mark.parametrize("words", [[], ["train"], ["evaluate"], ["explain"], ["data", "fetch"]])
@pytest.mark.parametrize("columns", [40, 80])
def test_help_is_wrapped_once(words, columns):
    """The next line's first word would not have fitted on any line of a paragraph."""
    help_text = invoke([*words, "--help"], COLUMNS=str(columns), TERMINAL_WIDTH=str(columns)).stdout
    prose = re.sub(r" +\n", "\n", help_text).partition("\n╭")[0].partition("\n\n")[2]
    paragraphs = [part.splitlines() for part in prose.split("\n\n")]
    pairs = [
        pair
        for lines in paragraphs
        if not any(line.strip().startswith("Example") for line in lines)
        for pair in itertools.pairwise(line for line in lines if line.strip())
    ]
    assert pairs
    for line, following in pairs:
        assert len(line) + 1 + len(following.split()[0]) > columns - 1


def command_lines(text):
    """Command lines of a text: on lines of their own, which a backslash may continue."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    lines = [line.strip().removeprefix("$ ") for line in lines]
    return [line for line in lines if line.startswith("autocnn ")]


def told(text):
    """The command lines in a help text: on lines of their own, or between backticks."""
    inline = re.findall(r"`(autocnn\s[^`]+)`", text)
    return command_lines(text) + [" ".join(line.split()) for line in inline]


def examples():
    """Every command line in the README's shell blocks and in the help of the commands."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shell = r"^```(?:sh|bash|shell|console)\n(.*?)^```"
    blocks = re.findall(shell, readme, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in command_lines(block)]
    lines += [line for command in every_command() for line in told(command.help or "")]
    return list(dict.fromkeys(lines))


def every_command():
    """The program itself, its commands, and their commands."""
    waiting = [typer.main.get_command(app)]
    while waiting:
        yield waiting[0]
        waiting += getattr(waiting.pop(0), "commands", {}).values()


@pytest.mark.parametrize("command", list(every_command()), ids=lambda command: command.name)
def test_help_has_an_example(command):
    assert any(command.name in line or command.name == "program" for line in told(command.help))


def test_version_and_h():
    assert invoke(["--version"]).stdout == f"autocnn {autocnn.__version__}\n"
    for words in ([], ["summary"], ["data", "list"]):
        assert invoke([*words, "-h"]).stdout == invoke([*words, "--help"]).stdout


def test_every_command_that_prints_results_has_json():
    without = {
        c.name
        for c in every_command()
        if not hasattr(c, "commands") and "--json" not in flat(p.opts for p in c.params)
    }
    assert without == set()


def flat(lists):
    return {item for items in lists for item in items}


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
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words == ["pets/"]:  # ``autocnn data PATH``
            words = ["show", *words]
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    if "--help" not in words:
        command.make_context("autocnn", words, parent=context)


OWN_NETWORK = """
from autocnn import layers as nn

def build(classes, filters=4):
    return nn.serial(nn.conv(filters, 3), nn.relu(), nn.flatten(), nn.dense(classes))
"""


def of(*commands):
    return [line for line in examples() if split(line)[0] in commands]


def placed(word, run_folder):
    """Put the tiny run where an example has a run folder, and a drawn image where it has a
    image.
    """
    path = pathlib.Path(word)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".png", ".jpg", ".jpeg"):
        Image.fromarray(np.eye(28, dtype=np.uint8) * 255).save(path)
    else:
        shutil.copytree(run_folder, path, dirs_exist_ok=True)


@pytest.mark.parametrize("line", of("predict", "trace", "filters", "summary", "export", "evaluate"))
def test_examples_that_use_a_network_run(line, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(OWN_NETWORK)
    words = [word.replace("*", "three") for word in split(line)]
    for word, before in zip(words[1:], words, strict=False):
        if ("/" in word or word.endswith((".png", ".jpg", ".jpeg"))) and not before.startswith(
            "--"
        ):
            placed(word, run_folder)
    if words[0] == "export":
        pytest.importorskip("onnx")
    if "--data" in words:
        words[words.index("--data") + 1] = "patterns"
    check(line, words)


@pytest.mark.parametrize("line", of("train"))
def test_examples_that_train_run(line, run_folder, tmp_path, monkeypatch):
    """For one epoch on six images of noise, which stand for every data set."""
    monkeypatch.chdir(tmp_path)
    without_figures(monkeypatch)
    (tmp_path / "net.py").write_text(OWN_NETWORK)
    words = split(line)
    if "--ranks" in words:  # which test_launch.py starts
        del words[(at := words.index("--ranks")) : at + 2]
    if "--weights" in words:  # which test_weights.py starts from
        del words[(at := words.index("--weights")) : at + 2]
    if "--run" in words and words[1].startswith("--"):  # no network: it goes on with a run
        placed(words[words.index("--run") + 1], run_folder)
        words += ["--epochs", "1"] if "--epochs" in words else []
    else:
        noise = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
        for name, array in zip(FILES, (noise, np.arange(6, dtype=np.uint8)) * 2, strict=True):
            idx.write(tmp_path / name, array)
        words += [
            "--data",
            str(tmp_path),
            "--epochs",
            "1",
            "--rate",
            "1e-6",
        ]  # the last value of an option counts
        words += ["--until", "1"] if "--until" in words else []
    check(line, words)


@pytest.mark.parametrize(
    "line", dict.fromkeys([line for line in of("data") if "fetch" not in line] + ["autocnn data"])
)
def test_examples_that_list_data_run(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("pets/cat/1.png", "pets/dog/1.png", "pets/cat/2.png"):
        placed(name, None)
    rows = [f"{k % 2}," + ",".join("0123456789" * 10) for k in range(6)]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    check(line, split(line))


def check(line, words):
    result = invoke(words)
    assert result.exit_code == 0, f"{line}\n{result.output}\n{result.exception}"
    assert result.stdout.strip() and "\x1b" not in result.stdout
    if "--json" in words:
        told = [json.loads(part) for part in result.stdout.splitlines()]
        assert len(told) == 1 or words[0] == "train"


@pytest.mark.parametrize(
    "words, what",
    [
        (["train", "--data", ""], "--data"),
        (["sweep", "tiny-cnn", "--out="], "--out"),
        (["predict", "run", ""], "an argument"),
        (["summary", ""], "an argument"),
    ],
)
def test_an_empty_value_is_no_default(command, words, what):
    """It is what a shell makes of a variable that is not set."""
    code, out, err = command(*words)
    assert (code, out) == (2, "") and err.startswith(f"autocnn: {what} is empty, perhaps by a")
    assert err.count("\n") == 1
