"""Every way of writing a backward pass is followed to its line."""

import pathlib

import numpy as np
import pytest

from autocnn import gradcheck

HERE = pathlib.Path(__file__)


def line_of(text):
    """The only line of this file that ends with a marker."""
    rows = HERE.read_text().splitlines()
    return 1 + next(k for k, row in enumerate(rows) if row.rstrip().endswith(f"# {text}"))


def normal(**shapes):
    rng = np.random.default_rng(1)
    return {n: rng.standard_normal(s) for n, s in shapes.items()}


def pair_forward(x, w):
    z = x @ w
    return np.maximum(z, 0), (x, w, z)


def pair_backward(dy, cache):
    x, w, z = cache
    dz = dy * (z < 0)  # pair
    dx = dz @ w.T
    dw = x.T @ dz
    return dx, dw


class Layer:
    def __init__(self):
        self.w = np.random.default_rng(2).standard_normal((3, 4))
        self.b = np.zeros(4)

    def forward(self, x):
        self.x = x
        self.h = np.tanh(x @ self.w + self.b)
        return self.h

    def backward(self, dy):
        dz = dy * (1 - self.h**2)
        self.d_w = self.x.T @ dz
        self.d_b = dz.mean(axis=0)  # object
        return dz @ self.w.T


def plain(x, y):
    return (x * y).sum(axis=1)


def plain_vjp(dz, x, y):
    dx = dz[:, None] * y
    dy = dz[:, None] * y  # vjp
    return dx, dy


def scatter(x, ids):
    rows = np.zeros((3, x.shape[1]))
    np.add.at(rows, ids, x)
    parts = [row * (k + 1) for k, row in enumerate(rows)]
    y = np.stack(parts) if len(parts) > 1 else rows

    def backward(dy):
        if not np.any(dy):
            return np.zeros_like(x)
        drows = np.stack([d * k for k, d in enumerate(dy)])  # comprehension
        return drows[ids]

    return y, backward


def overlap(x):
    y = x[:-1] + 2 * x[1:]

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:-1] += dy
        dx[1:] = 2 * dy  # item
        return dx

    return y, backward


def conditional(x, gate):
    y = np.where(gate > 0, x * x, x)

    def backward(dy):
        slope = np.where(gate > 0, x, 1.0)  # branch
        dx = dy * slope if y.ndim == 2 else dy
        return {"x": dx, "gate": np.zeros_like(gate)}

    return y, backward


CHECKS = {
    "pair": lambda: gradcheck.check_pair(pair_forward, pair_backward, **normal(x=(4, 3), w=(3, 5))),
    "object": lambda: gradcheck.check_object(Layer(), normal(x=(5, 3))["x"]),
    "vjp": lambda: gradcheck.check_vjp(plain, plain_vjp, *normal(x=(4, 3), y=(4, 3)).values()),
    "comprehension": lambda: gradcheck.check(
        scatter, ids=np.array([0, 2, 2, 1]), **normal(x=(4, 3))
    ),
    "item": lambda: gradcheck.check(overlap, **normal(x=(5, 2))),
    "branch": lambda: gradcheck.check(conditional, **normal(x=(4, 3), gate=(4, 3))),
}


@pytest.mark.parametrize("style", CHECKS)
def test_line_and_fix(style):
    report = CHECKS[style]()
    assert not report.ok
    assert report.place.line == line_of(style), str(report)
    assert report.fix is not None and report.fix.line == line_of(style)


def test_torch_function():
    torch = pytest.importorskip("torch")

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            y = torch.tanh(x * w)
            ctx.save_for_backward(x, w, y)
            return y

        @staticmethod
        def backward(ctx, dy):
            x, w, y = ctx.saved_tensors
            dz = dy * (1 - y)  # torch
            return dz * w, (dz * x).sum(0)

    given = {n: torch.tensor(a) for n, a in normal(x=(4, 3), w=(3,)).items()}
    report = gradcheck.check(Scaled, **given)
    assert report.place.line == line_of("torch"), str(report)
    assert report.fix is not None


def test_jax_custom_vjp():
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def scaled(x, w):
        return jnp.tanh(x * w)

    def forward(x, w):
        y = jnp.tanh(x * w)
        return y, (x, w, y)

    def backward(kept, dy):
        x, w, y = kept
        dz = dy * (1 - y)  # jax
        return dz * w, jnp.sum(dz * x, axis=0)

    scaled.defvjp(forward, backward)
    given = {n: jnp.asarray(a) for n, a in normal(x=(4, 3), w=(3,)).items()}
    report = gradcheck.check(scaled, **given)
    assert report.place.line == line_of("jax"), str(report)
    assert report.fix is not None


def test_right_layers_are_not_accused():
    def right_backward(dy, cache):
        x, w, z = cache
        dz = dy * (z > 0)
        return dz @ w.T, x.T @ dz

    report = gradcheck.check_pair(pair_forward, right_backward, **normal(x=(4, 3), w=(3, 5)))
    assert report.ok and report.place is None and report.fix is None
