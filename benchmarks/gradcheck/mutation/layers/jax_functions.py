"""jax.custom_vjp with its two functions."""

import jax
import jax.numpy as jnp
import numpy as np


@jax.custom_vjp
def scaled_softmax(x, t):
    return jax.nn.softmax(x / t, axis=-1)


def scaled_softmax_fwd(x, t):
    p = jax.nn.softmax(x / t, axis=-1)
    return p, (x, t, p)


def scaled_softmax_bwd(res, dp):
    x, t, p = res
    dz = p * (dp - jnp.sum(dp * p, axis=-1, keepdims=True))
    dx = dz / t
    dt = -jnp.sum(dz * x) / t**2
    return dx, dt


scaled_softmax.defvjp(scaled_softmax_fwd, scaled_softmax_bwd)


@jax.custom_vjp
def jax_rms_norm(x, g):
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) * g


def jax_rms_norm_fwd(x, g):
    r = jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
    return x * r * g, (x, g, r)


def jax_rms_norm_bwd(res, dy):
    x, g, r = res
    dn = dy * g
    dg = jnp.sum(dy * x * r, axis=0)
    inner = jnp.mean(dn * x, axis=-1, keepdims=True)
    dx = r * dn - r**3 * x * inner
    return dx, dg


jax_rms_norm.defvjp(jax_rms_norm_fwd, jax_rms_norm_bwd)


@jax.custom_vjp
def softplus_dense(x, w, b):
    return jnp.logaddexp(x @ w + b, 0.0)


def softplus_dense_fwd(x, w, b):
    z = x @ w + b
    return jnp.logaddexp(z, 0.0), (x, w, z)


def softplus_dense_bwd(res, dy):
    x, w, z = res
    s = 1 / (1 + jnp.exp(-z))
    dz = dy * s
    dx = dz @ w.T
    dw = x.T @ dz
    db = jnp.sum(dz, axis=0)
    return dx, dw, db


softplus_dense.defvjp(softplus_dense_fwd, softplus_dense_bwd)


def _normal(seed, **shapes):
    rng = np.random.default_rng(seed)
    return {n: jnp.asarray(rng.standard_normal(s)) for n, s in shapes.items()}


CASES = {
    "jax_scaled_softmax": (
        "jax",
        (scaled_softmax,),
        _normal(0, x=(3, 4)) | {"t": jnp.asarray(1.7)},
    ),
    "jax_rms_norm": ("jax", (jax_rms_norm,), _normal(1, x=(4, 5), g=(5,))),
    "jax_softplus_dense": ("jax", (softplus_dense,), _normal(2, x=(5, 3), w=(3, 4), b=(4,))),
}
