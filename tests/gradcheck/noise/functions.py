"""Functions whose results differ from call to call by 1e-7, as sums in varying order do, and ones
that differ by more. WRONG: name -> (function, arguments, codes that name the mistake).
"""

import itertools

import numpy as np

RNG = np.random.default_rng(3)
X, W, B = RNG.standard_normal((4, 6)), RNG.standard_normal((6, 3)), RNG.standard_normal(3)
SIZE = 1e-7
CALLS = [itertools.count()]


def fresh():
    """Other numbers at each call, and the same ones in each test."""
    return np.random.default_rng(next(CALLS[0]))


def shake(a, size=SIZE):
    """Another last digit of float32 at each call: fresh numbers, which no seed fixes."""
    noise = fresh().standard_normal(np.shape(a))
    return a * (1 + size * noise)


def atomic_sum(a, axis):
    """A sum in float32, in another order each time."""
    order = fresh().permutation(a.shape[axis])
    total = np.zeros(np.delete(a.shape, axis), np.float32)
    for k in order:
        total = total + np.take(a, k, axis).astype(np.float32)
    return total.astype(np.float64)


def dense(db, dw=1.0, dx=1.0, forward=shake):
    def f(x, w, b):
        def backward(dy):
            return (shake(dx * (dy @ w.T)), shake(dw * (x.T @ dy)), shake(db(dy)))

        return forward(x @ w + b), backward

    return f, {"x": X, "w": W, "b": B}


def softmax(term):
    def f(x):
        p = np.exp(x - x.max(1, keepdims=True))
        p = p / p.sum(1, keepdims=True)
        return shake(p), lambda dy: shake(p * (dy - term * (dy * p).sum(1, keepdims=True)))

    return f, {"x": X}


def tanh(slope):
    return lambda x: (np.tanh(x), lambda dy: shake(dy * slope(x))), {"x": X}


def relu(mask):
    return lambda x: (shake(np.maximum(x, 0)), lambda dy: shake(dy * mask(x))), {"x": X}


def layer_norm(cross):
    def f(x, g):
        m, v = x.mean(1, keepdims=True), x.var(1, keepdims=True)
        s = np.sqrt(v + 1e-5)
        h = (x - m) / s

        def backward(dy):
            d = dy * g
            dx = d - d.mean(1, keepdims=True) - cross * h * (d * h).mean(1, keepdims=True)
            return shake(dx / s), shake((dy * h).sum(0))

        return shake(h * g), backward

    return f, {"x": X, "g": 1 + 0.1 * RNG.standard_normal(6)}


def atomic(factor):
    def f(x, w):
        y = np.stack([atomic_sum(x[i][:, None] * w, 0) for i in range(len(x))])

        def backward(dy):
            return dy @ w.T, factor * np.stack(
                [atomic_sum(x * dy[:, j : j + 1], 0) for j in range(w.shape[1])], 1
            )

        return y, backward

    return f, {"x": X, "w": W}


def seeded(size):
    """Noise of the global generator: the checker rewinds it, and it is noise all the same."""

    draw = np.random.standard_normal

    def f(x):
        y = np.sin(x) * (1 + size * draw(x.shape))
        return y, lambda dy: dy * np.cos(x) * (1 + size * draw(x.shape))

    return f, {"x": X}


class Layer:
    """An object with fresh noise in both passes."""

    def __init__(self, factor=1.0):
        self.w, self.dw, self.factor = W.copy(), np.zeros_like(W), factor

    def forward(self, x):
        self.x = x
        return shake(x @ self.w)

    def backward(self, dy):
        self.dw = shake(self.factor * (self.x.T @ dy))
        return shake(dy @ self.w.T)


def whole(dy):
    return dy.sum(0)


RIGHT = {
    "dense": dense(whole),
    "softmax": softmax(1.0),
    "tanh": tanh(lambda x: 1 - np.tanh(x) ** 2),
    "relu": relu(lambda x: x > 0),
    "layer norm": layer_norm(1.0),
    "atomic": atomic(1.0),
    "seeded": seeded(SIZE),
    "small": (lambda x: (shake(x**3, 1e-10), lambda dy: shake(3 * dy * x**2, 1e-10)), {"x": X}),
    "large": (lambda x: (shake(x**3, 1e-5), lambda dy: shake(3 * dy * x**2, 1e-5)), {"x": X}),
}
WRONG = {
    "dense, mean for sum": (*dense(lambda dy: dy.mean(0)), {"scale"}),
    "dense, sign": (*dense(whole, dw=-1.0), {"sign"}),
    "dense, one per cent": (*dense(whole, dx=1.01), {"scale"}),
    "dense, one part in 2000": (*dense(whole, dx=1.0005), None),
    "softmax, diagonal": (*softmax(0.0), {"missing-path", "wrong-operand"}),
    "tanh without slope": (*tanh(lambda x: 1.0), {"slope", "wrong-operand"}),
    "tanh, slope at x": (*tanh(lambda x: 1 - x**2), {"slope", "wrong-operand"}),
    "relu without mask": (*relu(lambda x: 1.0), {"mask"}),
    "layer norm, variance": (*layer_norm(0.0), {"missing-path"}),
    "atomic, factor": (*atomic(2.0), {"scale"}),
}


def dropout(x):
    """A fresh mask at each call: another function each time, not noise."""
    mask = fresh().random(x.shape) > 0.5
    return x * mask, lambda dy: dy * mask


def fresh_mask_in_backward(x):
    return 2 * x, lambda dy: 2 * dy * (fresh().random(x.shape) > 0.3)


def torch_dense(factor):
    """torch.autograd.Function whose sums come in another order each time."""
    import torch

    class Dense(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return torch_shake(x @ w)

        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            return torch_shake(dy @ w.T), torch_shake(factor * (x.T @ dy))

    return Dense, {"x": torch.tensor(X), "w": torch.tensor(W)}


def torch_shake(a):
    import torch

    return a * (1 + SIZE * torch.tensor(fresh().standard_normal(tuple(a.shape))))


def jax_square(factor):
    """A custom_vjp rule with noise."""
    import jax
    import jax.numpy as jnp

    @jax.custom_vjp
    def f(x):
        return x * x

    def noisy(a):
        return a * (1 + SIZE * jnp.asarray(fresh().standard_normal(a.shape)))

    f.defvjp(lambda x: (noisy(x * x), x), lambda x, dy: (noisy(2 * factor * x * dy),))
    return lambda x: f(x), {"x": jnp.asarray(X)}


def pair(factor):
    def forward(x, w):
        return shake(x @ w), (x, w)

    def backward(dy, cache):
        x, w = cache
        return shake(dy @ w.T), shake(factor * (x.T @ dy))

    return forward, backward


KERNELS = {"float64": SIZE, "float32": 3e-6}


def kernel(size, factor, drop=0.0):
    """y = x w, and backward with noise; `drop` is the share of entries that a race loses."""

    def target(x, w):
        def backward(dy):
            lost = fresh().random(w.shape) < drop
            return {
                "x": shake(dy @ w.T, size).astype(x.dtype),
                "w": np.where(lost, 0, shake(factor * (x.T @ dy), size)).astype(x.dtype),
            }

        return x @ w, backward

    def reference(x, w):
        return x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy}

    return target, reference
