"""What was compared for narrow arrays, and ties that only real steps show."""

import numpy as np
import pytest

from autocnn import gradcheck

rng = np.random.default_rng(0)
X, W = rng.standard_normal((4, 5)), rng.standard_normal((5, 3))


def dense(only=None, factor=1.0):
    """A dense layer whose dw has another factor when it computes in `only`."""

    def f(x, w):
        def backward(dy):
            dw = x.T @ dy
            return {"x": dy @ w.T, "w": dw * dw.dtype.type(factor) if dw.dtype == only else dw}

        return x @ w, backward

    return f


def test_float16_is_compared_and_the_report_says_so():
    x, w = X.astype(np.float16), W.astype(np.float16)
    report = gradcheck.check(dense(), x=x, w=w)
    assert report.ok and "in float16 to about 0.1" in str(report).replace("\n" + " " * 19, " ")
    report = gradcheck.check(dense(np.float16, 1.5), x=x, w=w)
    assert not report.ok and "in float16: precision" in report.causes[0].message
    assert report.leaves["x"].verdict == "agree"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_long_sums_and_scales_pass(dtype):
    for scale in (1e-2, 1e2):
        x = (scale * rng.standard_normal((300, 5))).astype(dtype)
        assert gradcheck.check(dense(), x=x, w=W.astype(dtype)).ok


def test_a_gradient_too_large_for_float16_is_not_wrong():
    x = np.full((4, 5), 3e4, np.float16)
    x += (100 * rng.standard_normal(x.shape)).astype(np.float16)
    w = (1e-3 * W).astype(np.float16)
    assert gradcheck.check(dense(), x=x, w=w).ok


def test_a_function_of_float16_alone():
    def f(x, w):
        if x.dtype != np.float16:
            raise TypeError("float16 alone")
        return dense()(x, w)

    report = gradcheck.check(f, x=X.astype(np.float16), w=W.astype(np.float16))
    assert report.ok and "in float16 alone" in str(report)


def pool(split):
    def f(x):
        windows = x.reshape(len(x), -1, 2)
        first = windows.real.argmax(-1)[..., None]
        y = np.take_along_axis(windows, first, -1)[..., 0]

        def backward(dy):
            top = windows == windows.max(-1, keepdims=True)
            share = top / (top.sum(-1, keepdims=True) if split else 1)
            return {"x": (share * dy[..., None]).reshape(x.shape)}

        return y, backward

    return f


def test_ties_that_a_complex_step_does_not_show():
    x = np.array([[1.0, 1.0, 2.0, 3.0], [4.0, 0.0, 5.0, 5.0]])
    report = gradcheck.check(pool(True), x=x)
    assert report.ok and "valid subgradient" in str(report)
    assert not gradcheck.check(pool(False), x=x).ok  # every tied entry gets all of it
    assert gradcheck.check(pool(False), x=x + np.arange(8).reshape(2, 4) / 64).ok
