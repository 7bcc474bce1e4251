"""Searches: Optuna chooses the points, and what is stored does not run again."""

import functools
import json

import pytest

import autocnn as ac
import reference
from autocnn.sweeps import Between, search
from tests.sweeps.test_sweep import Here

pytest.importorskip("optuna")

tiny_cnn = functools.partial(ac.models.tiny_cnn, nn=reference)
SPACE = {"filters": Between(1, 9), "rate": Between(0.01, 1.0, log=True), "kernel": [2, 3]}


def points(found):
    return [tuple(trial[name] for name in found.names) for trial in found.trials]


@pytest.fixture(scope="module")
def found():
    return search(tiny_cnn, SPACE, 6, 2, Here(), epochs=1)


def test_points_are_in_the_space_and_none_comes_twice(found):
    assert len(found.trials) == 12 and not found.failed
    assert len(set(points(found))) == 6
    for filters, rate, kernel in points(found):
        assert filters in range(1, 10) and 0.01 <= rate <= 1.0 and kernel in (2, 3)
        assert rate == float(f"{rate:.4g}")
    grid = {"filters": [found.trials[0]["filters"]]}
    alone = found.trials[0]
    same = ac.sweep(
        tiny_cnn, grid | {"rate": [alone["rate"]], "kernel": [alone["kernel"]]}, 1, Here(), epochs=1
    )
    assert same.trials[0] == alone


def test_optuna_speaks_as_before():
    import optuna

    before = optuna.logging.get_verbosity()
    assert before != optuna.logging.WARNING  # of a search
    search(tiny_cnn, {"filters": [1]}, 1, 1, Here(), epochs=1)
    assert optuna.logging.get_verbosity() == before


def test_a_search_goes_on_and_may_grow(found, tmp_path):
    out = tmp_path / "trials.jsonl"
    assert search(tiny_cnn, SPACE, 5, 2, Here(), epochs=1, out=out).trials == found.trials[:10]
    worker = Here()
    assert search(tiny_cnn, SPACE, 6, 2, worker, epochs=1, out=out) == found
    assert worker.calls == 2
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:4]) + lines[4][:9])
    worker = Here()
    assert search(tiny_cnn, SPACE, 6, 2, worker, epochs=1, out=out) == found
    assert worker.calls == 9 and len(out.read_text().splitlines()) == 13


def test_another_space_or_a_grid_is_another_sweep(tmp_path):
    out = tmp_path / "trials.jsonl"
    search(tiny_cnn, {"filters": [1, 2]}, 1, 1, Here(), epochs=1, out=out)
    with pytest.raises(ValueError, match="holds another sweep: space is"):
        search(tiny_cnn, {"filters": [1, 3]}, 1, 1, Here(), epochs=1, out=out)
    with pytest.raises(ValueError, match="holds another sweep: sampler is 'optuna' there"):
        ac.sweep(tiny_cnn, {"filters": [1, 2]}, 1, Here(), epochs=1, out=out)


def test_a_space_with_few_points_ends_early_and_failures_count(tmp_path):
    found = search(tiny_cnn, {"filters": [0, 1, 2]}, 9, 1, Here(), epochs=1)
    assert sorted(t["filters"] for t in found.trials) == [0, 1, 2]
    assert [t["filters"] for t in found.failed] == [0]


def test_it_finds_the_better_part(monkeypatch):
    """With an accuracy that is known: by chance, 4 of the 20 later points would be so near."""

    def trial(options, build, data, fixed):
        accuracy = 1 - abs(options["rate"] - 0.3)
        return dict.fromkeys(("parameters", "train_loss", "train_acc", "val_loss"), 0) | {
            "val_acc": accuracy
        }

    monkeypatch.setattr("autocnn.sweeps.evaluate.run_trial", trial)
    found = search(tiny_cnn, {"rate": Between(0.0, 1.0)}, 40, 1, Here())
    later = [t["rate"] for t in found.trials[20:]]
    assert sum(abs(rate - 0.3) < 0.1 for rate in later) >= 8


@pytest.mark.parametrize(
    "space, words",
    [
        ({"rate": Between(1.0, 0.1)}, "rate needs a range from a smaller to a larger number"),
        ({"rate": Between(0.0, 1.0, log=True)}, "above 0 for log"),
        ({"rate": Between(0.1, float("inf"))}, "rate needs a range"),
        ({"filter": [1]}, "did you mean 'filters'"),
        ({"filters": []}, "no values for filters"),
        ({"filters": 3}, "a list of values for filters"),
        ({}, "at least one option"),
    ],
)
def test_bad_spaces(space, words):
    with pytest.raises(ValueError, match=words):
        search(tiny_cnn, space, 2, 1, Here())


ASKED = ("sweep", "tiny-cnn", "--seeds", 1, "--epochs", 1, "--workers", 1)


def test_the_command(command, tmp_path):
    asked = (*ASKED, "--grid", "filters=1:9", "--grid", "rate=0.01:1:log", "--out", tmp_path)
    code, out, err = command(*asked, "--sampler", "optuna", "--trials", 3)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[2:5]]
    accuracies = [float(row[-1]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [path.name for path in tmp_path.iterdir()] == ["trials.jsonl"]
    code, out, _ = command(*asked, "--sampler", "optuna", "--trials", 4, "--json")
    assert code == 0 and len(json.loads(out)["trials"]) == 4


@pytest.mark.parametrize(
    "options, words",
    [
        (("--sampler", "optuna"), "give --sampler optuna with --trials"),
        (("--trials", 3), "give --sampler optuna with --trials"),
        (("--sampler", "hyperband", "--trials", 3), "give --sampler optuna with --trials"),
        (("--sampler", "optuna", "--trials", 3, "--grid", "rate=1:2:x"), "FROM:TO:log"),
        (("--sampler", "optuna", "--trials", 3, "--grid", "rate=a:b"), "FROM:TO:log"),
        (("--sampler", "optuna", "--trials", 3, "--grid", "rate=2:1"), "rate needs a range"),
    ],
)
def test_bad_calls(command, tmp_path, options, words):
    grid = () if "--grid" in options else ("--grid", "filters=1:3")
    code, out, err = command(*ASKED, *grid, *options, "--out", tmp_path / "out")
    assert (code, out) == (2, "") and words in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
