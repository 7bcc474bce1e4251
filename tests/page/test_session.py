"""What a window asks and is answered, without a browser."""

import io

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn.page import checking
from autocnn.page.checking import Checker
from autocnn.page.train import MAX_MOMENTS, OPTIMIZERS, History, Moment, Trainer
from autocnn.runs import image_files
from autocnn.trees import max_relative_difference


def pixels(shown, i=0):
    return shown.data.x_val[i].astype(np.float32)


def test_info_says_what_there_is(window, shown):
    info = window.ask("info")
    assert info["name"] == "tiny-cnn" and info["input"] == (1, 8, 8)
    assert info["classes"] == shown.classes and len(info["images"]) == 90
    assert info["offers"] == dict.fromkeys(("train", "break", "check", "edit", "image"), True)
    names = ["input", "conv", "relu", "max_pool", "flatten", "dense", "probabilities"]
    assert [stage["name"] for stage in info["stages"]] == names
    assert info["stages"][1]["weights"]["w"]["shape"] == (3, 1, 3, 3)
    np.testing.assert_allclose(info["images"][4]["probabilities"].sum(), 1)


def test_a_look_is_loss_and_grad(window, shown, trained):
    found = window.ask("look", pixels=pixels(shown), label=2)
    params, state = trained.now.params, trained.now.state
    x = pixels(shown).astype(float)[None]
    for nn, path in ((ac.layers, "auto"), (reference, "manual")):
        model = ac.models.tiny_cnn(nn=nn)
        loss, grads, _ = model.loss_and_grad(params, state, (x, np.array([2])))
        assert found["loss"] == pytest.approx(float(loss), rel=1e-12)
        weights = {s["name"]: s["weights"] for s in found["stages"]}
        np.testing.assert_allclose(weights["conv"]["w"][path], grads[0]["w"], rtol=1e-9)
        np.testing.assert_allclose(weights["dense"]["b"][path], grads[4]["b"], rtol=1e-9)
    assert all(stage["digits"] > 13 for stage in found["stages"])


@pytest.mark.parametrize(
    "fields, error",
    [
        ({}, "needs the pixels of one image"),
        ({"pixels": np.zeros(63, np.float32)}, "needs the pixels of one image"),
        ({"pixels": np.full(64, np.nan, np.float32)}, "not finite"),
        ({"pixels": np.zeros(64, np.float32), "label": 3}, "label is a number from 0 to 2"),
        ({"pixels": np.zeros(64, np.float32), "label": True}, "label is a number from 0 to 2"),
    ],
)
def test_a_look_at_nothing_is_one_line(window, fields, error):
    with pytest.raises(ValueError, match=error):
        window.ask("look", **fields)


@pytest.mark.parametrize("ask", ["nothing", None, 3, "__init__", ["look"]])
def test_unknown_questions_are_one_line(window, ask):
    with pytest.raises(ValueError, match="does not know the question"):
        window.ask(ask)
    assert window.ask("info")


def test_the_newest_look_wins(window, shown, monkeypatch):
    waits = window.session.worker.wake
    with waits:  # the thread is held where it takes its next message
        numbers = [window.post("look", pixels=pixels(shown, i), label=0) for i in range(20)]
    answers = [window.wait(number) for number in numbers]
    assert [a.get("dropped", False) for a in answers[1:]] == [True] * 18 + [False]
    alone = window.ask("look", pixels=pixels(shown, 19), label=0)
    assert answers[-1]["loss"] == alone["loss"]


def test_a_flood_is_refused_and_the_window_lives(window):
    with window.session.worker.wake:
        numbers = [window.post("info") for _ in range(200)]
    refused = 0
    for number in numbers:
        try:
            window.wait(number)
        except ValueError as error:
            assert "too many messages" in str(error)
            refused += 1
    assert refused >= 100 and window.ask("info")


# ---- training


def test_training_is_that_of_train(shown):
    trainer = Trainer(shown)
    for _ in range(3):
        trainer.epoch(shown.nets)
    _, params, _ = shown.model.init(3, (1, 8, 8))
    run = ac.train(params, shown.data, model=ac.models.tiny_cnn(nn=reference), epochs=3)
    assert max_relative_difference(trainer.now.params, run.params) == 0
    assert [m.losses[1] for m in trainer.history] == pytest.approx(run.history["val_loss"])
    assert [m.accuracies[0] for m in trainer.history] == run.history["train_acc"]


def test_steps_epochs_and_back_to_the_start(window):
    assert window.ask("step") is None
    report = window.event("progress")
    assert report["now"]["step"] == 21 and report["now"]["epoch"] == pytest.approx(2.1)
    assert report["kernels"].shape == (3, 1, 3, 3) and set(report["now"]["norms"]) == {
        "conv",
        "dense",
    }
    seen = len(window.events)
    window.ask("epoch")
    assert window.event("progress", seen)["now"]["step"] == 30
    assert window.event("changed", seen)
    seen = len(window.events)
    window.ask("restart")
    report = window.event("progress", seen)
    assert report["now"]["step"] == 0 and len(report["history"]) == 1 and report["restarted"]


def test_play_reports_and_answers_looks_until_it_is_paused(window, shown):
    window.ask("play")
    first = window.event("progress")
    assert first["playing"]
    losses = [window.ask("look", pixels=pixels(shown), label=0)["loss"] for _ in range(3)]
    seen = len(window.events)
    assert window.event("progress", seen)["now"]["step"] > first["now"]["step"]
    window.ask("pause")
    step = window.session.playing.trainer.now.step
    assert window.ask("look", pixels=pixels(shown), label=0)["loss"] not in losses[:1]
    assert window.session.playing.trainer.now.step == step and not window.session.playing.is_on


def test_the_history_shows_that_moment(window, shown):
    before = window.ask("look", pixels=pixels(shown), label=0)
    window.ask("epoch")
    after = window.ask("look", pixels=pixels(shown), label=0)
    assert before["loss"] != after["loss"]
    window.ask("at", moment=2)  # 0: before training; 2: where the window began
    assert window.ask("look", pixels=pixels(shown), label=0)["loss"] == before["loss"]
    window.ask("at", moment=None)
    assert window.ask("look", pixels=pixels(shown), label=0)["loss"] == after["loss"]
    with pytest.raises(ValueError, match="history has the moments 0 to"):
        window.ask("at", moment=10_000)


def test_windows_do_not_share_their_training(shown, trained, window):
    step = trained.now.step
    window.ask("epoch")
    assert trained.now.step == step and len(trained.history) == 3
    assert window.session.playing.trainer.now.step == step + 10


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_settings_are_used(window, optimizer):
    asked = {"rate": 0.01, "batch_size": 60, "optimizer": optimizer, "seed": 4}
    assert window.ask("settings", **asked) == asked
    window.ask("epoch")
    assert window.session.playing.trainer.now.step == 23


@pytest.mark.parametrize(
    "asked",
    [{"rate": -1}, {"rate": "1"}, {"rate": float("nan")}, {"batch_size": 0}, {"batch_size": 1.5},
     {"optimizer": "best"}, {"seed": -1}, {"seed": True}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_one_line(window, asked):
    with pytest.raises(ValueError, match=r"rate|batch|optimizer|seed"):
        window.ask("settings", **asked)


def test_a_training_that_diverges_is_one_line_and_stops(window):
    window.ask("settings", rate=1e6)
    window.ask("break", layer="loss", mistake="sign")
    window.ask("play")
    line = window.event("message")["text"]
    assert "lower the rate" in line and "\n" not in line
    assert not window.session.playing.is_on and window.ask("info")


def test_a_history_is_bounded_and_keeps_both_ends():
    history, params = History(), {"w": np.zeros(3)}
    for step in range(3000):
        history.add(Moment(step, step, None, {}, None, None, params, {}))
        assert len(history) <= MAX_MOMENTS and history[0].step == 0 and history[-1].step == step
    steps = np.diff([m.step for m in history])
    assert steps[:-1].max() <= 2 * steps[:-1].min()


# ---- breaking and checking


def test_every_mistake_can_be_planted_and_trained(window, shown):
    for layer in window.ask("mistakes"):
        for mistake in layer["mistakes"]:
            assert window.ask("break", layer=layer["layer"], mistake=mistake)["broken"]
            window.ask("step")
            window.ask("look", pixels=pixels(shown), label=0)
    window.ask("break", mistake=None)
    found = window.ask("look", pixels=pixels(shown), label=0)
    assert all(stage["digits"] > 13 for stage in found["stages"])


def test_a_forgotten_division_cannot_be_seen_in_one_image_and_is_seen_in_training(window, shown):
    window.ask("break", layer="loss", mistake="1 / N forgotten")
    found = window.ask("look", pixels=pixels(shown), label=0)
    assert all(stage["digits"] > 13 for stage in found["stages"])
    window.ask("step")
    wrong = window.event("progress")["now"]["norms"]["dense"]
    before = Trainer(shown)
    for _ in range(2):
        before.epoch(shown.nets)
    before.step(shown.nets)
    assert wrong == pytest.approx(18 * before.norms["dense"], rel=1e-6)


def test_unknown_layers_and_mistakes_are_one_line(window):
    with pytest.raises(ValueError, match="no layer 'pool'; there are conv, relu, max_pool"):
        window.ask("break", layer="pool", mistake="no mask")
    with pytest.raises(ValueError, match="no planted mistake 'x'"):
        window.ask("break", layer="relu", mistake="x")
    with pytest.raises(ValueError, match="no layer None"):
        window.ask("source")


def test_check_names_the_line_and_the_edit(window):
    text = window.ask("source", layer="dense", start="sign of dx")["text"]
    found = window.ask("check", layer="dense", mistake="sign of dx")
    assert found["source"] == text and not found["ok"] and found["html"].startswith("<div")
    line = found["place"]["line"]
    assert text.splitlines()[line - 1].strip() == found["fix"]["before"] == "dx = -dy @ w.T"
    assert found["fix"]["after"] == "dx = dy @ w.T"


BAD = [
    ("while True: pass", "after 1 s"),
    ("import sys; sys.exit(3)", r"called sys.exit\(3\)"),
    ("def relu(x):\n    import sys; sys.exit()", r"sys.exit"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed its process: SIGKILL"),
    ("import numpy; numpy.ones(10**13)", "not enough memory|could not allocate|Unable to alloc"),
    ("x = (", r"line 1: '\(' was never closed"),
    ("x = 1", r"defines no function relu: def relu\(...\)"),
    ("def relu(x):\n    return 1", "must return"),
    ("raise KeyError('k')", "raised KeyError"),
    ("1 / 0", "raised ZeroDivisionError"),
    ("raise TimeoutError('mine')", "raised TimeoutError: mine"),
    ("import os; os.close(1)\nraise OSError('closed')", "raised OSError: closed"),
    ("\0", "not Python|null bytes"),
    ("x" * 30_000, "up to 20,000 characters"),
]


@pytest.mark.parametrize(
    "text, error",
    [pytest.param(*bad, marks=() if bad in BAD[1::4] else pytest.mark.slow) for bad in BAD],
)
def test_whatever_the_editor_holds_is_one_line_and_the_window_lives(window, text, error):
    if text.startswith("while"):  # only this one waits for its limit
        window.session.make_checker = lambda: Checker(1.0)
    with pytest.raises(ValueError, match=error) as raised:
        window.ask("check", layer="relu", text=text)
    assert "\n" not in str(raised.value)
    assert window.ask("settings")


@pytest.mark.slow
def test_code_that_cannot_be_interrupted_is_killed(window, monkeypatch):
    monkeypatch.setattr(checking, "STARTING", 4.0)
    window.session.make_checker = lambda: Checker(0.5)
    # A call into C that never returns; with SIGALRM blocked, the limit inside cannot end it.
    text = (
        "import ctypes, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\n"
        "ctypes.PyDLL(None).pause()"
    )
    with pytest.raises(ValueError, match=r"still running after 0\.5 s and was ended"):
        window.ask("check", layer="relu", text=text)


def test_a_newer_check_ends_the_older_one(window):
    older = window.post("check", layer="relu", text="while True: pass")
    newer = window.ask("check", layer="relu", mistake="no mask")
    assert window.wait(older) == {"dropped": True} and not newer["ok"]


def test_what_the_code_prints_is_shown(window):
    text = window.ask("source", layer="relu")["text"] + "\nprint('hello')\n"
    assert window.ask("check", layer="relu", text=text)["printed"] == "hello\n"


def test_without_the_editor_only_planted_mistakes_are_checked(shown, trained, window):
    window.session.editor = False
    assert not window.ask("info")["offers"]["edit"]
    with pytest.raises(ValueError, match="editor is off"):
        window.ask("check", layer="relu", text="x = 1")
    assert not window.ask("check", layer="relu", mistake="no mask")["ok"]


# ---- image files


def png(array):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return np.frombuffer(file.getvalue(), np.uint8)


def test_an_image_file_is_fitted_as_for_predict(window, shown, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3)).astype(np.uint8)
    (tmp_path / "a.png").write_bytes(png(image).tobytes())
    found = window.ask("image", file=png(image), name="a.png")
    x, steps = image_files.fit(image_files.read(tmp_path / "a.png"), (1, 8, 8), None, True)
    np.testing.assert_array_equal(found["pixels"], x)
    assert found["steps"] == steps


def huge_png():
    """A PNG whose header declares 32,000 x 32,000 pixels: a gigabyte."""
    file = bytearray(png(np.zeros((2, 2), np.uint8)).tobytes())
    import struct
    import zlib

    file[16:24] = struct.pack(">II", 32_000, 32_000)
    file[29:33] = struct.pack(">I", zlib.crc32(bytes(file[12:29])))
    return np.frombuffer(bytes(file), np.uint8)


@pytest.mark.parametrize(
    "file, error",
    [
        (np.frombuffer(b"no image at all", np.uint8), "not an image that Pillow can read"),
        (png(np.zeros((50, 50), np.uint8))[:60], "a.png is a damaged image|cannot be read"),
        (np.zeros(0, np.uint8), "not an image"),
        (np.zeros(4, np.float32), "no image file in the message"),
        (None, "no image file in the message"),
        (huge_png(), "pixels"),
    ],
)
def test_bad_image_files_are_one_line(window, file, error):
    with pytest.raises(ValueError, match=error) as raised:
        window.ask("image", file=file, name="a.png")
    assert "\n" not in str(raised.value)


def test_a_fault_of_the_program_is_one_line_too(window, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("of the test\nsecond line")

    monkeypatch.setitem(window.session.questions, "settings", fail)
    with pytest.raises(
        ValueError, match=r"^a fault of this program: ZeroDivisionError: of the test$"
    ):
        window.ask("settings")
    assert window.ask("info")
