"""24 mistakes and more that show at some settings only: each is found in under 30 s, with the place
where it begins; right layers pass; `check` hints at settings that hide mistakes.
"""

import importlib.util
import pathlib

import numpy as np
import pytest

from autocnn import gradcheck

SPEC = importlib.util.spec_from_file_location(
    "stress_layers", pathlib.Path(__file__).with_name("layers.py")
)
layers = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(layers)


def test_there_are_enough():
    assert len(layers.BUGS) >= 24


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if k % 6 else []) for k, n in enumerate(layers.BUGS)],
)
def test_each_is_found_with_where_it_begins(name):
    f, given, words = layers.BUGS[name]
    report = gradcheck.stress(f, **given)
    assert not report.ok and report.seconds < 30
    assert words in report.begins, report.begins
    assert not report.report.ok  # the smallest case fails in `check` as well


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if k % 4 else [])
        for k, n in enumerate(layers.RIGHT)
    ],
)
def test_right_layers_pass(name):
    f, given = layers.RIGHT[name]
    report = gradcheck.stress(f, **given, seconds=3, examples=60)
    assert report.ok and report.cases > 3, str(report)
    assert str(report).startswith("OK")


def test_the_report_says_settings_and_shapes():
    f, given, _ = layers.BUGS["pool assigns"]
    report = gradcheck.stress(f, **given, seconds=10)
    text = str(report)
    assert "smallest failing case: k=2, stride=1" in text
    assert "right at stride >= k" in text
    with pytest.raises(AssertionError, match="smallest failing case"):
        report.raise_if_wrong()


def test_arguments_by_make():
    def lookup(table, index):
        def backward(dy):
            d = np.zeros_like(table)
            d[index] = dy
            return {"table": d}

        return table[index], backward

    def make(rng, n, rows):
        return {"table": rng.standard_normal((rows, 3)), "index": rng.integers(0, rows, n)}

    report = gradcheck.stress(lookup, make=make, n=range(1, 6), rows=[1, 3, 9])
    assert not report.ok and report.case == {"n": 2, "rows": 1}


def test_settings_reach_functions_of_any_keyword():
    seen = set()

    def f(**given):
        seen.add(given["power"])
        x, p = given["x"], given["power"]
        return x**p, lambda dy: {"x": dy * 2 * x ** (p - 1)}

    report = gradcheck.stress(f, x=("N", "D"), power=[2, 3], N=[1, 2], D=[2, 3])
    assert seen == {2, 3} and not report.ok and report.case["power"] == 3


def test_the_name_comes_from_a_case_that_can_tell():
    """Of one row and one column, a norm's output does not depend on its argument."""

    def centred(x):
        def backward(dy):
            rows = dy.reshape(len(dy), -1)
            return {"x": (rows - rows.mean(-1, keepdims=True)).reshape(x.shape)}

        return x - x.mean(-1, keepdims=True), backward

    report = gradcheck.stress(centred, x=("N", "T?", "D"))
    assert report.case["D"] == 1 and report.named is not None
    assert report.report.errors[0].code != "unused" and "checked at" in str(report)


def test_nothing_to_vary():
    with pytest.raises(ValueError, match="nothing to vary"):
        gradcheck.stress(lambda x: x, x=np.ones(3))


def pool(x, k=2, stride=2):
    return layers.max_pool()(x, k, stride)


def test_check_hints_at_settings_that_hide_mistakes():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 8))
    notes = gradcheck.check(pool, x=x).notes
    assert any("do not overlap (stride >= k)" in n and "gradcheck.stress" in n for n in notes)
    assert not any("stress" in n for n in gradcheck.check(pool, x=x, stride=1).notes)
    notes = gradcheck.check(pool, x=x[:1], stride=1).notes
    assert any("a first axis of length 1 in x" in n for n in notes)


def layer_norm(sums):
    def f(x, gamma):
        mean = x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-5)
        h = (x - mean) * scale

        def backward(dy):
            axes = 0 if sums == "rows" else tuple(range(x.ndim - 1))
            g = dy * gamma
            along = 1 if sums == "axis 1" else -1
            dots = [(v).mean(along, keepdims=True) for v in (g, g * h)]
            return {"x": scale * (g - dots[0] - h * dots[1]), "gamma": (dy * h).sum(axes)}

        return gamma * h, backward

    return f


def test_check_hints_at_a_rank_that_hides_a_mistake():
    draw = np.random.default_rng(0)
    given = {"x": draw.standard_normal((4, 6)), "gamma": draw.standard_normal(6)}
    for sums, what in (
        ("rows", "gamma has shape (4, 6)"),
        ("axis 1", "the gradient of x is wrong"),
    ):
        report = gradcheck.check(layer_norm(sums), **given)
        assert report.ok and any(what in n and "gradcheck.stress" in n for n in report.notes)
        found = gradcheck.stress(layer_norm(sums), x=("N", "T?", "D"), gamma=("D",), seconds=10)
        assert not found.ok
    assert not gradcheck.check(layer_norm("all"), **given).notes


def dense(x, w, b):
    return x @ w + b, lambda dy: {"x": dy @ w.T, "w": x.T @ dy, "b": dy.sum(0)}


def batch_norm(x):
    h = (x - x.mean(0)) / x.std(0)
    return h, lambda dy: {"x": (dy - dy.mean(0) - h * (dy * h).mean(0)) / x.std(0)}


def test_nothing_is_hidden_by_a_rank_that_is_refused_or_means_something_else():
    draw = np.random.default_rng(0)
    x, w, b = draw.standard_normal((4, 6)), draw.standard_normal((6, 3)), draw.standard_normal(3)
    assert not gradcheck.check(dense, x=x, w=w, b=b).notes  # its product refuses another rank
    assert not gradcheck.check(batch_norm, x=x).notes
