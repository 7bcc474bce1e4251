"""Sweeps: the same bits whoever computes them, each trial once whatever happens on the way, and
what is refused.
"""

import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import scipy.stats

import autocnn as ac
import reference
from autocnn.sweeps import Sweep

tiny_cnn = functools.partial(ac.models.tiny_cnn, nn=reference)
GRID = {"filters": [1, 2], "epochs": [1, 2]}


class Here(Executor):
    """Does the work at once, in this thread, and counts it."""

    def __init__(self):
        self.calls = 0

    def submit(self, f, *args, **kwargs):
        self.calls += 1
        future = Future()
        try:
            future.set_result(f(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture(scope="module")
def found():
    return ac.sweep(tiny_cnn, GRID, seeds=2, executor=Here())


def dies(marker, filters, nn=reference):
    """A network whose builder kills its process: for filters=2 as long as ``marker`` can be
    created, for 13 always.
    """
    if filters == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if filters == 2:
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return ac.models.tiny_cnn(filters=filters, nn=nn)


def test_a_trial_is_a_training(found):
    assert found.names == ("filters", "epochs")
    assert [(t["filters"], t["epochs"], t["seed"]) for t in found.trials] == [
        (f, e, s) for f in (1, 2) for e in (1, 2) for s in (0, 1)
    ]
    trial = found.trials[-1]
    assert all(isinstance(value, (int, float)) for value in trial.values())
    model, data = tiny_cnn(filters=2), ac.data.patterns(seed=2000)
    _, params, state = model.init((3, 1), (1, 8, 8))
    run = ac.train(params, data, model=model, state=state, epochs=2, seed=(3, 1, 1))
    expected = {name: values[-1] for name, values in run.history.items() if name != "epoch"}
    assert trial == {"filters": 2, "epochs": 2, "seed": 1, "parameters": 77, **expected}


def test_the_bits_do_not_depend_on_the_workers(found):
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(1, get_context("spawn")) as spawned:
        for how in ({"workers": 1}, {"workers": 2}, {"executor": threads}, {"executor": spawned}):
            assert ac.sweep(tiny_cnn, GRID, seeds=2, **how) == found


def test_autograd_is_safe_in_threads():
    with ThreadPoolExecutor(4) as threads:
        grid = {"filters": [1, 2, 3]}
        parallel = ac.sweep(ac.models.tiny_cnn, grid, seeds=2, epochs=1, executor=threads)
    assert parallel == ac.sweep(ac.models.tiny_cnn, grid, seeds=2, epochs=1, executor=Here())
    assert not parallel.failed


def test_seeds_share_nothing(found):
    assert len({t["val_loss"] for t in found.trials}) == len(found.trials)
    some = ac.sweep(tiny_cnn, GRID, seeds=[1], executor=Here())
    assert some.trials == [t for t in found.trials if t["seed"] == 1]


def test_data_of_other_kinds(patterns):
    fixed = ac.sweep(tiny_cnn, {"filters": [2]}, seeds=2, epochs=1, data=patterns, executor=Here())
    drawn = ac.sweep(
        tiny_cnn, {"filters": [2]}, seeds=2, epochs=1, data=lambda seed: patterns, executor=Here()
    )
    assert fixed == drawn
    assert fixed.trials[0]["val_loss"] != fixed.trials[1]["val_loss"]
    any_option = ac.sweep(
        lambda **options: tiny_cnn(**options), {"filters": [2]}, 1, Here(), epochs=1
    )
    assert any_option.trials == ac.sweep(tiny_cnn, {"filters": [2]}, 1, Here(), epochs=1).trials
    five = ac.sweep(tiny_cnn, {"classes": [2, 5]}, seeds=1, epochs=1, executor=Here())
    assert [t["parameters"] for t in five.trials] == [30 + 28 * k for k in (2, 5)]


def test_summary_is_students():
    found = ac.sweep(tiny_cnn, {"filters": [1, 2]}, seeds=4, epochs=1, executor=Here())
    for row, trials in zip(
        found.summary("val_loss"), (found.trials[:4], found.trials[4:]), strict=True
    ):
        values = [t["val_loss"] for t in trials]
        low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
        assert (row["n"], row["mean"], row["low"], row["high"]) == (
            4,
            *map(pytest.approx, (np.mean(values), low, high)),
        )
    with pytest.raises(ValueError, match="did you mean 'val_loss'"):
        found.summary("valloss")


def test_a_sweep_shows_itself_as_a_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    trials = [
        {"filters": f, "seed": s, "parameters": 40, "val_acc": f / 4}
        for f in (1, 2)
        for s in (0, 1)
    ]
    trials += [{"filters": 3, "seed": 0, "error": "ValueError"}]
    assert repr(Sweep(trials, ("filters",))).splitlines() == [
        "filters  parameters  n  accuracy  95 % interval",
        "───────  ──────────  ─  ────────  ────────────────",
        "      1          40  2    0.2500  0.2500 to 0.2500",
        "      2          40  2    0.5000  0.5000 to 0.5000",
        "      3              0            failed",
    ]


def test_one_seed_has_no_interval(found):
    row = ac.sweep(tiny_cnn, {"filters": [1]}, seeds=1, epochs=1, executor=Here()).summary()[0]
    assert row["n"] == 1 and row["low"] is None and row["mean"] == found.trials[0]["val_acc"]


def test_goes_on_where_it_was(found, tmp_path):
    out, lines = tmp_path / "new" / "trials.jsonl", None
    assert ac.sweep(tiny_cnn, GRID, seeds=2, out=out, executor=Here()) == found
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == 9 and all(json.loads(line) for line in lines)
    for keep, half in ((0, 10), (0, 0), (1, 0), (4, 1), (6, 40), (8, len(lines[8]) - 1), (9, 0)):
        out.write_bytes(b"".join(lines[:keep]) + (lines[keep][:half] if half else b""))
        worker = Here()
        assert ac.sweep(tiny_cnn, GRID, seeds=2, out=out, executor=worker) == found
        assert worker.calls == 9 - max(keep, 1)
        assert out.read_bytes() == whole


def test_a_sweep_may_grow(found, tmp_path):
    out, worker = tmp_path / "trials.jsonl", Here()
    for epochs, seeds in (([1], 1), ([1], 2), ([1, 2], 2)):
        grown = ac.sweep(
            tiny_cnn, {"filters": [1, 2], "epochs": epochs}, seeds=seeds, out=out, executor=worker
        )
    assert grown == found and worker.calls == 8


@pytest.mark.parametrize(
    "change, words",
    [
        ({"build": functools.partial(ac.models.tiny_cnn, nn=ac.layers)}, "build is"),
        ({"grid": {"epochs": [1], "kernel": [3]}}, "varied is"),
        ({"grid": {"filters": [1]}, "epochs": 2}, "varied is"),
        ({"grid": {"filters": [2, 3], "epochs": [1, 2]}}, "not in this one"),
        ({"seeds": 1}, "not in this one"),
        ({"rate": 0.1}, "rate is 0.12 there and 0.1 here"),
        ({"batch_size": 9}, "batch_size is 18"),
        ({"data": ac.data.patterns(3, 3)}, "data is 'patterns'"),
    ],
)
def test_another_sweeps_file_is_refused(tmp_path, change, words):
    out = tmp_path / "trials.jsonl"
    asked = {
        "build": tiny_cnn,
        "grid": {"filters": [1], "epochs": [1]},
        "seeds": 2,
        "executor": Here(),
        "out": out,
    }
    ac.sweep(**asked)
    before, worker = out.read_bytes(), Here()
    with pytest.raises(ValueError, match=words) as caught:
        ac.sweep(**asked | {"executor": worker} | change)
    assert "\n" not in str(caught.value) and "another sweep" in str(caught.value)
    assert out.read_bytes() == before and worker.calls == 0


def test_damaged_and_foreign_files_stay_as_they_are(found, tmp_path):
    out = tmp_path / "trials.jsonl"
    ac.sweep(tiny_cnn, {"filters": [1]}, seeds=2, epochs=1, out=out, executor=Here())
    head, one, two = out.read_text().splitlines(keepends=True)
    for content, words in (
        (head + one[:30] + "\n" + two, "line 2 of .* is damaged"),
        (head + '{"trial": 3, "result": 5}\n', "line 2 of .* is damaged"),
        (head + one + one, "line 3 of .* repeats a trial"),
        (head + one.replace("val_acc", "acc"), "is damaged"),
        ("diary", "does not hold a sweep"),
        ("diary\nmore\n", "does not hold a sweep"),
        ("[1]\n", "does not hold a sweep"),
    ):
        out.write_text(content)
        with pytest.raises(ValueError, match=words):
            ac.sweep(tiny_cnn, {"filters": [1]}, seeds=2, epochs=1, out=out, executor=Here())
        assert out.read_text() == content
    with pytest.raises(ValueError, match="cannot write to"):
        ac.sweep(tiny_cnn, {"filters": [1]}, seeds=2, epochs=1, out=tmp_path, executor=Here())


def test_two_sweeps_do_not_share_a_file(tmp_path):
    from autocnn.sweeps.store import Store

    with (
        Store(tmp_path / "trials.jsonl", {}),
        pytest.raises(ValueError, match="being written by another sweep"),
    ):
        Store(tmp_path / "trials.jsonl", {})
    Store(tmp_path / "trials.jsonl", {}).close()


def test_a_trial_is_stored_once(tmp_path, caplog):
    from autocnn.sweeps.store import Store

    path, trial = tmp_path / "trials.jsonl", {"filters": 1, "seed": 0}
    with caplog.at_level("INFO"), Store(path, {}) as store:
        store.add(trial, {"val_acc": 0.5, "val_loss": float("nan")})
        before = path.read_bytes()
        store.add({"seed": 0, "filters": 1}, {"val_loss": float("nan"), "val_acc": 0.5})
        assert "holds the trial" in caplog.text and path.read_bytes() == before
        with pytest.raises(
            ValueError, match=r"has run twice, with different results: .*0\.5.*0\.6"
        ):
            store.add(trial, {"val_acc": 0.6, "val_loss": float("nan")})
        assert path.read_bytes() == before
        store.add({"filters": 1, "seed": 1}, {"val_acc": 0.5})
    with Store(path, {}) as store:
        assert len(store.results) == 2


def test_one_failing_trial_is_reported_and_the_rest_finish(tmp_path):
    out = tmp_path / "trials.jsonl"
    found = ac.sweep(
        tiny_cnn, {"filters": [0, 1], "kernel": [3, 9]}, seeds=1, epochs=1, out=out, executor=Here()
    )
    assert [("error" in t) for t in found.trials] == [True, True, False, True]
    assert found.failed[0]["error"] == "ValueError: conv: filters must be an int, 1 or more; got 0"
    assert "does not fit" in found.failed[2]["error"]
    assert [row["n"] for row in found.summary()] == [0, 0, 1, 0]
    assert len(out.read_text().splitlines()) == 2  # failures are tried again
    again = Here()
    assert (
        ac.sweep(tiny_cnn, {"filters": [0, 1], "kernel": [3, 9]}, 1, again, epochs=1, out=out)
        == found
    )
    assert again.calls == 3


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path):
    build = functools.partial(dies, tmp_path / "marker")
    out, grid = tmp_path / "trials.jsonl", {"filters": [1, 2, 13, 3]}
    found = ac.sweep(build, grid, seeds=1, epochs=1, out=out, workers=1)
    assert (tmp_path / "marker").exists()
    whole = ac.sweep(tiny_cnn, {"filters": [1, 2, 3]}, seeds=1, epochs=1, executor=Here())
    assert [t for t in found.trials if t["filters"] != 13] == whole.trials
    assert [t["error"] for t in found.failed] == [
        "its worker process died, 3 times over; is there enough memory?"
    ]
    lines = [json.loads(line)["trial"] for line in out.read_text().splitlines()[1:]]
    assert sorted(t["filters"] for t in lines) == [1, 2, 3]


class Forgetful(Here):
    """Cancels some calls, by their numbers."""

    def __init__(self, cancelled):
        super().__init__()
        self.cancelled, self.trials = cancelled, []

    def submit(self, f, *args):
        future = super().submit(f, *args)
        self.trials.append(args[0]["filters"])
        if self.calls in self.cancelled:
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
        return future


def test_a_trial_that_the_executor_cancels_runs_again():
    forgetful = Forgetful({2})
    found = ac.sweep(tiny_cnn, {"filters": [1, 2, 3]}, 1, forgetful, epochs=1)
    assert found == ac.sweep(tiny_cnn, {"filters": [1, 2, 3]}, 1, Here(), epochs=1)
    assert forgetful.trials == [1, 2, 3, 2]


def test_a_trial_that_the_executor_cancels_every_time_is_reported():
    forgetful = Forgetful({2, 4, 5, 6, 7, 8})
    found = ac.sweep(tiny_cnn, {"filters": [1, 2, 3]}, 1, forgetful, epochs=1)
    assert [t["filters"] for t in found.failed] == [2]
    assert found.failed[0]["error"] == ("CancelledError: the executor cancelled it, 4 times over")
    assert forgetful.trials == [1, 2, 3, 2, 2, 2]


def test_a_trial_cancelled_by_an_executor_that_shuts_down_is_reported():
    class Closing(Forgetful):
        def submit(self, f, *args):
            if self.calls == 3:
                raise RuntimeError("cannot schedule new futures after shutdown")
            return super().submit(f, *args)

    found = ac.sweep(tiny_cnn, {"filters": [1, 2, 3]}, 1, Closing({2}), epochs=1)
    assert [t["error"] for t in found.failed] == [
        "RuntimeError: cannot schedule new futures after shutdown"
    ]


def test_a_callers_pool_that_breaks_is_replaced(tmp_path, caplog):
    build = functools.partial(dies, tmp_path / "marker")
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        found = ac.sweep(build, {"filters": [1, 2, 3]}, 1, executor, epochs=1, workers=1)
    assert found == ac.sweep(tiny_cnn, {"filters": [1, 2, 3]}, 1, Here(), epochs=1)
    assert "ProcessPoolExecutor broke with 2 of 3 trials to do" in caplog.text


def test_a_sweep_that_is_killed_goes_on(tmp_path, command):
    arguments = [
        "sweep",
        "tiny-cnn",
        "--grid",
        "filters=1:4",
        "--seeds",
        "4",
        "--epochs",
        "20",
        "--workers",
        "1",
    ]
    out = tmp_path / "out" / "trials.jsonl"
    code = "from autocnn.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--out", str(out.parent)],
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None and not (out.exists() and out.read_bytes().count(b"\n") > 2):
        time.sleep(0.02)
    process.kill()
    process.wait()
    before = out.read_bytes()
    assert before.count(b"\n") >= 3  # a busy machine may let it come to its end
    exit_code, _, _ = command(*arguments, "--out", str(out.parent))
    assert exit_code == 0
    assert out.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    trials = [json.dumps(json.loads(line)["trial"]) for line in out.read_text().splitlines()[1:]]
    assert len(trials) == len(set(trials)) == 16


def test_the_command(command, tmp_path):
    grid = ("--grid", "hidden=1:2,4", "--grid", "classes=2,3")
    asked = ("sweep", "tiny-mlp", *grid, "--seeds", 2, "--epochs", 2, "--workers", 1)
    code, stdout, stderr = command(*asked, "--out", tmp_path)
    assert (code, stderr) == (0, "")
    rows = re.findall(
        r"^ +(\d) +(\d) +(\d+)  2 +(0\.\d{4}|1\.0000)  +[01]\.\d{4} to [01]\.\d{4}$",
        stdout,
        re.MULTILINE,
    )
    expected = [(h, k, 65 * h + k * (h + 1)) for h in (1, 2, 4) for k in (2, 3)]
    assert [tuple(map(int, row[:3])) for row in rows] == expected
    assert max(map(len, command(*asked, "--out", tmp_path, columns=50)[1].splitlines()[:-1])) <= 60
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    printed = json.loads(command(*asked, "--out", tmp_path, "--json")[1])
    assert [f"{row['mean']:.4f}" for row in printed["summary"]] == [row[-1] for row in rows]
    assert len(printed["trials"]) == 12 and printed["failed"] == 0


def test_the_command_reports_what_failed(command, tmp_path):
    code, stdout, stderr = command(
        "sweep",
        "tiny-cnn",
        "--grid",
        "kernel=3,9",
        "--seeds",
        1,
        "--epochs",
        1,
        "--workers",
        1,
        "--out",
        tmp_path,
    )
    assert code == 1
    assert re.search(r"^ +9 +0 +failed$", stdout, re.MULTILINE)
    (line,) = stderr.splitlines()
    assert line.startswith("autocnn: the trial with kernel 9, seed 0 failed: ValueError: ")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("tiny-gnn", "--grid", "filters=1"), "no network 'tiny-gnn'"),
        (("own.py:build", "--grid", "filters=1"), "a sweep builds networks of the library by name"),
        (
            ("tiny-cnn", "--grid", "filter=1:8"),
            "autocnn: tiny-cnn has no option 'filter'; did you mean 'filters'? "
            "Its options: classes, filters",
        ),
        (
            ("tiny-cnn", "--grid", "widht=1:8"),
            "autocnn: tiny-cnn has no option 'widht'. Its options: classes, filters",
        ),
        (
            ("lenet5", "--grid", "filters=1", "--data", "digits"),
            "autocnn: lenet5 has no option 'filters'",
        ),
        (("tiny-cnn", "--grid", "filters="), "--grid needs an option and its values"),
        (("tiny-cnn", "--grid", "filters"), "--grid needs an option and its values"),
        (("tiny-cnn", "--grid", "filters=8:1"), "the range 8:1 is empty; write 1:8"),
        (("tiny-cnn", "--grid", "filters=a:b"), "a range is FROM:TO"),
        (("tiny-cnn", "--grid", "filters=1,1"), "twice"),
        (("tiny-cnn", "--grid", "filters=1", "--grid", "filters=2"), "one --grid"),
        (("tiny-cnn", "--grid", "filters=1", "--seeds", 0), "seeds must be an int, 1 or more"),
        (("tiny-cnn", "--grid", "filters=1", "--epochs", 0), "epochs must be an int"),
        (("tiny-cnn", "--grid", "filters=1", "--rate", "nan"), "rate must be a finite number"),
        (("tiny-cnn", "--grid", "filters=1", "--workers", 0), "workers must be an int"),
        (("tiny-cnn", "--grid", "filters=1", "--data", "minst"), "did you mean 'mnist'"),
        (("tiny-cnn", "--grid", "filters=1", "--engine", "torch"), "no engine 'torch'"),
    ],
)
def test_bad_calls_are_one_line(command, tmp_path, arguments, words):
    code, stdout, stderr = command("sweep", *arguments, "--out", tmp_path / "out")
    assert (code, stdout) == (2, "")
    assert len(stderr.splitlines()) == 1 and words in stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"grid": {}}, "at least one option"),
        ({"grid": {"filters": []}}, "the grid is empty: it has no values for filters"),
        ({"grid": {"filters": 3}}, "a list of values for filters"),
        ({"grid": {"filters": "123"}}, "a list of values for filters"),
        ({"grid": {"filters": [object()]}}, "must be numbers, strings"),
        ({"grid": {"nn": [1]}}, "tiny_cnn has no option 'nn'. Its"),
        ({"grid": {"seed": [1]}}, "no option 'seed'"),
        ({"grid": {"epoch": [1]}}, "did you mean 'epochs'? Its"),
        ({"build": 3}, "a function that returns a network, such as ac.models.tiny_cnn; got 3"),
        (
            {"build": ac.models.tiny_cnn()},
            "a function that returns a network, such as ac.models.tiny_cnn; got serial(",
        ),
        ({"data": 3}, "data must be a Dataset"),
        ({"data": np.zeros((9, 1, 8, 8))}, "data must be a Dataset"),
        ({"seeds": []}, "seeds must be"),
        ({"seeds": [1, 1]}, "seeds must be"),
        ({"seeds": [-1]}, "a seed must be"),
        ({"executor": 4}, "executor must be a concurrent.futures.Executor"),
        ({"workers": 0, "executor": None}, "workers must be an int"),
    ],
)
def test_bad_arguments(change, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        ac.sweep(**{"build": tiny_cnn, "grid": GRID, "executor": Here()} | change)
