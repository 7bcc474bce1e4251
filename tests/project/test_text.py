"""Text for terminals of any width: tables that wrap, tables that turn, prose."""

import json
import math
import pathlib
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocnn.experiments import Exercise, Section
from autocnn.sweeps.statistics import Interval
from autocnn.text import (
    did_you_mean,
    paragraphs,
    percent,
    plain,
    points,
    printed_sign,
    shape_text,
    strict_json,
    table,
)

HEADERS = ("network", "parameters", "95 % interval")
ROWS = [
    ("tiny-cnn", 114, "0.9821 to 1.0000"),
    ("a network of many words", 1_227, ""),
    ("lenet5", None, "0.5 to 0.6"),
]


def test_wide():
    assert table(HEADERS, ROWS, 80).splitlines() == [
        "network                  parameters  95 % interval",
        "───────────────────────  ──────────  ────────────────",
        "tiny-cnn                        114  0.9821 to 1.0000",
        "a network of many words       1,227",
        "lenet5                               0.5 to 0.6",
    ]


def test_narrow_tables_wrap_headers_and_words():
    assert table(HEADERS, ROWS[:2], 38).splitlines() == [
        "network       parameters  95 %",
        "                          interval",
        "────────────  ──────────  ────────────",
        "tiny-cnn             114  0.9821 to",
        "                          1.0000",
        "a network of       1,227",
        "many words",
    ]
    assert table(("a long header", "b"), [(1, 2)], 10).splitlines() == [
        " a long  b",
        " header",
        "───────  ─",
        "      1  2",
    ]


def test_what_does_not_fit_is_turned():
    assert table(HEADERS, ROWS[:2], 29).splitlines() == [
        "network        tiny-cnn",
        "parameters     114",
        "95 % interval  0.9821 to 1.0000",
        "",
        "network        a network of",
        "               many words",
        "parameters     1,227",
        "95 % interval",
    ]


def test_sizes_in_letters_are_numbers():
    assert table(("n",), [("1.05K",), ("3",)], 80).splitlines()[2:] == ["1.05K", "    3"]


def test_no_rows():
    assert table(("a", "b"), [], 80).splitlines()[0] == "a  b"


CELLS = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text("ab 1.\n", max_size=40)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.tuples(*[CELLS] * n), min_size=1, max_size=4)),
    st.integers(1, 120),
)
def test_nothing_is_lost_and_nothing_sticks_out(rows, width):
    headers = [f"head {i}" for i in range(len(rows[0]))]
    text = table(headers, rows, width)
    assert max(map(len, text.splitlines())) <= max(width, 24)
    for row in rows:
        for cell in row:
            if isinstance(cell, int) and not isinstance(cell, bool):
                assert f"{cell:,}" in text


@pytest.mark.parametrize("width", [10, 40, 200])
def test_paragraphs(width):
    text = "one line of words that goes on and on\n\n" + "x" * 50
    lines = paragraphs(text, width).splitlines()
    assert lines[-2:] == ["", "x" * 50] and max(map(len, lines[:-2])) <= max(width, 20)
    assert " ".join(lines[:-2]) == text.splitlines()[0]


def test_results_show_themselves(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    section = Section(
        "25.1",
        "A title",
        "What was done.",
        "What was found, in more words than fit.",
        "",
        [],
        {},
        [],
    )
    assert repr(section) == "25.1 A title\nWhat was done.\nWhat was found, in more words than fit."
    rows = [("kernels 3x3", 114, 8, "1.0000", "", 9, "", "")]
    solved = Exercise("25.2", "Which?", "Answer.", "kernels 3x3", rows, {}, [])
    lines = repr(solved).splitlines()
    assert (
        lines[0] == "Exercise 25.2  Which?"
        and lines[2] == "network         kernels 3x3"
        and lines[-1] == "Answer."
    )
    assert max(map(len, lines)) <= 40


class Pair(NamedTuple):
    shape: tuple
    value: float


def test_plain_is_what_json_knows():
    value = {
        1: Pair((np.int64(3), 4), np.float32(0.5)),
        "array": np.arange(4, dtype=np.int8).reshape(2, 2),
        "scalar": np.array(2.5),
        "path": pathlib.PurePosixPath("a/b"),
        "flags": (True, np.bool_(False), None),
        "other": 1 + 2j,
    }
    expected = {
        "1": {"shape": [3, 4], "value": 0.5},
        "array": [[0, 1], [2, 3]],
        "scalar": 2.5,
        "path": "a/b",
        "flags": [True, False, None],
        "other": "(1+2j)",
    }
    assert plain(value) == expected == json.loads(strict_json(value))
    assert type(plain(np.float32(0.5))) is float and type(plain(np.int64(3))) is int


def test_strict_json_has_no_nan():
    value = {"a": [np.nan, np.float32(np.inf), -np.inf, 1.5], "b": np.array([np.nan, 1.0])}
    assert strict_json(value) == '{"a": [null, null, null, 1.5], "b": [null, 1.0]}'
    assert math.isnan(plain(value)["a"][0])


def test_shapes_intervals_and_hints():
    assert (shape_text((3, 4)), shape_text([1, 28, 28], "x"), shape_text(())) == (
        "3 x 4",
        "1x28x28",
        "",
    )
    assert percent((0.982, 0.97, 1.02)) == "98.2 % (97.0 to 100.0)"
    assert percent(Interval(0.02, -0.01, 0.05, 8)) == "2.0 % (0.0 to 5.0)"
    assert points(Interval(0.012, -0.003, 0.021, 8)) == "1.2 points (-0.3 to 2.1)"
    assert did_you_mean("Minst", ["mnist", "digits"]) == "; did you mean 'mnist'?"
    assert did_you_mean("relu", ["ReLU"]) == "; did you mean 'ReLU'?"
    assert did_you_mean("xyz", ["mnist", "digits"]) == did_you_mean(None, []) == "."


@pytest.mark.parametrize(
    "interval, sign",
    [
        ((0.046, 0.0004, 0.091), 0),
        ((0.046, 0.0006, 0.091), 1),
        ((0.03, -0.01, 0.07), 0),
        ((-0.046, -0.091, -0.0004), 0),
        ((-0.046, -0.091, -0.0006), -1),
        ((0.0, 0.0, 0.0), 0),
    ],
)
def test_the_sign_of_an_interval_is_that_of_what_is_printed(interval, sign):
    assert printed_sign(interval) == printed_sign([100 * end for end in interval], scale=1) == sign
    assert (" (0.0 to" in points(interval) or "-" in points(interval)) == (sign != 1)
