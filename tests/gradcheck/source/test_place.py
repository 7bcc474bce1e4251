"""The statement that is wrong, and the edit that puts it right."""

import pathlib

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
