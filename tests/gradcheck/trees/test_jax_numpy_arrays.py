"""Functions that jax has wrapped take NumPy arrays, and are differentiated by jax."""

import numpy as np
import pytest

from autocnn import gradcheck

jax = pytest.importorskip("jax")
import jax.numpy as jnp  # noqa: E402

X = np.linspace(-1, 1, 12).reshape(3, 4)


def rule(backward):
    sine = jax.custom_vjp(jnp.sin)
    sine.defvjp(lambda x: (jnp.sin(x), x), backward)
    return sine


def right(x, dy):
    return (dy * jnp.cos(x),)


def wrong(x, dy):
    return (dy * jnp.sin(x),)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["a rule", "a compiled rule"])
def test_a_rule_takes_numpy_arrays(wrap, dtype):
    assert gradcheck.check(wrap(rule(right)), x=X.astype(dtype)).ok
    assert not gradcheck.check(wrap(rule(wrong)), x=X.astype(dtype)).ok


def test_a_tangent_rule_takes_numpy_arrays():
    sine = jax.custom_jvp(jnp.sin)
    sine.defjvp(lambda x, t: (jnp.sin(x[0]), t[0] * jnp.sin(x[0])))
    assert not gradcheck.check(sine, x=X).ok


def test_a_plain_function_that_returns_jax_arrays_is_told_to_take_them():
    sine = rule(wrong)
    with pytest.raises(gradcheck.CallError, match=r"loss returned a jax array.*jnp\.asarray\(x\)"):

        def loss(x):
            return jnp.sum(sine(x))

        gradcheck.check(loss, x=X)
    assert not gradcheck.check(loss, x=jnp.asarray(X)).ok
