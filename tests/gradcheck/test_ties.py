"""Kinks and ties: a valid subgradient passes, and a kink near by is none of the point."""

import numpy as np
import pytest

from autocnn import gradcheck

TIED = {"x": np.array([[0.0, 1.0, 1.0, -2.0], [3.0, 3.0, 0.0, 0.0]])}


def relu(at_zero):
    return lambda x: (np.maximum(x, 0), lambda dy: {"x": dy * np.where(x == 0, at_zero, x > 0)})


def row_max(share):
    def f(x):
        y = x.max(axis=1)
        hit = x == y[:, None]
        return y, lambda dy: {"x": share(hit) * dy[:, None]}

    return f


def first(hit):
    return hit & (np.cumsum(hit, axis=1) == 1)


@pytest.mark.parametrize(
    "f",
    [
        relu(0.0),
        relu(1.0),
        relu(0.5),
        row_max(first),
        row_max(lambda h: h / h.sum(axis=1, keepdims=True)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_valid_subgradients_pass_with_a_note(f, dtype):
    def typed(x):
        y, backward = f(x)
        return y, lambda dy: {"x": backward(dy)["x"].astype(x.real.dtype)}

    report = gradcheck.check(typed, x=TIED["x"].astype(dtype))
    assert report.ok, str(report)
    assert any("subgradient" in note for note in report.leaves["x"].notes)


@pytest.mark.parametrize("f", [relu(2.0), relu(-0.5), row_max(lambda h: 1.0 * h)])
def test_no_subgradient_is_a_tie(f):
    report = gradcheck.check(f, **TIED)
    assert [c.code for c in report.causes] == ["tie"], str(report)


def test_next_to_a_kink():
    x = np.array([1e-12, -1e-12, 2e-12, 0.5, -0.5, 1.0])
    assert gradcheck.check(relu(0.0), x=x).ok
    assert not gradcheck.check(
        lambda x: (np.maximum(x, 0), lambda dy: {"x": dy * (x > 1e-6)}), x=x
    ).ok
    assert not gradcheck.check(  # no tie: 1e-12 apart, and the gradient goes to the lesser one
        lambda x: (np.maximum(x[:3], x[3:]), lambda dy: {"x": np.r_[dy, 0 * dy]}),
        x=np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0]) + 1e-12 * np.array([0, 1, 1, 1, 0, 0]),
    ).ok


def slopes(forward, slope):
    return lambda x: (forward(x), lambda dy: {"x": dy * slope(x)})


def kept_above_zero(x):
    return x * (x.real > 0)  # of both sides of an imaginary step, the same


@pytest.mark.parametrize("near", [1e-15, 1e-12, 1e-9, 1e-6, 1e-4])
def test_a_tie_excuses_no_kink_near_by(near):
    x = np.array([0.0, near, 1.0, -1.0, 0.5, -2.0])
    for forward in (kept_above_zero, lambda x: np.maximum(x, 0)):
        right = slopes(forward, lambda x: 1.0 * (x > 0))
        assert gradcheck.check(right, x=x).ok
        for wrong in (
            lambda x: 1.0 * (x > 2 * near),
            lambda x: np.where(np.abs(x) < 2 * near, 0.5, 1.0 * (x > 0)),
        ):
            assert not gradcheck.check(slopes(forward, wrong), x=x).ok


def test_a_tie_excuses_no_small_mistake_elsewhere():
    x = np.array([0.0, 0.0, 1.0, -1.0, 0.5, -2.0])
    wrong = slopes(kept_above_zero, lambda x: np.where(x > 0, 1 + 0.013 * (x == 0.5), 0.0))
    assert not gradcheck.check(wrong, x=x).ok


def largest(gradient):
    """Row maxima of a product, by an argmax of real parts."""

    def f(x, w):
        h = x @ w
        y = h[np.arange(len(h)), h.real.argmax(axis=1)]

        def backward(dy):
            g = gradient(h) * dy[:, None]
            return {"x": g @ w.T, "w": x.T @ g}

        return y, backward

    return f


def all_tied(h):
    return 1.0 * (h == h.max(axis=1, keepdims=True))


def first_of(h):
    return 1.0 * first(all_tied(h) > 0)


def shared(h):
    return all_tied(h) / all_tied(h).sum(axis=1, keepdims=True)


def shared_if_close(h):
    tied = 1.0 * (h >= h.max(axis=1, keepdims=True) - 1e-9)
    return tied / tied.sum(axis=1, keepdims=True)


def test_ties_after_a_product():
    draw = np.random.default_rng(3)
    x, w = np.abs(draw.standard_normal((6, 5))), np.abs(draw.standard_normal((5, 4)))
    w[:, 1] += 3
    tied, close = w.copy(), w.copy()
    tied[:, 3], close[:, 3] = w[:, 1], w[:, 1] + 1e-11
    for gradient in (first_of, shared, shared_if_close):
        assert gradcheck.check(largest(gradient), x=x, w=tied).ok
    assert not gradcheck.check(largest(all_tied), x=x, w=tied).ok
    assert gradcheck.check(largest(first_of), x=x, w=close).ok
    assert not gradcheck.check(largest(shared_if_close), x=x, w=close).ok  # 1e-11 is no tie


def test_ties_in_a_sum_of_squares():
    """Of one output with many ties the slopes along all entries together still tell."""
    x = np.random.default_rng(3).integers(1, 4, (8, 4)).astype(float)

    def f(gradient):
        def loss(x):
            y = x[np.arange(len(x)), x.real.argmax(axis=1)]
            return (y * y).sum() / 2, lambda dy: {"x": dy * gradient(x) * y[:, None].real}

        return loss

    assert gradcheck.check(f(first_of), x=x).ok and gradcheck.check(f(shared), x=x).ok
    assert not gradcheck.check(f(all_tied), x=x).ok


@pytest.mark.parametrize("offset", [0.0, 1.0, 100.0])
def test_zeros_that_are_tied_after_an_addition(offset):
    def f(gradient):
        def top(x):
            h = (x + offset)[None]
            return h[0, h.real.argmax()], lambda dy: {"x": dy * gradient(h)[0]}

        return top

    x = np.array([0.0, 0.0, -1.0, 0.0])
    assert gradcheck.check(f(first_of), x=x).ok and gradcheck.check(f(shared), x=x).ok
    assert not gradcheck.check(f(all_tied), x=x).ok
