"""Rules of forward mode, of torch and of jax."""

import functools

import torch

from benchmarks.wild.pages.layouts import tensor
from benchmarks.wild.pairs import pair

NOT_ADJOINT = ("not adjoint",)
FACTOR = torch.linalg.cholesky(tensor(3, 3) @ tensor(3, 3).T + torch.eye(3))


def with_jvp(forward, backward, jvp):
    """A torch.autograd.Function of forward(*x), backward(dy, *x) and jvp(*x, *tangents)."""

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *args):
            ctx.save_for_backward(*args)
            ctx.save_for_forward(*args)
            return forward(*args)

        @staticmethod
        def backward(ctx, dy):
            return backward(dy, *ctx.saved_tensors)

        @staticmethod
        def jvp(ctx, *tangents):
            return jvp(*ctx.saved_tensors, *tangents)

    Rule.__name__ = forward.__name__
    return Rule


# ---- the inverse from a Cholesky factor: a product in the wrong order


def inverse_of(f):
    return torch.linalg.inv(f @ f.T)


def inverse_backward(dy, f):
    x = inverse_of(f)
    return -x @ (dy + dy.T) @ x @ f


def inverse_jvp(f, t):
    x = inverse_of(f)
    half = -x @ t @ f.T @ x
    return half + half.T


def inverse_jvp_exchanged(f, t):
    x = inverse_of(f)
    half = -x @ t @ x @ f.T
    return half + half.T


pair(
    "tangent of an inverse",
    kind="forward mode",
    link="https://github.com/pytorch/pytorch/issues/196682",
    shows="where the factor is not diagonal",
    buggy=with_jvp(inverse_of, inverse_backward, inverse_jvp_exchanged),
    fixed=with_jvp(inverse_of, inverse_backward, inverse_jvp),
    arrays={"f": FACTOR},
    codes=NOT_ADJOINT,
    library="torch",
    mode="both",
)


# ---- a solve with a factor: its tangent is not made symmetric


def solve_with(b, f):
    return torch.linalg.solve(f @ f.T, b)


def solve_backward(dy, b, f):
    x, z = solve_with(b, f), solve_with(dy, f)
    return z, -(z @ x.T + x @ z.T) @ f


def solve_jvp(b, f, tb, tf):
    return solve_with(tb - (tf @ f.T + f @ tf.T) @ solve_with(b, f), f)


def solve_jvp_half(b, f, tb, tf):
    return solve_with(tb - 2 * tf @ f.T @ solve_with(b, f), f)


pair(
    "tangent of a solve through its factor",
    kind="forward mode",
    link="https://github.com/pytorch/pytorch/issues/196694",
    shows="where the factor is not diagonal",
    buggy=with_jvp(solve_with, solve_backward, solve_jvp_half),
    fixed=with_jvp(solve_with, solve_backward, solve_jvp),
    arrays={"b": tensor(3, 2), "f": FACTOR},
    codes=NOT_ADJOINT,
    library="torch",
    mode="both",
)


# ---- dropout that is switched off: ones in place of the tangent


def off(x):
    return x.clone()


pair(
    "tangent of dropout at evaluation",
    kind="forward mode",
    link="https://github.com/pytorch/pytorch/pull/75288",
    shows="where dropout is off",
    buggy=with_jvp(off, lambda dy, x: dy, lambda x, t: torch.ones_like(x)),
    fixed=with_jvp(off, lambda dy, x: dy, lambda x, t: t.clone()),
    arrays={"x": tensor(3, 2)},
    codes=NOT_ADJOINT,
    library="torch",
    mode="both",
)

# ---- jax: a triangular solve whose tangent is not triangular


@functools.cache
def jax_pairs():
    import jax
    import jax.numpy as jnp
    from jax.scipy.linalg import solve_triangular

    def triangular(masked):
        @jax.custom_jvp
        def solve(a, b):
            return solve_triangular(a, b)

        @solve.defjvp
        def _(primals, tangents):
            (a, b), (ta, tb) = primals, tangents
            x = solve(a, b)
            ta = jnp.triu(ta) if masked else ta
            return x, solve(a, tb - ta @ x)

        return lambda a, b: solve(a, b)

    def product(sign):
        @jax.custom_vjp
        def f(x, y):
            return jnp.sin(x) * y

        def forward(x, y):
            return f(x, y), (jnp.cos(x), jnp.sin(x), y)

        def backward(saved, g):
            cos, sin, y = saved
            return cos * g * y, sign * sin * g

        f.defvjp(forward, backward)
        return lambda x, y: f(x, y)

    def sine(sign):
        @jax.custom_jvp
        def f(x, y):
            return jnp.sin(x) * y

        @f.defjvp
        def _(primals, tangents):
            (x, y), (tx, ty) = primals, tangents
            return f(x, y), jnp.cos(x) * tx * y + sign * jnp.sin(x) * ty

        return lambda x, y: f(x, y)

    return triangular, product, sine


def lazily(k, *options):
    """The function made at its first call, so that jax is imported by whoever runs the pair."""

    def f(**arrays):
        return jax_pairs()[k](*options)(**arrays)

    f.__name__ = ("solve", "product", "sine")[k]
    return f


def jax_call(order=1, mode="reverse", **arrays):
    def call(f):
        import jax.numpy as jnp

        from autocnn import gradcheck

        given = {n: jnp.asarray(a.numpy()) for n, a in arrays.items()}
        return gradcheck.check(f, order=order, mode=mode, **given)

    return call


TRIANGLE = {"a": torch.triu(tensor(3, 3)) + 2 * torch.eye(3), "b": tensor(3)}
pair(
    "tangent of a triangular solve",
    kind="forward mode",
    link="https://github.com/jax-ml/jax/issues/1458",
    shows="where the tangent has entries below the diagonal",
    buggy=lazily(0, False),
    fixed=lazily(0, True),
    arrays=TRIANGLE,
    codes=("mask", "additive", "not adjoint"),
    call=jax_call(mode="both", **TRIANGLE),
    library="jax",
    mode="both",
)

NUMBERS = {"x": tensor(4), "y": tensor(4, seed=1)}
pair(
    "sign in a custom vjp",
    kind="formula",
    link="https://github.com/jax-ml/jax/issues/13048",
    shows="always",
    buggy=lazily(1, -1.0),
    fixed=lazily(1, 1.0),
    arrays=NUMBERS,
    codes=("sign",),
    call=jax_call(**NUMBERS),
    library="jax",
)
pair(
    "sign in a custom jvp",
    kind="forward mode",
    link="https://github.com/jax-ml/jax/pull/3031",
    shows="always",
    buggy=lazily(2, -1.0),
    fixed=lazily(2, 1.0),
    arrays=NUMBERS,
    codes=("sign",),
    call=jax_call(mode="forward", **NUMBERS),
    library="jax",
    mode="forward",
)
