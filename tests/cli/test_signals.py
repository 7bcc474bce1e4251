"""Signals: SIGTERM, SIGHUP and a batch system's warning stop every command as Ctrl-C does: it says
in one line what it saved, and exits with 128 plus the signal's number.
"""

import ctypes
import importlib.machinery
import os
import pty
import shlex
import signal
import subprocess
import sys
import time

import pytest
import typer
from matplotlib.figure import Figure
from typer.core import TyperGroup

from autocnn import runs
from autocnn.cli import interrupt
from autocnn.plots import training as plots
from autocnn.runs import recipes
from tests.helpers import ROOT

TRAIN = ["train", "tiny-cnn", "--data", "patterns", "--limit", "20", "--epochs", "2"]
TRAIN += ["--batch-size", "10", "--shift", "--run"]
SWEEP = ["sweep", "tiny-cnn", "--grid", "filters=1,2", "--seeds", "1", "--epochs", "1"]
KINDS = [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU]


def sending(monkeypatch, target, *numbers):
    """Have a function send signals to this process each time it is called, before it works."""
    module, _, name = target.rpartition(".")
    function = getattr(sys.modules[module], name)

    def watched(*args, **options):
        for number in numbers:
            signal.raise_signal(number)
        return function(*args, **options)

    monkeypatch.setattr(sys.modules[module], name, watched)


def one_line(err):
    (line,) = err.splitlines()
    return line


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """They take most of a short run's time."""
    for name in ("curves", "confusion", "mistakes"):
        monkeypatch.setattr(plots, name, lambda *args, **options: Figure(figsize=(1, 1)))


@pytest.mark.parametrize("number", [signal.SIGINT, *KINDS])
def test_training_stops_after_its_step_and_saves(tmp_path, monkeypatch, command, number):
    steps, folder = [], tmp_path / "run"

    def at_the_third(key, x):
        steps.append(key)
        if len(steps) == 3:
            signal.raise_signal(number)
        return x

    with monkeypatch.context() as patch:
        patch.setattr(recipes, "augmentation", lambda *args: at_the_third)
        code, _, err = command(*TRAIN, folder)
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    said = f"stopped after step 3 of 4{by}; go on with: autocnn train --run {folder}"
    assert (code, one_line(err)) == (128 + number, said)
    assert runs.load(folder, "last").train_state.step == 3
    assert command("train", "--run", folder)[0] == 0
    assert runs.load(folder, "last").train_state.step == 4


def test_signals_that_come_together_count_as_one(tmp_path, monkeypatch, command):
    """``timeout`` sends SIGTERM twice, a terminal SIGHUP more than once, and none of them comes
    in the way of the checkpoint.
    """
    sending(monkeypatch, "autocnn.runs.save", signal.SIGTERM, signal.SIGTERM, signal.SIGHUP)
    code, _, err = command(*TRAIN, tmp_path / "run")
    assert (code, "by SIGTERM" in one_line(err)) == (143, True)
    assert runs.load(tmp_path / "run", "last").train_state.step == 0


def test_a_signal_while_figures_are_drawn(tmp_path, monkeypatch, command):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(plots, "curves", lambda history: signal.raise_signal(signal.SIGHUP))
        code, _, err = command(*TRAIN, folder)
    assert code == 129 and one_line(err).endswith(f"with: autocnn train --run {folder}")
    assert "all of it is saved but for the figures" in err
    assert command("train", "--run", folder)[0] == 0
    assert (folder / "curves.png").exists()


def test_a_sweep_says_where_its_trials_are(tmp_path, monkeypatch, command):
    sending(monkeypatch, "autocnn.sweeps.sweep.json_line", signal.SIGTERM)
    asked = [*SWEEP, "--out", str(tmp_path / "my sweep")]
    code, _, err = command(*asked)
    assert code == 143
    assert one_line(err) == (
        f"stopped by SIGTERM; the finished trials are in {tmp_path}/my sweep, and the same command "
        f"continues: {shlex.join(['autocnn', *asked])}"
    )


@pytest.mark.parametrize(
    "target, arguments",
    [
        ("autocnn.runs.load", ["predict", "RUN", "x.png"]),
        ("autocnn.runs.load", ["evaluate", "RUN"]),
        ("autocnn.runs.load", ["export", "RUN", "OUT/net.onnx"]),
        ("autocnn.experiments.chapter", ["chapter", "--out", "OUT"]),
        ("autocnn.cli.data.fetch_files", ["data", "fetch", "mnist"]),
        ("autocnn.data.find.cache_folder", ["data", "list"]),
        ("autocnn.cli.summary.shape_text", ["summary", "tiny-cnn"]),
        ("autocnn.runs.load_data", [*TRAIN, "OUT/new"]),
    ],
)
def test_other_commands(tmp_path, monkeypatch, command, target, arguments):
    arguments = [a.replace("RUN", "run").replace("OUT", str(tmp_path)) for a in arguments]
    sending(monkeypatch, target, signal.SIGTERM)
    code, out, err = command(*arguments)
    again = shlex.join(["autocnn", *arguments])
    said = f"stopped by SIGTERM; nothing is half written; start again with: {again}"
    *progress, line = err.splitlines()
    assert (code, out, line) == (143, "", said)
    assert all(not text.strip() or "chapter: 0 of" in text for text in progress)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_while_the_command_line_is_read(monkeypatch, command):
    def stopped(*args, **options):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(TyperGroup, "make_context", stopped)
    said = "stopped by SIGTERM; nothing is half written; start again with: autocnn data list"
    code, out, err = command("data", "list")
    assert (code, out, one_line(err)) == (143, "", said)


def test_an_ignored_signal_stays_ignored(tmp_path, monkeypatch, command):
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sending(monkeypatch, "autocnn.runs.save", signal.SIGHUP)
    assert command(*TRAIN, tmp_path / "run")[0] == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_signal_lost_in_a_function_called_from_c_is_sent_again(monkeypatch):
    @ctypes.CFUNCTYPE(None)
    def called_from_c():
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(interrupt.Stopped), interrupt.handle_signals():
        called_from_c()
        signal.pause()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_an_extension_module_is_loaded_waits(number):
    """Its C code would turn the exception into an ImportError; a signal that is sent again does
    not count as a second Ctrl-C.
    """
    done = []

    class Spec:
        @property
        def name(self):
            signal.raise_signal(number)
            done.append(1)
            raise ImportError("initialization failed")

    loader = importlib.machinery.ExtensionFileLoader("name", "name.so")
    with pytest.raises(interrupt.Stopped) as stopped, interrupt.handle_signals():
        with pytest.raises(ImportError, match="initialization failed"):
            loader.create_module(Spec())
        assert done == [1]
        signal.pause()
    assert stopped.value.number == number


def test_a_signal_while_a_class_is_made_waits():
    """Python 3.11 would turn the exception into a RuntimeError."""

    class Named:
        def __set_name__(self, owner, name):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(interrupt.Stopped) as stopped, interrupt.handle_signals():
        made = type("Made", (), {"attribute": Named()})
        assert made.attribute
        signal.pause()
    assert stopped.value.number == signal.SIGTERM


def test_a_signal_that_a_library_turns_into_another_error_stops_the_command(capsys):
    @interrupt.stoppable
    def command(cause):
        raise RuntimeError("turned") from cause

    with pytest.raises(typer.Exit) as end:
        command(interrupt.Stopped(signal.SIGTERM))
    assert end.value.exit_code == 143
    assert capsys.readouterr().err.startswith("stopped by SIGTERM; nothing is half written")
    with pytest.raises(RuntimeError, match="turned"):
        command(OSError("another"))


# ----------------------------------------------------------------- whole processes

PROGRAM = """
import os, signal, sys
from autocnn.cli import main
from autocnn.plots import training as plots
from autocnn.runs import recipes
sys.argv[0] = "autocnn"
steps = []
def meet(key, x):
    steps.append(x)
    if len(steps) == 3:
        os.write({write}, b"x")
        os.read({read}, 1)
    return x
recipes.augmentation = lambda *args: meet
main()
"""


class Meeting:
    """A training process that waits at its third step until it is told to go on."""

    def __init__(self, folder, **streams):
        self.arrived, write = os.pipe()
        read, self.go = os.pipe()
        code = PROGRAM.format(write=write, read=read)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *TRAIN, str(folder)],
            pass_fds=(write, read),
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
            **streams,
        )
        os.close(write)
        os.close(read)
        assert os.read(self.arrived, 1) == b"x"

    def end(self):
        os.close(self.go)
        code = self.process.wait()
        os.close(self.arrived)
        return code


def test_the_second_ctrl_c_ends_at_once(tmp_path):
    """Also while the program is in a computation, which sees no signal: a read, here."""
    meeting = Meeting(tmp_path / "run", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    meeting.process.send_signal(signal.SIGTERM)
    while meeting.process.poll() is None:  # of two that are pending, the SIGINT arrives first
        meeting.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    err = meeting.process.stderr.read()
    assert meeting.process.wait() == 130  # although nobody has told it to go on
    meeting.end()
    meeting.process.stderr.close()
    assert err.strip().startswith(b"autocnn: ended at once") and b"Traceback" not in err
    assert runs.load(tmp_path / "run", "last").train_state.step == 2


@pytest.mark.slow
@pytest.mark.parametrize("is_hung_up", [True, False], ids=["SIGHUP", "disowned"])
def test_a_closed_terminal_loses_nothing(tmp_path, is_hung_up):
    """Without SIGHUP (as after ``disown``) it is the next row that cannot be written."""
    master, terminal = pty.openpty()
    meeting = Meeting(tmp_path / "run", stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(master)
    os.close(terminal)
    if is_hung_up:
        meeting.process.send_signal(signal.SIGHUP)
    assert meeting.end() == 129
    assert runs.load(tmp_path / "run", "last").train_state.step >= 3


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_stopped(tmp_path, number):
    meeting = Meeting(
        tmp_path / "run", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    meeting.process.send_signal(number)
    code = meeting.end()
    err = meeting.process.stderr.read()
    meeting.process.stderr.close()
    assert code == 128 + number and one_line(err).startswith("stopped after step 3 of 4")
    assert not (tmp_path / "run" / ".lock").exists()
