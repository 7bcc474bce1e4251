"""Gradients that are right to the accuracy of the functions that they call get a warning; small
terms that are missing or added stay errors.
"""

import numpy as np
import pytest

from autocnn import gradcheck


def erf_series(x, terms=9):
    """erf by its Taylor series."""
    total, term = 0 * x, x
    for n in range(terms + 1):
        total = total + term / (2 * n + 1)
        term = -term * x * x / (n + 1)
    return 2 / np.sqrt(np.pi) * total


def erf(x):
    def backward(dy):
        rough = np.exp(-x * x) * (1 + 4e-10 * np.cos(40 * x))  # as a rational approximation is
        return {"x": dy * 2 / np.sqrt(np.pi) * rough}

    return erf_series(x, 40), backward


def table(x):
    """sin with a slope from a table of cosines, interpolated."""
    points = np.linspace(-3, 3, 60_001)

    def backward(dy):
        return {"x": dy * np.interp(x, points, np.cos(points))}

    return np.sin(x), backward


@pytest.mark.parametrize("f", [erf, table])
def test_approximations_are_warnings(f):
    x = 0.5 * np.random.default_rng(0).uniform(0.2, 1, (4, 5))
    report = gradcheck.check(f, x=x)
    assert report.ok, str(report)
    assert [(c.code, c.level) for c in report.causes] == [("accuracy", "warning")]
    assert "digits" in report.causes[0].message


def test_stress_takes_them_as_right():
    assert gradcheck.stress(erf_everywhere, x=("N", "D"), N=[1, 2], D=[3, 4], seconds=5).ok


def erf_everywhere(x):
    y, backward = erf(0.4 * np.tanh(x))
    return y, lambda dy: {"x": backward(dy)["x"] * 0.4 * (1 - np.tanh(x) ** 2)}


def small_term(x):
    return np.sin(x) + 1e-9 * x, lambda dy: {"x": dy * np.cos(x)}


def one_entry(x):
    def backward(dy):
        d = dy * np.exp(x)
        d[1, 2] *= 1 + 2e-9
        return {"x": d}

    return np.exp(x), backward


def large_noise(x):
    off = 1 + 1e-7 * np.cos(100 * x)
    return np.exp(x), lambda dy: {"x": dy * np.exp(x) * off}


@pytest.mark.parametrize("f", [small_term, one_entry, large_noise])
def test_small_mistakes_stay_errors(f):
    x = np.random.default_rng(0).standard_normal((4, 5))
    if f is small_term:
        x[0, 0] = np.pi / 2 - 1e-3  # where the slope is small, the missing term is not
    assert not gradcheck.check(f, x=x).ok
