"""``benchmarks.speed.engines``: workers speak, engines agree, the report says what was measured."""

import json
import re

import numpy as np
import pytest

from benchmarks.speed import engines, in_autocnn, report, works
from benchmarks.speed.engines import Worker, chosen, unavailable
from benchmarks.speed.works import WORKS, Work

FORWARD, GRADIENT = Work("tiny_cnn", "forward", 3, 8), Work("tiny_cnn", "gradient", 5, 8)


@pytest.fixture
def folder(tmp_path, request):
    """A folder with the files of a work, GRADIENT unless the test gives another."""
    works.write(getattr(request, "param", GRADIENT), tmp_path)
    return tmp_path


def results(engine, work, folder):
    """What a worker answers; skips the test where the engine cannot do the work here."""
    if why := unavailable(engine, work.kind):
        pytest.skip(f"{engine}: {why}")
    worker = Worker(engine, folder)
    worker.end()
    return worker.results


def test_the_files_hold_the_network(folder):
    found = works.files(folder)
    assert found.work == GRADIENT and found.arrays()["x"].shape == (5, 1, 8, 8)
    loss, gradient = in_autocnn.make(found, "reference")()
    exact_loss, exact = works.exact(found)
    assert gradient.dtype == np.float32 and exact.dtype == np.float64 and np.abs(exact).max() > 1e-3
    assert abs(loss - exact_loss) < 1e-5 * exact_loss
    np.testing.assert_allclose(gradient, exact, atol=1e-5 * np.abs(exact).max(), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [FORWARD, GRADIENT], indirect=True, ids=["forward", "gradient"])
@pytest.mark.parametrize("engine", engines.USUAL)
def test_every_engine_does_the_same_work(engine, folder):
    found = works.files(folder)
    for a, b in zip(results(engine, found.work, folder), works.exact(found), strict=True):
        assert np.abs(np.asarray(a) - b).max() <= 1e-5 * np.abs(b).max()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "jax"])
def test_networks_with_residual_blocks_and_batch_norm(engine, tmp_path):
    work = Work("resnet50", "forward", 2, 32)
    works.write(work, tmp_path)
    (logits,), (exact,) = results(engine, work, tmp_path), works.exact(works.files(tmp_path))
    assert np.abs(logits - exact).max() <= 1e-4 * np.abs(exact).max()


def test_runtimes_only_predict():
    for engine in ("onnxruntime", "OpenVINO"):
        assert unavailable(engine, "gradient") == unavailable(engine, "run") == "only predicts"


def test_a_worker_answers_and_leaves(folder):
    worker = Worker("autocnn, NumPy", folder)
    try:
        loss, gradient = worker.results
        worker.warm()
        seconds = [worker.turn() for _ in range(2)]
        peak = worker.peak()
    finally:
        worker.end()
    assert loss > 0 and np.shape(gradient) == (3, 1, 3, 3) and worker.first > 0
    assert all(0 < s < 1 for s in seconds) and (peak is None or 10 < peak < 1000)
    assert worker.process.returncode is not None


def test_a_worker_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match="No such file"):
        Worker("autocnn, NumPy", tmp_path)


@pytest.mark.slow
def test_a_work_is_measured_and_kept(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n")
    monkeypatch.setattr(report, "README", readme)
    monkeypatch.setattr(report, "JSON", tmp_path / "rows.json")
    name = "LeNet-5 training step, 32 images"
    monkeypatch.setitem(WORKS, name, GRADIENT._replace(cold=True))
    monkeypatch.setattr(engines, "USUAL", ["autocnn", "reference", "onnxruntime"])
    given = ["--works", name, "--rounds", "3", "--keep", "--json", str(tmp_path / "rows.json")]
    assert engines.main(given) == 0
    row = json.loads((tmp_path / "rows.json").read_text())[name]
    assert set(row["engines"]) == {"autocnn", "reference"}
    assert row["skipped"] == {"onnxruntime": "only predicts"}
    for one in row["engines"].values():
        assert len(one["seconds"]) == 3 and one["first"] > 0 and not one["wrong"]
    assert row["engines"]["autocnn"]["cold"] > 0 and "cold" not in row["engines"]["reference"]
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count(name) == 3 and (tmp_path / "rows.png").stat().st_size > 10_000
    assert "ours / it" in capsys.readouterr().out


def row(**seconds):
    """A row of results: seconds of each round by engine."""
    one = {"peak_mb": 100.0, "first": 1.0, "off": [1e-7], "wrong": False}
    found = {engine: {**one, "seconds": times} for engine, times in seconds.items()}
    return {"engines": found, "skipped": {}, "others": 0.5, "took": 9.0}


def test_ratios_are_ours_to_theirs():
    some = row(autocnn=[1.0, 2.0, 3.0], torch=[2.0, 2.0, 2.0])
    assert report.ratio(some, "torch") == pytest.approx((1.0, 0.75, 1.25))
    time, memory, first = report.tables({"VGG-16 forward, 1 image": some})
    assert "| VGG-16 forward, 1 image | 2 s | 2 s; **1.00** (0.75 to 1.25) |" in time
    assert "| 100 MB | 100 MB; **1.00** |" in memory and first.count("\n") == 1
    some["engines"]["torch"]["wrong"] = True
    assert "(wrong)" in report.tables({"VGG-16 forward, 1 image": some})[0]
    assert re.search("torch .*WRONG", report.text("VGG-16 forward, 1 image", some))


@pytest.mark.parametrize(
    "work, off, torch, wrong",
    [
        (FORWARD, [1e-4], None, False),
        (FORWARD, [1e-3], [1e-3], True),
        (FORWARD, [float("nan")], None, True),
        (GRADIENT, [1e-6, 0.02], [1e-6, 0.01], False),
        (GRADIENT, [1e-6, 0.05], [1e-6, 0.01], True),
        (GRADIENT, [1e-3, 1e-6], [1e-6, 1e-6], True),
        (FORWARD._replace(kind="run"), [5e-3], None, False),
    ],
)
def test_what_counts_as_wrong(work, off, torch, wrong):
    assert engines._wrong(work, off, torch) is wrong


def test_names_are_chosen_by_words():
    names = ["autocnn", "autocnn, NumPy", "torch", "torch.compile"]
    assert chosen(names, []) == names
    assert chosen(names, ["autocnn", "torch.compile"]) == ["autocnn", "torch.compile"]
    assert chosen(names, ["numpy", "TORCH"]) == ["autocnn, NumPy", "torch", "torch.compile"]
    with pytest.raises(ValueError, match="contains 'caffe'"):
        chosen(names, ["caffe"])
    assert unavailable("autocnn", "run") is None
    assert "autocnn, NumPy" in engines.usual(GRADIENT)
    assert "autocnn, NumPy" not in engines.usual(WORKS["VGG-16 forward, 1 image"])


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(engines.shutil, "which", lambda name: None)
    assert unavailable("torch.compile", "forward") == "needs g++"
