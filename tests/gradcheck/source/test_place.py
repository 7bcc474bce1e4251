"""The statement that is wrong, and the edit that puts it right."""

import dataclasses
import itertools
import pathlib
import time

import numpy as np
import pytest

from autocnn.gradcheck.source import program
from autocnn.gradcheck.source.place import find_place


def line_of(function, text):
    """The line of the author's file on which a text stands, from a function on."""
    lines = pathlib.Path(function.__code__.co_filename).read_text().splitlines()
    start = function.__code__.co_firstlineno - 1
    return 1 + next(k for k in range(start, len(lines)) if text in lines[k])


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention(q, k, v):
    p = softmax(q @ k.T / np.sqrt(q.shape[1]))
    y = p @ v

    def backward(dy):
        dv = p.T @ dy
        dp = dy @ v.T
        ds = p * (dp - dp * p.sum(axis=-1, keepdims=True))
        ds = ds / np.sqrt(q.shape[1])
        return {"q": ds @ k, "k": ds.T @ q, "v": dv}

    return y, backward


def dense(x, w, b):
    h = np.tanh(x @ w + b)

    def backward(dy):
        da = dy * (1 - h)
        dx = da @ w.T
        dw = x.T @ da
        db = da.sum(axis=0)
        return dx, dw, db

    return h, backward


def running_sum(x):
    y = np.zeros_like(x)
    for t in range(len(x)):
        y[t] = x[t] + (0.5 * y[t - 1] if t else 0)

    def backward(dy):
        dx = np.zeros_like(x)
        carry = np.zeros_like(x[0])
        for t in reversed(range(len(x))):
            carry = dy[t]
            dx[t] = carry
            carry = 0.5 * carry
        return dx

    return y, backward


def helper_of_skip(dh):
    return -dh


def skip(x, w):
    h = x @ w
    y = h * h + x

    def backward(dy):
        dh = helper_of_skip(dy * 2 * h)
        dx = dh @ w.T
        dx = dx + dy
        return {"x": dx, "w": x.T @ dh}

    return y, backward


def arrays(**shapes):
    rng = np.random.default_rng(0)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


CASES = [
    (attention, dict(q=(4, 3), k=(5, 3), v=(5, 2)), "ds = p * (dp", "(dp * p).sum("),
    (dense, dict(x=(5, 3), w=(3, 4), b=(4,)), "da = dy", "h ** 2"),
    (running_sum, dict(x=(5, 3)), "carry = dy[t]", "carry += dy[t]"),
    (skip, dict(x=(5, 3), w=(3, 3)), "dh = helper_of_skip", ""),
]


@pytest.mark.parametrize(("layer", "shapes", "wrong", "after"), CASES, ids=lambda v: str(v)[:20])
def test_names_the_statement_and_the_edit(layer, shapes, wrong, after):
    found = find_place(program.closure(layer, **arrays(**shapes)))
    lines = [found.place.line, *(s.line for s in found.place.suspects)]
    assert line_of(layer, wrong) == lines[0] or "return -dh" in found.place.text
    assert found.fix.points == 4
    assert after in found.fix.after
    assert not found.note


def test_trail_says_what_is_right():
    found = find_place(program.closure(attention, **arrays(q=(4, 3), k=(5, 3), v=(5, 2))))
    verdicts = {step.variable: step.verdict for step in found.trail if step.variable}
    assert verdicts["dv"] == verdicts["dp"] == "right"
    assert [s.verdict for s in found.trail].count("wrong") == 1


def test_right_layer_is_not_accused():
    def right(x):
        return np.tanh(x), lambda dy: dy * (1 - np.tanh(x) ** 2)

    found = find_place(program.closure(right, **arrays(x=(3, 2))))
    assert found.place is None and found.fix is None
    assert "agrees" in found.note


def test_source_that_cannot_be_had():
    names = {"np": np}
    exec("def f(x):\n    return x * x, lambda dy: dy * x\n", names)
    found = find_place(program.closure(names["f"], **arrays(x=(3, 2))))
    assert found.place is None
    assert "source" in found.note


def sums_over(x, w):
    def backward(dy):
        dx = np.zeros_like(x)
        for n in range(len(x)):
            dw = np.outer(x[n], dy[n])
            dx[n] = dy[n] @ w.T
        return {"x": dx, "w": dw}

    return x @ w, backward


def made_anew(x, w):
    def backward(dy):
        for n in range(len(x)):
            dw = np.zeros_like(w)
            dw += np.outer(x[n], dy[n])
        return {"x": dy @ w.T, "w": dw}

    return x @ w, backward


def kept_in_a_table(x, w):
    def backward(dy):
        grads = {"x": dy @ w.T}
        for a in range(2):
            for n in range(a, len(x), 2):
                grads["w"] = np.outer(x[n], dy[n])
        return grads

    return x @ w, backward


@pytest.mark.parametrize(
    ("layer", "wrong", "after", "first"),
    [
        (sums_over, "dw = np.outer", "dw += np.outer(x[n], dy[n])", "dw = 0"),
        (made_anew, "dw = np.zeros_like", "", "dw = np.zeros_like(w)"),
        (kept_in_a_table, 'grads["w"] =', 'grads["w"] += np.outer(x[n], dy[n])', 'grads["w"] = 0'),
    ],
    ids=["assigned", "made anew", "an entry"],
)
def test_a_sum_over_passes_of_which_one_is_kept(layer, wrong, after, first):
    found = find_place(program.closure(layer, **arrays(x=(5, 3), w=(3, 4))))
    assert found.place.line == line_of(layer, wrong)
    assert after in found.fix.after and found.fix.first == first
    if first:
        assert f"+{8 * ' '}{first}".replace(" ", "") in found.fix.diff.replace(" ", "")


@pytest.mark.parametrize("faster", [0.2, 2.0])
def test_the_speed_of_the_machine_does_not_change_what_is_found(faster, monkeypatch):
    layer, shapes = running_sum, dict(x=(5, 3))
    usual = find_place(program.closure(layer, **arrays(**shapes)), budget=0.3)
    clock = time.thread_time
    monkeypatch.setattr(time, "thread_time", lambda: faster * clock())
    other = find_place(program.closure(layer, **arrays(**shapes)), budget=0.3)
    assert dataclasses.replace(other, seconds=0) == dataclasses.replace(usual, seconds=0)


def test_a_search_that_the_clock_ends_says_so(monkeypatch):
    ticks = itertools.count(step=50)
    monkeypatch.setattr(time, "thread_time", lambda: next(ticks))
    found = find_place(program.closure(dense, **arrays(x=(5, 3), w=(3, 4), b=(4,))))
    assert "stopped after" in found.note
