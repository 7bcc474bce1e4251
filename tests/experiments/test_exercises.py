"""The chapter over many seeds, and its exercises: what is computed from the runs, and what is
concluded from it.
"""

import functools
import json
import re
from concurrent.futures import Executor, Future

import numpy as np
import pytest
import scipy.stats

import reference
from autocnn import experiments, models
from autocnn.data import patterns
from autocnn.experiments import SECTIONS, Lab, chapter, exercises, published, report
from autocnn.experiments.lab import Outcome, cnn, mlp, train_network
from autocnn.experiments.questions import QUESTIONS
from autocnn.sweeps.statistics import Interval, share_interval
from autocnn.training import predict, train
from tests.helpers import same_bits


class Here(Executor):
    """Does the work at once, in this thread."""

    def submit(self, f, *args, **kwargs):
        future = Future()
        future.set_result(f(*args, **kwargs))
        return future


SHORT = {"executor": Here(), "epochs": 2}


def made_up(number, accuracy, trials=6, edges=False):
    """A lab of runs that never ran: ``accuracy(name, options, trial)``, and kernels that are edges
    or noise.
    """
    generator, lab = np.random.default_rng(0), Lab("reference", trials, executor=Here())
    for job in lab.jobs(dict.fromkeys(job.arguments[0] for job in SECTIONS[number].jobs(lab))):
        network, trial = job.arguments[:2]
        value = accuracy(network.builder, dict(network.options), trial)
        noise = generator.normal(size=(3, 1, 3, 3))
        slope = np.array([[-1, 0, 1]] * 3) + np.zeros((3, 1, 1, 1))
        slope[1, 0] = slope[1, 0].T
        kernels = {0: noise, 1: slope if edges else noise}
        lab._results[job] = Outcome([], [], {"val_acc": [0.3, value]}, kernels)
    return lab


def size(name, o):
    """Numbers of parameters on 8x8 images, from the definition."""
    if name == "tiny_mlp":
        return 65 * o["hidden"] + o["classes"] * (o["hidden"] + 1)
    k, f = o.get("kernel", 3), o["filters"]
    side = (8 - k) // o.get("stride", 1) + 1
    side //= o.get("pool", 2)
    return f * (k * k + 1) + o["classes"] * (f * side * side + 1)


def test_a_repetition_has_keys_of_its_own():
    lab = Lab("reference", 2, executor=Here(), epochs=2)
    for network, seed, classes in ((cnn(classes=4), 3, 4), (mlp(hidden=2), 5, 3)):
        name, options = network
        model = getattr(models, name)(**dict(options), nn=reference)
        _, params, state = model.init((seed, 1), (1, 8, 8))
        data = patterns(seed=2000, classes=("vertical", "horizontal", "diagonal", "dot")[:classes])
        run = train(params, data, model, state, epochs=2, seed=(seed + 8, 1))
        found = lab.repetitions(network)[1]
        assert found.history == run.history
        assert lab.accuracies(network)[1] == run.history["val_acc"][-1]
        assert lab.curves(network)[1].tolist() == run.history["val_acc"]
        assert lab.parameters(network) == size(name, dict(options))
        assert same_bits(found.params, run.params)
        if name == "tiny_cnn":
            np.testing.assert_array_equal(found.snapshots[0], params[0]["w"])
    with pytest.raises(ValueError, match="seeds must be an int, 2 or more; got 1"):
        Lab(trials=1)


def test_the_first_image_is_the_first_of_its_class():
    lab = Lab("reference", 2, executor=Here(), epochs=2)
    found = SECTIONS["25.4"](lab).numbers["probability"]
    for trial, run in enumerate(lab.repetitions(cnn())):
        data = patterns(seed=1000 * (trial + 1))
        image = data.x_val[data.y_val == 0][:1]
        assert found[trial] == predict(lab.model(cnn()), run.params, run.state, image)[0, 0]


def test_kernels_are_those_of_the_last_epoch():
    run = Lab("reference", 2).run(cnn(), 0)
    assert len(run.history["epoch"]) == 81
    np.testing.assert_array_equal(run.snapshots[max(run.snapshots)], run.params[0]["w"])


def test_repetitions_beside_both_paths_are_fast():
    lab = Lab("both")
    assert lab.job(cnn()).arguments == (cnn(), None, "both", 80)
    assert lab.job(cnn(), 3).arguments == (cnn(), 3, "fast", 80)
    compared = train_network(mlp(hidden=1), None, "both", epochs=2)
    assert compared.gradients == 20 and compared.largest < 1e-12


@functools.cache
def solved(number):
    return exercises.exercise(number, 3, **SHORT)


@pytest.mark.parametrize(
    "number, networks", [("25.1", 16), ("2", 3), ("3", 2), (4, 2), ("25.5", 20)]
)
def test_exercises(number, networks):
    found = solved(number)
    assert found.number == f"25.{str(number)[-1]}"
    assert len(found.rows) == len(found.numbers) == networks
    for row, (name, numbers) in zip(found.rows, found.numbers.items(), strict=True):
        values = numbers["accuracies"]
        assert row[:4] == (name, numbers["parameters"], 3, f"{np.mean(values):.4f}")
        if np.ptp(values):
            low, high = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
            assert row[4] == f"{max(low, 0):.4f} to {min(high, 1):.4f}"
        if numbers["difference"]:
            base = found.numbers[_baseline(found, name)]["accuracies"]
            assert numbers["difference"].mean == pytest.approx(np.mean(values) - np.mean(base))
            if np.ptp(values - base):
                test = scipy.stats.ttest_rel(values, base)
                assert numbers["difference"].low == pytest.approx(test.confidence_interval().low)
    assert len(re.split(r"\. (?=[A-Z])", found.answer)) == 2 and found.answer.endswith("."), (
        found.answer
    )
    for figure in found.figures:
        assert figure.draw().axes


def _baseline(found, name):
    if found.number == "25.1":
        return f"{name[0]} classes, 3 filters"
    if found.number == "25.5":
        return "CNN, 3 filters" if name.startswith("CNN") else "MLP, width 18"
    return found.baseline


def test_exercises_build_what_they_say():
    sizes = {
        name: n["parameters"] for number in "2345" for name, n in solved(number).numbers.items()
    }
    assert sizes["kernels 2x2"] == 3 * 5 + 3 * (27 + 1)
    assert sizes["kernels 5x5"] == 3 * 26 + 3 * (12 + 1)
    assert sizes["stride 2 (no pooling)"] == sizes["max-pool 2"] == sizes["dropout 0.3"] == 114
    assert [sizes[f"MLP, width {h}"] for h in published.WIDTHS] == [
        w.parameters for w in published.WIDTHS.values()
    ]
    strided, dropped = (solved(n).numbers for n in "34")
    assert not np.array_equal(
        strided["max-pool 2"]["accuracies"], strided["stride 2 (no pooling)"]["accuracies"]
    )
    assert not np.array_equal(
        dropped["no dropout"]["accuracies"], dropped["dropout 0.3"]["accuracies"]
    )


def test_exercises_are_functions():
    assert experiments.strided(3, **SHORT).answer == solved("3").answer
    with pytest.raises(ValueError, match="no exercise '6'; the exercises are 1, 2, 3, 4, 5"):
        experiments.exercise("6")


def test_the_chapter_is_repeated():
    lab = Lab("reference", 2, **SHORT)
    found = chapter(lab)
    assert [s.number for s in found] == ["25.1", "25.2", "25.3", "25.4", "25.5", "noise"]
    assert all(isinstance(row.here, Interval) and row.here.n == 2 for s in found for row in s.rows)
    plain = json.loads(json.dumps(report.results(found, lab)))
    assert plain["seeds"] == 2 and plain["engine"] == "reference" and plain["gradients"] is None
    assert plain["comparison"][0]["here"].keys() == {"mean", "low", "high", "n"}
    widths = [row for row in found[1].rows if row.quantity.startswith("MLP, width")]
    assert [row.published for row in widths] == [w.val_acc for w in published.WIDTHS.values()]
    for section in found:
        for figure in section.figures:
            assert figure.draw().axes
    with pytest.raises(ValueError, match=r"section '25\.6' cannot be repeated"):
        chapter(lab, ["25.6"])


def section(number, accuracy, **options):
    return SECTIONS[number](made_up(number, accuracy, **options))


def test_equal_parameters_are_judged_in_pairs():
    wobble = [0.0, 0.2, 0.1, 0.3, 0.05, 0.15]  # the same for both, as the images are
    better = section(
        "25.1", lambda name, o, t: 0.6 + wobble[t] + (0.02 + 0.001 * t if name == "tiny_cnn" else 0)
    )
    assert "clearly better in 4 of 4 pairs" in better.found
    gap = better.numbers["paired_differences"]["CNN of 114 - MLP of 139 parameters"]
    assert gap.mean == pytest.approx(0.0225) and 0.02 < gap.low < gap.high < 0.025
    equal = section(
        "25.1", lambda name, o, t: 0.6 + (wobble[t] if name == "tiny_cnn" else wobble[-t])
    )
    assert "in 0 of 4 pairs; elsewhere the MLP is not shown" in equal.found
    assert {row.quantity for row in better.rows} >= {"CNN of 77 - MLP of 71 parameters, paired"}


def test_sensitivity_is_best_less_worst():
    def accuracy(name, o, trial):
        if name == "tiny_mlp":
            return 0.4 + 0.01 * trial if o["hidden"] == 1 else 1.0
        return 0.9 if o["filters"] == 1 else 1.0

    found = section("25.2", accuracy)
    measured = found.numbers["best_less_worst"]["all sizes"]
    assert measured["CNN"].mean == pytest.approx(0.1) and measured["MLP"].mean == pytest.approx(
        0.575
    )
    assert measured["MLP - CNN"].mean == pytest.approx(0.475)
    assert "The MLP is the more sensitive" in found.wrong
    assert "from 2 filters and from 2 hidden units on" in found.found
    other = section(
        "25.2",
        lambda name, o, t: 0.5 + 0.01 * t if name == "tiny_cnn" and o["filters"] == 1 else 1.0,
    )
    assert "The CNN is the more sensitive" in other.wrong
    assert "Neither" in section("25.2", lambda name, o, t: 1.0).wrong


def test_filters_stop_sufficing_where_more_are_better():
    def accuracy(name, o, trial):
        short = name == "tiny_cnn" and o["classes"] >= 4 and o["filters"] <= 3
        return 0.9 + 0.01 * trial if short else 1.0

    found = section("25.3", accuracy)
    assert found.found.startswith("With 4 classes 8 filters are better than 3")
    assert "0 with 2, 0 with 3, 6 with 4, 6 with 5" in found.found
    assert "Up to 5 classes 3 filters suffice" in section("25.3", lambda name, o, t: 1.0).found


def test_edges_are_counted():
    found = section("25.5", lambda name, o, t: 1.0, edges=True)
    here = {row.quantity: row.here for row in found.rows}
    assert here["share of kernels that are edges (chance: 0.125)"].mean == 1
    assert here["runs with a vertical and a horizontal edge"].mean == 1
    assert "Training does make edges" in found.wrong
    noise = section("25.5", lambda name, o, t: 1.0, trials=400)
    here = {row.quantity: row.here for row in noise.rows}
    assert here["share of kernels that are edges (chance: 0.125)"].mean == pytest.approx(
        0.125, abs=0.03
    )
    assert here["variation explained by an edge (chance: 0.250)"].mean == pytest.approx(
        0.25, abs=0.02
    )
    assert "not seen to make more edges" in noise.wrong


def test_shares_stay_shares():
    assert share_interval([0.0, 1.0]) == (0.5, 0.0, 1.0, 2)


def test_the_commands(command, tmp_path):
    code, stdout, _ = command(
        "exercise", "25.3", "--seeds", 2, "--workers", 1, "--out", tmp_path, columns=140
    )
    assert code == 0
    assert re.search(r"^stride 2 .no pooling. +114 +2 +[01]\.\d{4}", stdout, re.MULTILINE)
    assert (tmp_path / "exercise-25-3.png").read_bytes().startswith(b"\x89PNG")
    code, stdout, _ = command(
        "chapter",
        "--seeds",
        2,
        "--sections",
        "25.4",
        "--workers",
        1,
        "--json",
        "--out",
        tmp_path / "c",
    )
    assert code == 0
    (row,) = json.loads(stdout)["comparison"]
    assert (
        row["here"]["n"] == 2
        and 0 <= row["here"]["low"] <= row["here"]["mean"] <= row["here"]["high"] <= 1
    )
    page = (tmp_path / "c" / "report.html").read_text()
    assert "n = 2" in page and "n independent repetitions" in page


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("exercise", "25.6"), "no exercise '25.6'; the exercises are 1, 2, 3"),
        (("exercise", "1", "--seeds", "1"), "seeds must be an int, 2 or more; got 1"),
        (("exercise", "1", "--engine", "jax"), "no engine 'jax'"),
        (("exercise", "1", "--workers", "0"), "workers must be an int, 1 or more"),
        (("chapter", "--seeds", "0"), "seeds must be an int, 2 or more; got 0"),
        (("chapter", "--seeds", "2", "--engine", "both"), "one engine"),
        (("chapter", "--seeds", "2", "--sections", "25.6"), "section '25.6' cannot be repeated"),
    ],
)
def test_bad_calls_are_one_line(command, tmp_path, arguments, words):
    code, stdout, stderr = command(*arguments, "--out", tmp_path)
    assert (code, stdout) == (2, "")
    assert words in stderr.splitlines()[-1]


def test_without_a_number_the_exercises_are_listed(command):
    code, stdout, _ = command("exercise")
    assert code == 0
    for number, question in QUESTIONS.items():
        assert re.search(rf"^ +25\.{number} .*autocnn exercise {number}$", stdout, re.MULTILINE)
        assert question.split()[0] in stdout
    assert "not its section 25.3" in stdout
    code, stdout, _ = command("exercise", "--json")
    assert json.loads(stdout) == {f"25.{n}": question for n, question in QUESTIONS.items()}


def test_every_question_has_a_solution():
    assert list(QUESTIONS) == list(exercises.EXERCISES)
