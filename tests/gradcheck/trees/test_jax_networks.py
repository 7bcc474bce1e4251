"""jax functions of trees: custom rules inside jit, scan, cond, remat and vmap are found, checked on
what they are fed, and the broken one is named.
"""

import numpy as np
import pytest

from autocnn import gradcheck

jax = pytest.importorskip("jax")
jnp = jax.numpy

WRONG = ("mul", "sine", "norm")


def network(wrong=None):
    """A function of a tree and x, with three rules of which one may be wrong."""

    @jax.custom_vjp
    def mul(x, w):
        return x * w

    def mul_bwd(kept, dy):
        x, w = kept
        return (2 if wrong == "mul" else 1) * dy * w, dy * x

    mul.defvjp(lambda x, w: (x * w, (x, w)), mul_bwd)

    @jax.custom_jvp
    def sine(x):
        return jnp.sin(x)

    @sine.defjvp
    def sine_jvp(primals, tangents):
        (x,), (t,) = primals, tangents
        return sine(x), (-1 if wrong == "sine" else 1) * jnp.cos(x) * t

    @jax.custom_vjp
    def norm(p, x):
        return p["g"] * x / jnp.sqrt(jnp.mean(x * x) + 1e-3)

    def norm_bwd(kept, dy):
        p, x = kept
        size = jnp.sqrt(jnp.mean(x * x) + 1e-3)
        g = dy * p["g"] / size
        through = 0 if wrong == "norm" else x * jnp.mean(g * x) / size**2
        return {"g": dy * x / size}, g - through

    norm.defvjp(lambda p, x: (norm(p, x), (p, x)), norm_bwd)

    def f(params, x):
        y = jax.jit(mul)(x, params["w"])
        y, _ = jax.lax.scan(lambda c, a: (norm(params["inner"], c) * a, None), y, x[None])
        y = jax.checkpoint(sine)(y)
        y = jax.vmap(mul)(y[None], x[None])[0]
        return jax.nn.softplus(jax.lax.cond(True, lambda y: sine(y), lambda y: y, y))

    return f


PARAMS = {"w": np.arange(1.0, 4.0) / 3, "inner": {"g": np.full(3, 0.7)}}
X = np.array([0.3, -0.5, 0.9])


@pytest.mark.slow
def test_a_right_network_passes_and_its_rules_are_counted():
    params = jax.tree_util.tree_map(jnp.asarray, PARAMS)
    report = gradcheck.check(network(), params=params, x=jnp.asarray(X))
    assert report.ok, str(report)
    assert set(report.leaves) == {"params.w", "params.inner.g", "x"}
    assert report.counts == "3 custom rules: 3 right"
    assert {r.name: r.calls for r in report.rules} == {
        "mul.mul_bwd": 2,
        "norm.norm_bwd": 1,
        "sine.sine_jvp": 2,
    }


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
def test_the_broken_rule_is_named(wrong):
    params = jax.tree_util.tree_map(jnp.asarray, PARAMS)
    report = gradcheck.check(network(wrong), params=params, x=jnp.asarray(X), quick=True)
    assert not report.ok
    named = {r.name.partition(".")[0] for r in report.rules if r.verdict == "wrong"}
    assert named == {wrong} and "test_jax_networks.py:" in str(report)


def test_a_broken_rule_in_a_function_of_a_tree_is_named():
    @jax.custom_vjp
    def double(x):
        return 2 * x

    def double_bwd(_, dy):
        return (3 * dy,)

    double.defvjp(lambda x: (2 * x, None), double_bwd)

    def f(params):
        return double(params["a"]) + jax.nn.relu(params["a"])

    report = gradcheck.check(f, params={"a": jnp.asarray(X)}, quick=True)
    assert "1 custom rule: 1 wrong: double.double_bwd" in " ".join(str(report).split())
    assert {c.leaf.partition(",")[0] for c in report.errors} == {"double.double_bwd"}
