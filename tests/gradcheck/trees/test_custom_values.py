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
