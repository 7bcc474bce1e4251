"""Witnesses and the verdict: complex step, its traps, differences, kinks, rounding, blindness."""

import math

import numpy as np
import pytest

from autocnn import gradcheck
from autocnn.gradcheck.adapters import closure
from autocnn.gradcheck.lift import lift
from autocnn.gradcheck.point import LeafAt, Point, Witness
from autocnn.gradcheck.witnesses import choose, ladder, slope

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4))


def buffered(x):
    out = np.zeros(x.shape)
    for i in range(len(x)):
        out[i] = np.sin(x[i])
    return out


def through_math(x):
    return math.exp(float(x[0, 0])) * np.ones(2)


@pytest.mark.parametrize(
    ("f", "method", "lifted"),
    [
        (np.tanh, "complex step", False),
        (lambda x: np.maximum(x, 0), "complex step", False),
        (lambda x: np.sort(x, axis=1), "complex step", False),
        (buffered, "complex step", True),
        (through_math, "complex step", True),
        (np.abs, "real differences", False),
        (lambda x: x.var(axis=0), "real differences", False),
        (lambda x: x.astype(np.float64) ** 2, "real differences", False),
        (lambda x: x * np.sign(x), "real differences", False),
    ],
)
def test_which_witness_is_trusted(f, method, lifted):
    def wrapped(x):
        return f(x), lambda dy: {"x": dy}

    problem = closure(wrapped, {"x": X})
    found = choose(Point(problem, problem.values()), "x", np.random.default_rng(0)).witness
    assert found.method == method or (
        method == "real differences" and found.lifted
    )  # a bare np.abs is lifted too
    if method == "complex step":
        assert found.lifted == lifted


def test_lifted_functions_keep_the_imaginary_part():
    def f(x):
        out = np.zeros_like(x)
        out[:] = np.abs(x) + np.var(x) + np.std(x) + np.linalg.norm(x)
        return out

    step = 1e-20
    seen = lift(f)(X + 1j * step * np.ones_like(X)).imag / step
    h = 1e-6
    assert np.allclose(seen, (f(X + h) - f(X - h)) / (2 * h), rtol=1e-8)
    assert f(X).dtype == np.float64


def test_the_ladder_knows_its_error():
    problem = closure(lambda x: (np.exp(3 * np.sin(x)), lambda dy: {"x": dy}), {"x": X})
    u, v = RNG.standard_normal(X.shape), RNG.standard_normal(X.size)
    point = Point(problem, problem.values())
    exact = slope(LeafAt(point, "x", Witness("complex step", False)), u, v)
    seen = ladder(point, "x", u, v)
    assert 0 < abs(seen.value - exact.value) <= 4 * seen.error < 1e-7 * exact.spread


def opaque(f):
    """The same numbers, through a door that complex numbers cannot pass."""
    return lambda x: f(np.array([float(a) for a in x.ravel().tolist()]).reshape(x.shape))


def test_a_forward_that_is_not_complex_safe_is_said_to_be():
    sine = opaque(np.sin)
    report = gradcheck.check(
        lambda x: (
            sine(x).tolist() and np.asarray(sine(x).tolist()),
            lambda dy: {"x": dy * np.cos(x)},
        ),
        x=X,
    )
    assert report.ok
    wrong = gradcheck.check(
        lambda x: (np.asarray(sine(x).tolist()), lambda dy: {"x": dy * np.cos(x) * (1 + 1e-7)}), x=X
    )
    assert not wrong.ok


def test_a_small_part_lost_in_var_is_no_false_alarm():
    def batch_norm(x, eps=1e-5):
        inv = 1 / np.sqrt(x.var(axis=0) + eps)
        hat = (x - x.mean(axis=0)) * inv
        return hat, lambda dy: {"x": inv * (dy - dy.mean(axis=0) - hat * (dy * hat).mean(axis=0))}

    for scale in (1e-6, 1.0, 1e6):
        assert gradcheck.check(batch_norm, x=scale * X).ok


# ---- the verdict


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_scales(scale, dtype):
    x = (scale * X).astype(dtype)
    assert gradcheck.check(lambda x: (x @ x.T, lambda dy: {"x": (dy + dy.T) @ x}), x=x).ok
    assert not gradcheck.check(
        lambda x: (x @ x.T, lambda dy: {"x": 1.001 * (dy + dy.T) @ x}), x=x
    ).ok


def test_saturation():
    def tanh(x):
        y = np.tanh(x)
        return y, lambda dy: {"x": dy * (1 - y * y)}

    report = gradcheck.check(tanh, x=40 * np.sign(X) + X)
    assert report.ok and any("compared at others" in n for n in report.leaves["x"].notes)
    wrong = gradcheck.check(
        lambda x: (np.tanh(x), lambda dy: {"x": dy * (1 - np.tanh(x) ** 3)}), x=40 * np.abs(X) + 40
    )
    assert wrong.leaves["x"].verdict == "wrong"


def network(x, w1, w2, entry=None, relative=0.0):
    """The mean cross-entropy of a ReLU network of 24,000 parameters."""
    h = x @ w1
    z = np.maximum(h, 0) @ w2
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p, rows, labels = (
        e / e.sum(axis=1, keepdims=True),
        np.arange(len(x)),
        np.arange(len(x)) % w2.shape[1],
    )

    def backward(dy):
        d = p.copy()
        d[rows, labels] -= 1
        d *= dy / len(x)
        dw = x.T @ (d @ w2.T * (h > 0))
        if entry is not None:
            dw.flat[entry] *= 1 + relative
        return {"x": d @ w2.T * (h > 0) @ w1.T, "w1": dw, "w2": np.maximum(h, 0).T @ d}

    return -np.log(p[rows, labels]).mean(), backward


def test_one_entry_of_24000_wrong_by_a_millionth():
    rng = np.random.default_rng(1)
    arrays = {
        "x": rng.standard_normal((16, 192)),
        "w1": 0.1 * rng.standard_normal((192, 120)),
        "w2": 0.1 * rng.standard_normal((120, 10)),
    }
    assert gradcheck.check(network, **arrays).ok
    for seed in range(5):
        entry = int(rng.integers(192 * 120))
        report = gradcheck.check(network, seed=seed, **arrays, entry=entry, relative=1e-6)
        assert report.leaves["w1"].verdict == "wrong"
        assert report.leaves["w1"].worst[0].index == np.unravel_index(entry, (192, 120))
        assert "dw.flat[entry] *=" in report.place.text
        assert (
            report.causes[0].code == "additive" and "the term relative" in report.causes[0].message
        )


def test_float32_alone_can_be_wrong():
    def f(x):
        def backward(dy):
            if dy.dtype == np.float32:  # overflows in float32 only
                return {"x": dy * x * np.float32(2) * (np.exp(x + 88) / np.exp(x + 88))}
            return {"x": 2 * dy * x}

        return x * x, backward

    assert gradcheck.check(f, x=np.abs(X)).ok
    report = gradcheck.check(f, x=(np.abs(X) + 1).astype(np.float32))
    assert not report.ok and report.causes[0].code == "nonfinite"
