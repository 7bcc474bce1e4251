"""Custom rules of jax that are right alone and wrong under jax.vmap, and right twins."""

import jax
import jax.numpy as jnp
import numpy as np

X = np.random.default_rng(7).standard_normal((3, 5)).astype(np.float32)


def custom(backward):
    """tanh with a rule of its own: backward(slope, dy)."""

    @jax.custom_vjp
    def f(x):
        return jnp.tanh(x)

    f.defvjp(lambda x: (f(x), 1 - jnp.tanh(x) ** 2), lambda s, dy: (backward(s, dy),))
    return lambda x: f(x)


def callback(compute, method):
    def backward(s, dy):
        return jax.pure_callback(
            compute, jax.ShapeDtypeStruct(dy.shape, dy.dtype), s, dy, vmap_method=method
        )

    return custom(backward)


def batching(rule):
    """A product whose rule for a batch is written by hand."""

    @jax.custom_batching.custom_vmap
    def product(s, dy):
        return s * dy

    product.def_vmap(rule)
    return custom(product)


def rows(a, batched, size):
    return a if batched else jnp.broadcast_to(a, (size, *a.shape))


def right_rule(size, batched, s, dy):
    return rows(s, batched[0], size) * rows(dy, batched[1], size), True


def summed(size, batched, s, dy):
    out = rows(s, batched[0], size) * rows(dy, batched[1], size)
    return jnp.broadcast_to(out.sum(0), out.shape), True


def first(size, batched, s, dy):
    out = rows(s, batched[0], size) * rows(dy, batched[1], size)
    return jnp.broadcast_to(out[0], out.shape), True


def one_for_all(size, batched, s, dy):
    return (s[0] if batched[0] else s) * (dy[0] if batched[1] else dy), False


def normalised(size, batched, s, dy):
    out = rows(s, batched[0], size) * rows(dy, batched[1], size)
    return out - out.mean(0), True


def centred(axis):
    """x - mean over the rows' axis, counted from either side, on NumPy arrays."""
    return lambda s, dy: np.asarray(s * dy) if axis is None else np.asarray(s * dy)[::axis]


def branch(s, dy):
    return s * dy if jnp.abs(dy).max() > 0 else jnp.zeros_like(s)


WRONG = {
    "summed": (batching(summed), "the sum over the batch"),
    "first": (batching(first), "that of cotangent 0"),
    "one for all": (batching(one_for_all), "that of cotangent 0"),
    "statistics of the batch": (batching(normalised), "runs over the batch's axis"),
    "branch": (custom(branch), "TracerBool"),
    "through numpy": (custom(lambda s, dy: jnp.asarray(np.asarray(s) * np.asarray(dy))), "Tracer"),
    "rows in another order": (
        callback(lambda s, dy: np.asarray(s * dy)[:: -1 if dy.ndim > 2 else 1], "broadcast_all"),
        "another order",
    ),
    "callback without a rule": (callback(lambda s, dy: np.asarray(s * dy), None), "fails for"),
}
RIGHT = {
    "right rule": batching(right_rule),
    "plain rule": custom(lambda s, dy: s * dy),
    "callback": callback(lambda s, dy: np.asarray(s * dy), "sequential"),
    "where": custom(lambda s, dy: jnp.where(jnp.abs(dy).max() > 0, s * dy, 0)),
    "closure": lambda x: (jnp.tanh(x), lambda dy: dy * (1 - jnp.tanh(x) ** 2)),
}
