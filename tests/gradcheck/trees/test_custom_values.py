"""Custom rules of jax that compute another value than their function."""

import numpy as np
import pytest

from autocnn import gradcheck

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

X = jnp.asarray(np.random.default_rng(0).standard_normal((3, 4)))


def square(factor, of=lambda x: x):
    @jax.custom_vjp
    def f(x):
        return of(x * x)

    f.defvjp(lambda x: (of(factor * x * x), x), lambda x, dy: (2 * factor * x * dy,))
    return f


def codes(report):
    return [c.code for c in report.errors]


def test_fwd_of_another_function_is_an_error():
    assert gradcheck.check(square(1.0), x=X).ok
    report = gradcheck.check(square(2.0), x=X)
    assert codes(report) == ["forward"] and report.leaves["x"].verdict == "agree"
    assert "another y than the function: y[" in report.causes[0].message
    assert "forward" in codes(gradcheck.check(square(1.001), x=X))


def test_inside_others_and_in_trees_and_twice():
    f = square(2.0)
    assert "forward" in codes(gradcheck.check(jax.jit(lambda x: jnp.sin(f(x)).sum()), x=X))
    assert "forward" in codes(gradcheck.check(lambda p: f(p["a"]), p={"a": X}))
    assert "forward" in codes(gradcheck.check(f, x=X, order=2))


def test_the_rule_of_a_custom_jvp():
    @jax.custom_jvp
    def f(x):
        return x * x

    f.defjvp(lambda p, t: (3 * p[0] * p[0], 6 * p[0] * t[0]))
    assert codes(gradcheck.check(f, x=X)) == ["forward"]


def test_rounding_is_no_other_value():
    @jax.custom_vjp
    def f(x):
        return jnp.sum(x.astype(jnp.float32) ** 2).astype(x.dtype)

    def fwd(x):
        z = x.astype(jnp.float32)
        return (z @ z).astype(x.dtype), x

    f.defvjp(fwd, lambda x, dy: (2 * x * dy,))
    assert "forward" not in codes(gradcheck.check(f, x=X.ravel()))


def rule(function, value, slope):
    """A custom rule that computes its value by another formula than the function."""
    f = jax.custom_vjp(function)
    f.defvjp(lambda x: (value(x), x), lambda x, dy: (slope(x) * dy[..., None],))
    return f


def mean_square(x):
    return (x**2).mean(-1) - x.mean(-1) ** 2


def variance(x):
    return ((x - x.mean(-1, keepdims=True)) ** 2).mean(-1)


def variance_slope(x):
    return 2 * (x - x.mean(-1, keepdims=True)) / x.shape[-1]


@pytest.mark.parametrize("mean", [1.0, 1e4])
def test_digits_that_cancel_in_either_formula_are_no_other_value(mean):
    x = np.asarray(X, dtype=float) + mean
    with jax.enable_x64(True):
        right = rule(mean_square, variance, variance_slope)
        assert "forward" not in codes(gradcheck.check(right, x=jnp.asarray(x)))
        wrong = rule(mean_square, lambda x: 1.01 * variance(x), lambda x: 1.01 * variance_slope(x))
        assert "forward" in codes(gradcheck.check(wrong, x=jnp.asarray(x)))


def test_a_narrower_dtype_in_the_rule_alone_is_no_other_value():
    def in_single(factor):
        f = jax.custom_vjp(lambda x: x * x)
        f.defvjp(
            lambda x: ((factor * x.astype(jnp.float32) ** 2).astype(x.dtype), x),
            lambda x, dy: (2 * factor * x * dy,),
        )
        return f

    assert "forward" not in codes(gradcheck.check(in_single(1.0), x=X))
    assert "forward" in codes(gradcheck.check(in_single(1.001), x=X))


def test_each_entry_is_judged_by_its_own_size():
    f = jax.custom_vjp(lambda x: x * x)
    f.defvjp(
        lambda x: (jnp.where(x < 3, 1.01, 1.0) * x * x, x),
        lambda x, dy: (2 * jnp.where(x < 3, 1.01, 1.0) * x * dy,),
    )
    report = gradcheck.check(f, x=jnp.asarray([1e6, 1.0, 2.0]))
    assert codes(report) == ["forward"] and "y[" in report.causes[0].message
