"""``autocnn train`` that is stopped by Ctrl-C, and goes on to the same bits."""

import ctypes
import signal

import pytest

from autocnn import runs
from autocnn.cli import interrupt, session
from tests.cli.tiny_runs import autocnn, files, short

PLOTS = ["confusion.png", "curves.png", "mistakes.png"]


def after_step(patch, stop, act):
    """Call ``act()`` after the stop-th step, before the run has taken note of it."""
    on_step = session._Session.on_step

    def noted(self, now):
        if now.step == stop:
            act()
        on_step(self, now)

    patch.setattr(session._Session, "on_step", noted)


@pytest.mark.parametrize("stop", [1, 9, 14, 27])
def test_ctrl_c_saves_and_run_goes_on_to_the_same_bits(
    trained, images, tmp_path, monkeypatch, stop
):
    """The interrupt comes before the run has taken note of the stop-th step."""
    folder, steps = tmp_path / "run", []
    with monkeypatch.context() as patch:
        after_step(patch, stop, raise_keyboard_interrupt)
        stopped = autocnn(*short(images, folder))
    assert stopped.exit_code == 130
    assert f"stopped after step {stop - 1} of 27" in stopped.stderr
    assert f"autocnn train --run {folder}" in stopped.stderr
    assert runs.load(folder, "last").train_state.step == stop - 1
    with monkeypatch.context() as patch:
        on_step = session._Session.on_step
        patch.setattr(
            session._Session,
            "on_step",
            lambda self, now: steps.append(now.step) or on_step(self, now),
        )
        assert autocnn("train", "--run", folder).exit_code == 0
    assert steps == [*range(stop, 28)]  # no step is lost or done twice
    for name in ("history.csv", "last.safetensors", "best.safetensors"):
        assert (folder / name).read_bytes() == (trained[0] / name).read_bytes()
    assert all((folder / name).exists() for name in PLOTS)


def raise_keyboard_interrupt(*args, **options):
    raise KeyboardInterrupt


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
    """SIGINT comes during the stop-th step: it is done, saved, and the last."""
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        after_step(patch, stop, press_ctrl_c)
        stopped = autocnn(*short(images, folder))
    assert stopped.exit_code == 130 and f"stopped after step {stop} of 27" in stopped.stderr
    assert runs.load(folder, "last").train_state.step == stop
    assert autocnn("train", "--run", folder).exit_code == 0
    assert files(folder) == files(trained[0])


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
    with monkeypatch.context() as patch:
        patch.setattr("autocnn.training.loop._record", raise_keyboard_interrupt)
        assert autocnn(*short(images, tmp_path / "run")).exit_code == 130
    assert autocnn("train", "--run", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == (
        trained[0] / "last.safetensors"
    ).read_bytes()
