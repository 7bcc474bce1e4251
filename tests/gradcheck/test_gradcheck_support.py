"""Gradients that are not zero in the wrong places: inverted masks, triangles that are not read."""

import numpy as np
import pytest

from autocnn import gradcheck

KEEP = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])


def masked_loss(x):
    return np.sum(KEEP[:, None] * np.tanh(x)), lambda dy: {
        "x": dy * (1 - KEEP[:, None]) * (1 - np.tanh(x) ** 2)
    }


def rows_swapped(x):
    def backward(dy):
        d = np.zeros_like(x)
        d[4:] = dy
        return {"x": d}

    return x[:4].sum(axis=0), backward


def upper(x):
    return np.sum(np.triu(x) ** 2, axis=0), lambda dy: {"x": 2 * dy * x}


def padded(x):
    """The last two rows are padding."""
    return np.exp(x[:4]).sum(axis=0), lambda dy: {"x": dy * np.exp(x)}


def quadratic(x):
    a = np.arange(3.0)
    return a @ x @ x @ (a + 1), lambda dy: {"x": dy * symmetric(x, a)}


def symmetric(x, a):
    g = np.outer(a, x @ (a + 1)) + np.outer(x.T @ a, a + 1)
    return (g + g.T) / 2


def summed_with_transpose(x):
    c = np.arange(9.0).reshape(3, 3)
    return np.sum(c * np.exp(x)), lambda dy: {"x": dy * (c * np.exp(x) + (c * np.exp(x)).T)}


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (masked_loss, "inverted"),
        (rows_swapped, "inverted"),
        (upper, "does not read"),
        (padded, "does not read"),
        (quadratic, "the mean of the gradient and its transpose"),
        (summed_with_transpose, "the sum of the gradient and its transpose"),
    ],
)
def test_is_named_a_mask(f, words):
    shape = (3, 3) if f in (upper, quadratic, summed_with_transpose) else (6, 2)
    report = gradcheck.check(f, x=np.random.default_rng(2).standard_normal(shape), quick=True)
    assert [c.code for c in report.errors] == ["mask"], str(report)
    assert words in report.errors[0].message


def test_a_triangle_that_is_symmetric_by_right_passes():
    """An argument of which both triangles are read has a symmetric gradient: no mistake."""

    def f(x):
        s = x + x.T

        def backward(dy):
            g = dy * 3 * s**2
            return {"x": g + g.T}

        return s**3, backward

    assert gradcheck.check(f, x=np.random.default_rng(2).standard_normal((3, 3))).ok
