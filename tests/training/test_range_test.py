"""The learning rate range test: what it computes, and what it advises."""

import copy
import functools
import json

import numpy as np
import pytest

import autocnn as ac
from autocnn import optim
from autocnn.plots.rates import range_test
from autocnn.training import lr_find

SGD = functools.partial(optim.sgd, momentum=0.9, nesterov=True)


@pytest.fixture(scope="module")
def tiny_digits(patterns):
    model = ac.models.tiny_cnn(nn=ac.fast)
    return model.init(3, (1, 8, 8), "float32")[1], patterns, model


def test_the_rates_and_the_losses_are_those_of_training(tiny_digits):
    params, data, model = tiny_digits
    found = lr_find(*tiny_digits, optimizer=optim.sgd, low=1e-3, high=0.1, steps=12, batch_size=50)
    np.testing.assert_allclose(found.rates, np.geomspace(1e-3, 0.1, 12))
    shuffle = np.random.default_rng(0)
    order = np.concatenate([shuffle.permutation(180) for _ in range(3)])
    sizes, begin, mean = [50, 50, 50, 30] * 3, 0, 0.0
    for i, (rate, size) in enumerate(zip(found.rates, sizes, strict=True)):
        part = order[begin : begin + size]
        begin += size
        batch = data.x_train[part].astype("float32"), data.y_train[part]
        value, grads, _ = model.loss_and_grad(params, ({},) * 5, batch, key=0)
        assert found.losses[i] == pytest.approx(float(value), rel=1e-5)
        mean = 0.9 * mean + 0.1 * float(value)
        assert found.smoothed[i] == pytest.approx(mean / (1 - 0.9 ** (i + 1)), rel=1e-5)
        params = ac.trees.tree_map(lambda p, g, rate=rate: p - np.float32(rate) * g, params, grads)


@pytest.mark.parametrize("optimizer", [optim.adam, SGD], ids=["adam", "sgd"])
def test_the_suggestion_trains(optimizer, tiny_digits):
    params, data, model = tiny_digits
    before = ac.trees.tree_map(np.copy, params)
    found = lr_find(*tiny_digits, optimizer=optimizer, batch_size=32)
    assert 1e-3 < found.suggestion <= min(found.steepest, found.tenth) < 2
    run = ac.train(
        params, data, model=model, optimizer=optimizer(found.suggestion), epochs=5, batch_size=32
    )
    assert run.history["val_acc"][-1] > 0.9
    slow = ac.train(
        params, data, model=model, optimizer=optimizer(found.suggestion / 1000), epochs=5,
        batch_size=32,
    )  # fmt: skip
    assert slow.history["val_loss"][-1] > 2 * run.history["val_loss"][-1]
    assert ac.trees.max_relative_difference(params, before) == 0


def test_it_stops_where_training_does(tiny_digits):
    found = lr_find(*tiny_digits, optimizer=SGD, low=1e-2, high=1e8, batch_size=32)
    assert found.stopped and found.rates[-1] < 1e6 and len(found.losses) == len(found.rates)
    assert f"the sweep stopped at rate {found.rates[-1]:.2g}: {found.stopped}" in str(found)


def test_a_loss_that_never_falls(tiny_digits):
    params, data, model = tiny_digits
    found = lr_find(params, data, model, low=1e-9, high=1e-7, steps=20)
    assert found.suggestion is None and "fell at none of these rates" in str(found)
    assert range_test(found).axes[0].get_title(loc="left").startswith("the loss fell at none")


def test_the_table_and_the_figure(tiny_digits):
    found = lr_find(*tiny_digits, batch_size=32)
    lines = found.text(rows=8, width=50).splitlines()
    assert len(lines) == 11 and max(map(len, lines[:9])) <= 50
    assert [float(line.split()[0]) for line in lines[1:9]] == sorted(
        float(line.split()[0]) for line in lines[1:9]
    )
    assert lines[-1].startswith(f"suggested rate {found.suggestion:.2g}: ")
    (axes,) = range_test(found).axes
    assert axes.get_xscale() == "log" and len(axes.lines) == 4
    np.testing.assert_array_equal(axes.lines[1].get_ydata(), found.smoothed)


def test_bad_calls(tiny_digits):
    for options, says in (
        ({"low": 0.1, "high": 0.01}, "needs 0 < low < high"),
        ({"low": 0}, "needs 0 < low < high"),
        ({"steps": 9}, "10 steps or more"),
        ({"batch_size": 0}, "batch_size"),
    ):
        with pytest.raises(ValueError, match=says):
            lr_find(*tiny_digits, **options)


def test_command_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("lr-find", "tiny-cnn", "--data", "patterns")
    code, out, err = command(*words, "--out", "rates.svg")
    assert (code, err) == (0, "") and "suggested rate " in out
    assert (tmp_path / "rates.svg").read_bytes()[:5] == b"<?xml"
    assert [path.name for path in tmp_path.iterdir()] == ["rates.svg"]
    about = json.loads(command(*words, "--json", "--optimizer", "adam", "--steps", 30)[1])
    assert about["optimizer"] == "adam" and len(about["rates"]) == 30
    assert 0 < about["suggestion"] <= about["steepest"]
    code, out, _ = command(*words, "--low", 1e-9, "--high", 1e-8)
    assert code == 1 and "fell at none" in out
    code, _, err = command(*words, "--out", "rates.gif")
    assert code == 2 and "ends in .png, .svg or .pdf" in err


def test_warnings_are_of_the_line_that_calls(tiny_digits):
    params, data, model = tiny_digits
    x, y = 255 * data.x_train, data.y_train
    for call in (
        lambda: lr_find(params, (x, y), model, steps=10),
        lambda: lr_find(copy.deepcopy(params), (x / 255, y), steps=10),
        lambda: ac.train(params, (x, y), model, optimizer=optim.sgd(1e-5), epochs=1),
    ):
        with pytest.warns(UserWarning, match="reaches 255|nothing says which network") as found:
            call()
        assert {warning.filename for warning in found} == {__file__}
