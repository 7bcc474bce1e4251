"""The chapter's command: what it prints, what it writes, and how it refuses."""

import copy
import html.parser
import json
import re
from concurrent.futures import Executor, Future
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

import autocnn as ac
import reference
from autocnn import models
from autocnn.experiments import SECTIONS, Lab, Section, chapter, published, report
from autocnn.experiments.edges import chance, edge_share
from autocnn.experiments.lab import Compared, cnn, images, mlp
from autocnn.experiments.result import Table
from autocnn.experiments.sections import networks, noise
from autocnn.sweeps.statistics import Interval, mean_interval


class Page(html.parser.HTMLParser):
    """Collects the tags' attributes and checks that every element is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes = [], []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_one_section_by_both_paths(command, tmp_path, golden):
    out = tmp_path / "deep" / "folder"
    code, stdout, stderr = command("chapter", "--sections", "25.4", "--out", str(out))
    assert code == 0
    assert "probability of vertical" in stdout
    assert max(len(line) for line in stdout.splitlines()[:8]) <= 100
    assert "chapter: 1 of 1 runs" in stderr
    found = json.loads((out / "results.json").read_text())
    assert found["gradients"]["compared"] == 800
    assert found["gradients"]["largest_relative_difference"] < 1e-11
    probs = found["sections"]["25.4"]["intermediates"]["probs"]
    assert np.allclose(probs, golden["3class"]["trace"]["probs"], rtol=1e-9)
    page = Page()
    page.feed((out / "report.html").read_text())
    assert page.open == []
    links = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert links
    assert all(re.match(r"data:image/png;base64,|#s25", link) for link in links)
    assert ("meta", "content", "width=device-width, initial-scale=1") in page.attributes
    assert (out / "25-4-trace.png").read_bytes().startswith(b"\x89PNG")


def test_json_goes_to_stdout_alone(command, tmp_path):
    code, stdout, _ = command(
        "chapter", "--sections", "25.4", "--engine", "reference", "--json", "--out", str(tmp_path)
    )
    assert code == 0
    found = json.loads(stdout)
    assert found["engine"] == "reference"
    assert found["gradients"] is None
    assert [row["section"] for row in found["comparison"]] == ["25.4"] * 6


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--engine", "jax"], "no engine 'jax'; use --engine fast, autograd, reference or both"),
        (["--sections", "25.9"], "no section '25.9'; the sections are 25.1, 25.2"),
        (
            ["--out", "/dev/null/x"],
            "cannot write into /dev/null/x: Not a directory; give another folder",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(command, tmp_path, arguments, says):
    code, stdout, stderr = command(
        "chapter", *(["--out", str(tmp_path)] if "--out" not in arguments else []), *arguments
    )
    assert code == 2
    assert stdout == ""
    assert says in stderr
    assert "Traceback" not in stderr
    assert len(stderr.strip().splitlines()[-1]) == len(
        f"autocnn: {stderr.strip().splitlines()[-1].removeprefix('autocnn: ')}"
    )


def test_unknown_options_and_help(command):
    assert command("chapter", "--engin", "both")[0] == 2
    code, stdout, _ = command("chapter", "--help")
    assert code == 0
    assert "--sections" in stdout


# Not 25.6, which builds networks of full size.
SMALL = ("25.1", "25.2", "25.3", "25.4", "25.5")
# Sections, and how many numbers and files they give.
CHOICES = {"two sections": (("25.3", "25.4"), 9, 4), "all sections": (SMALL, 28, 10)}


@pytest.fixture(
    scope="module",
    params=["two sections", pytest.param("all sections", marks=pytest.mark.slow)],
)
def sections(request):
    """Run some sections: (lab, sections, number of rows, number of files)."""
    lab, (numbers, rows, files) = Lab("reference", workers=1), CHOICES[request.param]
    found = chapter(lab, numbers)
    assert tuple(section.number for section in found) == numbers
    return lab, found, rows, files


def test_every_number_agrees_with_the_chapter(sections):
    _, found, count, _ = sections
    rows = [row for s in found for row in s.rows]
    wrong = [
        row
        for row in rows
        if row.agreement not in ("exact", *(f"{n} digits" for n in range(11, 17)))
    ]
    assert [(row.quantity, row.published, row.here) for row in wrong] == [
        ("parameters of the new class", 10, 28)
    ]
    assert len(rows) == count


def test_every_figure_is_drawn(sections, tmp_path):
    lab, found, _, count = sections
    paths = report.write(tmp_path, found, lab)
    names = {path.name for path in paths}
    assert {f"{f.name}.png" for s in found for f in s.figures} | {
        "results.json",
        "report.html",
    } == names
    assert all(path.stat().st_size > 5000 for path in paths)
    assert len(names) == count


def test_published_numbers_are_the_golden_ones(golden):
    facts = golden["3class"]
    for sweep, ours in (
        ("mlp_width_sweep", published.WIDTHS),
        ("cnn_filter_sweep", published.FILTERS),
    ):
        assert {str(k): final._asdict() for k, final in ours.items()} == facts[sweep]
    for name, final in published.FOUR_CLASSES.items():
        history = golden["4class"][name]["history"]
        assert final._asdict() == {"parameters": golden["4class"][name]["parameters"]} | {
            k: v[-1] for k, v in history.items()
        }
    assert facts["kernels_final"] == published.KERNELS
    assert {k: facts["trace"][k] for k in published.TRACE} == published.TRACE


def test_one_step_of_each_thinned_network_agrees():
    steps = [networks._step(entry, ("autograd", "reference")) for entry in networks.TABLE.values()]
    losses, leaves, gradients, largest = zip(*steps, strict=True)
    assert leaves == (12, 16, 32, 161)
    assert all(0 < loss < 100 for loss in losses)
    assert sum(gradients) == 4
    assert 0 < max(largest) < 1e-10


def test_gradients_that_differ_are_seen(tiny):
    model, params, state, (x, labels) = tiny
    same, other = (
        Compared(model, models.tiny_cnn(nn=reference)),
        Compared(model, models.tiny_cnn(nn=reference)),
    )
    wrong = params[4]["w"] * (1 + 1e-6)
    loss_and_grad = same.other.loss_and_grad
    other.other = SimpleNamespace(
        loss_and_grad=lambda p, s, *rest: loss_and_grad([*p[:4], {**p[4], "w": wrong}], s, *rest)
    )
    for compared in (same, other):
        assert (
            compared.loss_and_grad(params, state, (x, labels))[0]
            == model.loss_and_grad(params, state, (x, labels))[0]
        )
        assert compared.gradients == 1
    assert same.largest < 1e-13
    assert 1e-8 < other.largest < 1e-4


def test_compared_is_its_model_in_all_else(tiny):
    x, labels = tiny[3]
    dropping = models.tiny_cnn(dropout=0.5)
    compared = Compared(dropping, models.tiny_cnn(dropout=0.5, nn=reference))
    _, params, state = compared.init(3, (1, 8, 8))
    assert compared.name == "serial" and len(compared.parts) == 6
    assert np.array_equal(compared.apply(params, state, x)[0], dropping.apply(params, state, x)[0])
    for train in (False, True):
        expected = dropping.loss_and_grad(params, state, (x, labels), 5, train=train)[0]
        assert compared.loss_and_grad(params, state, (x, labels), 5, train=train)[0] == expected
    assert compared.gradients == 2 and 0 < compared.largest < 1e-12


def test_a_job_is_computed_once_and_says_what_is_left():
    said = []
    lab = Lab("reference", workers=1, epochs=1, on_result=lambda *told: said.append(told))
    first, second = lab.job(cnn()), lab.job(mlp(), 4)
    assert list(lab.compute([first, second, first])) == [first, second]
    assert said == [("tiny_cnn(classes=3, filters=3)", 1), (f"{mlp()} repetition 5", 0)]
    assert lab.has([first, second]) and not lab.has([lab.job(cnn(), 4)])
    assert lab.run(cnn()) is lab.run(cnn()) and len(said) == 2
    assert (lab.gradients, lab.largest) == (0, 0.0)


def test_a_job_that_fails_says_which():
    lab = Lab("reference", workers=2, executor=Broken(), epochs=1)
    with pytest.raises(
        ValueError, match=r"tiny_cnn\(classes=3, filters=3\) failed: ValueError: no"
    ):
        lab.run(cnn())
    with pytest.raises(ValueError, match="there is no engine 'jax'"):
        Lab("jax")


class Broken(Executor):
    """An executor whose every job fails."""

    def submit(self, f, *args, **kwargs):
        future = Future()
        future.set_exception(ValueError("no"))
        return future


def test_repetitions_share_nothing():
    runs = Lab("reference", workers=1, epochs=2).repetitions(mlp(hidden=1), 3)
    assert len({run.params[1]["w"].tobytes() for run in runs}) == 3
    assert len({images(trial).x_train.tobytes() for trial in (None, 0, 1, 2)}) == 4


def test_edge_share_knows_edges():
    plane = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]])
    assert edge_share(plane) == (1.0, 0.0)
    assert edge_share(3 * plane.T + 7)[0] == pytest.approx(1)
    assert edge_share(plane.T)[1] == pytest.approx(90)
    assert edge_share([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[0] == 0
    assert edge_share(np.ones((3, 3))) == (0.0, 0.0)
    random = [edge_share(k)[0] for k in np.random.default_rng(0).normal(size=(4000, 3, 3))]
    assert np.mean(np.array(random) > 0.5) == pytest.approx(chance(0.5), abs=0.02)


def test_intervals_are_students():
    interval = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert interval.mean == 2.5
    assert interval.high - 2.5 == pytest.approx(3.182446 * np.sqrt(5 / 3) / 2, rel=1e-6)
    assert interval.low + interval.high == pytest.approx(5)
    with pytest.raises(ValueError, match="at least two values, got 1"):
        mean_interval([1.0])


@pytest.mark.slow
def test_the_filter_that_learns_least_is_named():
    """From the weights before and after, and from the network without each filter."""
    lab = Lab("reference", workers=1)
    kernels = SECTIONS["25.5"](lab)
    run, data = lab.run(cnn()), images(None)
    change = abs(run.params[0]["w"] - run.snapshots[0]).max(axis=(1, 2, 3))
    assert kernels.numbers["largest_change"] == change.tolist()
    assert change.argmin() == 0
    assert kernels.found.startswith("Filter 1 hardly learns")
    for i, accuracy in enumerate(kernels.numbers["accuracy_without"]):
        params = copy.deepcopy(run.params)
        params[4]["w"][9 * i : 9 * i + 9] = 0  # 3 x 3 pooled places a filter
        right = ac.predict(lab.model(cnn()), params, run.state, data.x_val).argmax(axis=1)
        assert accuracy == (right == data.y_val).mean()
        assert kernels.table.rows[i][-1] == f"{accuracy:.3f}"


def made_section(**fields):
    """A section as a report gets it, of given fields."""
    plain = dict(number="25.4", title="T", done="D.", found="F.", wrong="", rows=[], numbers={})
    return Section(**plain | {"figures": [], "table": None} | fields)


def written(tmp_path, *sections):
    text = report.write(tmp_path, list(sections), Lab("reference"))[-1].read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    return text


def test_a_section_in_which_nothing_is_wrong_has_no_box(tmp_path):
    assert 'class="note"' not in written(tmp_path, made_section())
    assert 'class="note"' in written(tmp_path, made_section(wrong="The text is wrong."))


def test_what_is_not_in_the_chapter_is_marked(tmp_path):
    inside, beyond = made_section(), made_section(number="noise", title="Harder (not in it)")
    text = written(tmp_path, inside, beyond)
    assert '<section id="s25.4"><h2>25.4 T</h2>' in text
    assert '<section id="snoise" class="beyond"><h2>Harder (not in it)</h2>' in text


def test_tables_are_shown_as_text(tmp_path):
    table = Table(("name", "count"), [("a < b", 1234), (None, 2.5)], "A note.")
    text = written(tmp_path, made_section(table=table))
    assert "<tr><td>a &lt; b</td><td>1,234</td></tr><tr><td></td><td>2.5</td></tr>" in text
    assert "A note." in text
    assert "a < b  1,234" in " ".join(repr(made_section(table=table)).split("\n")).replace(
        "   ", "  "
    )


def test_noise_is_more_of_the_same(monkeypatch):
    lab = Lab("reference", 2, workers=1, epochs=2)
    found = SECTIONS["noise"](lab)
    data, more = images(1), noise.noisy(1, 0.6)
    assert np.array_equal(more.y_val, data.y_val)
    inside = (more.x_train > 0) & (more.x_train < 1)
    added = (more.x_train - data.x_train)[inside & (data.x_train == 0)]
    # Of N(0, 0.6^2) only (0, 1) is left: the mean of that part.
    assert added.mean() == pytest.approx(scipy.stats.truncnorm(0, 1 / 0.6).mean() * 0.6, abs=0.02)
    assert [row[1] for row in found.table.rows] == [114, 139, 1227]
    assert all(len(values) == 2 for values in found.numbers["accuracies"].values())
    assert "not the chapter's" in found.done and found.rows == [] and found.wrong == ""
    again = noise.train_noisy(mlp(hidden=2), 1, "reference", 2)
    assert again.history["val_acc"][-1] == found.numbers["accuracies"]["TinyMLP, 2 hidden"][1]


@pytest.mark.parametrize(
    "low, words",
    [(0.0004, "neither clearly better nor worse: 4.6 points (0.0 to"), (0.002, "clearly better: ")],
)
def test_an_interval_that_reaches_zero_is_not_called_clear(low, words, monkeypatch):
    gap = Interval(0.046, low, 0.091, 8)
    monkeypatch.setattr(noise, "mean_interval", lambda values: gap)
    assert f" is {words}" in SECTIONS["noise"](Lab("reference", 2, workers=1, epochs=1)).found
