"""Further ways in which people write backward passes: generators, partials, gradients in an order
that their names tell, layers that update themselves, arguments passed by name."""

import functools

import numpy as np
import pytest

from autocnn import gradcheck
from autocnn.gradcheck.named_edits import what_was_wrong

R = np.random.default_rng(0)
X, W, B = R.normal(size=(5, 4)), R.normal(size=(4, 3)), R.normal(size=3)


# ---- functions


def yielding(x, w, factor=1.0):
    dy = yield np.tanh(x @ w)
    dz = dy * (1 - np.tanh(x @ w) ** 2)
    yield dz @ w.T, factor * (x.T @ dz)


def returning(x, w):
    dy = yield x @ w
    return {"x": dy @ w.T, "w": x.T @ dy}


def two_yielded(x):
    da, db = yield 2 * x, x * x
    yield 2 * da + 2 * x * db


def test_generators():
    assert gradcheck.check(yielding, x=X, w=W).ok
    assert gradcheck.check(returning, x=X, w=W).ok
    assert gradcheck.check(two_yielded, x=X).ok
    wrong = gradcheck.check(functools.partial(yielding, factor=2.0), x=X, w=W)
    assert not wrong.ok and wrong.causes[0].code == "scale"


def _affine_grad(x, w, sign, dy):
    dx = dy @ w.T
    dw = sign * x.T @ dy
    return dx, dw


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_partials_are_followed_to_the_line(sign):
    def affine(x, w):
        return x @ w, functools.partial(_affine_grad, x, w, sign)

    report = gradcheck.check(affine, x=X, w=W)
    assert report.ok == (sign > 0)
    assert sign > 0 or "dw" in report.place.text


def affine(x, w, b):
    return x @ w + b, (x, w)


def parameters_first(dy, cache):
    x, w = cache
    dw, db = x.T @ dy, dy.sum(axis=0)
    dx = dy @ w.T
    return dw, db, dx


def one_is_wrong(dy, cache):
    dw, db, dx = parameters_first(dy, cache)
    db = db / len(dy)
    return db, dw, dx


def test_an_order_that_the_names_tell():
    report = gradcheck.check_pair(affine, parameters_first, x=X, w=W, b=B)
    assert report.ok and any("returned as dw, db, dx" in note for note in report.notes)
    wrong = gradcheck.check_pair(affine, one_is_wrong, x=X, w=W, b=B)
    assert [c.leaf for c in wrong.errors] == ["b"] and wrong.errors[0].code == "scale"


def test_names_do_not_excuse_gradients_of_one_shape():
    def scale(x, gamma, beta):
        return x * gamma + beta, (x, gamma)

    def back(dy, cache):
        x, gamma = cache
        return dy * gamma, dy.sum(0), (dy * x).sum(0)

    def back_named(dy, cache):
        x, gamma = cache
        dx, dgamma, dbeta = dy * gamma, (dy * x).sum(0), dy.sum(0)
        return dx, dbeta, dgamma

    for backward in (back, back_named):
        report = gradcheck.check_pair(scale, backward, x=X, gamma=R.normal(size=4), beta=X[0])
        assert not report.ok and "another order" in report.causes[0].message


def test_outputs_alone_are_not_a_cache():
    kept = {}

    def forward(x, h):
        kept["x"], kept["h"] = x, h
        return x * h, x + h

    def backward(dy, dz):
        return dy * kept["h"] + dz, dy * kept["x"] + dz

    assert gradcheck.check_pair(forward, backward, x=X, h=X + 1).ok
    assert not gradcheck.check_pair(forward, lambda dy, dz: (dy, dz), x=X, h=X + 1).ok


def test_a_pair_may_write_into_its_cache():
    def forward(x):
        y = np.tanh(x)
        return y.copy(), y

    def backward(dy, y):
        y *= y
        return dy * (1 - y)

    report = gradcheck.check_pair(forward, backward, x=X)
    assert report.ok and [c.code for c in report.warnings] == ["mutates-input"]


def test_arguments_of_backward_by_their_names():
    class Context:
        saved = ()

    def forward(params, x):
        return x @ params["w"], {"x": x}

    def back_prop(params, cache, dy):
        return {"w": cache["x"].T @ dy, "x": dy @ params["w"].T}

    assert gradcheck.check_pair(forward, back_prop, params={"w": W}, x=X).ok

    def product(ctx, x, w):
        ctx.saved = (x, w)
        return x @ w

    def product_backward(ctx, grad_output):
        x, w = ctx.saved
        return grad_output @ w.T, x.T @ grad_output

    assert gradcheck.check_pair(product, product_backward, ctx=Context(), x=X, w=W).ok

    def both(x, w):
        return x @ w, x * 2

    def both_vjp(dy, dz, x, w):
        return dy @ w.T + 2 * dz, x.T @ dy

    assert gradcheck.check_vjp(both, both_vjp, X, W).ok


@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_float32_inside_and_float64_at_the_end(factor):
    def attention(x, w):
        x, w = x.astype(np.float32), w.astype(np.float32)
        q = x @ w
        s = q @ q.T / np.sqrt(3)  # float64 from here on
        e = np.exp(s - s.max(axis=1, keepdims=True))
        a = e / e.sum(axis=1, keepdims=True)

        def backward(dy):
            ds = a * (dy - (dy * a).sum(axis=1, keepdims=True)) / np.sqrt(3)
            dq = ds @ q + ds.T @ q
            return {"x": dq @ w.T, "w": factor * (x.T @ dq)}

        return a, backward

    for seed in range(3):
        rng = np.random.default_rng(seed)
        arrays = {"x": rng.normal(size=(5, 4)), "w": rng.normal(size=(4, 3))}
        assert gradcheck.check(attention, quick=True, **arrays).ok == (factor == 1.0)


# ---- objects that update themselves


class OwnRate:
    def __init__(self, factor=1.0):
        self.w, self.lr, self.factor = W.copy(), 0.01, factor

    def forward(self, x):
        self.x = x
        return x @ self.w

    def backward(self, dy):
        dx = dy @ self.w.T
        self.w = self.w - self.lr * self.factor * self.x.T @ dy
        return dx


class Momentum:
    def __init__(self):
        self.learning_rate, self.momentum, self.step = 0.1, 0.9, 0.0

    def update(self, w, g):
        self.step = self.momentum * self.step + g
        return w - self.learning_rate * self.step


class Adam:
    def __init__(self):
        self.learning_rate, self.m, self.v = 0.1, 0.0, 0.0

    def update(self, w, g):
        self.m, self.v = 0.1 * g, 0.01 * g * g
        return w - self.learning_rate * (self.m / 0.1) / (np.sqrt(self.v / 0.01) + 1e-8)


class Optimized(OwnRate):
    def __init__(self, optimizer, factor=1.0):
        super().__init__(factor)
        del self.lr
        self.optimizer = optimizer

    def backward(self, dy):
        dx = dy @ self.w.T
        self.w = self.optimizer.update(self.w, self.factor * self.x.T @ dy)
        return dx


@pytest.mark.parametrize(
    ("make", "factor"),
    [(OwnRate, 1.0), (OwnRate, 2.0)]
    + [(functools.partial(Optimized, Momentum()), f) for f in (1.0, 2.0)],
)
def test_a_rate_of_the_layers_own(make, factor):
    layer = make(factor=factor)
    report = gradcheck.check_object(layer, X)
    assert set(report.leaves) == {"x", "w"} and report.ok == (factor == 1.0), str(report)
    assert np.array_equal(layer.w, W)
    assert factor == 1.0 or report.causes[0].code == "scale"


def test_steps_that_are_no_gradient_are_said_not_to_be_compared():
    report = gradcheck.check_object(Optimized(Adam()), X)
    assert report.ok and "w" in report.uncompared
    assert [c.code for c in report.warnings if "w:" in c.message] == ["uncompared"], str(report)


# ---- tapes that start from ones unless they are told


class Node:
    def __init__(self, data, back=None):
        self.data, self.grad, self.back = data, None, back

    def backward(self):
        if self.grad is None:
            self.grad = np.ones_like(self.data)
        if self.back:
            self.back(self.grad)


def forgets_dy(x):
    def back(dy):
        x.grad = 2.0 * np.ones_like(x.data)

    return Node(2.0 * x.data, back)


def centred(x):
    def back(dy):
        x.grad = dy - dy.mean()

    return Node(x.data - x.data.mean(), back)


def test_a_tape_is_started_from_other_numbers_than_ones():
    assert not gradcheck.check_tape(forgets_dy, Node, x=X).ok
    report = gradcheck.check_tape(centred, Node, x=X)
    assert report.leaves["x"].verdict == "agree"


# ---- names read off a verified edit


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        ("dv = a @ dy", "dv = a.T @ dy", "transposed"),
        ("ds = a * da", "ds = a * da / np.sqrt(k.shape[1])", "scale"),
        ("dw = x.T @ dy / len(x)", "dw = x.T @ dy", "scale"),
        ("dx = dq @ wq.T", "dx = dq @ wq.T + dv @ wv.T", "missing-path"),
        ("dx = a + b", "dx = a", "additive"),
        ("dc = d * i", "dc = d * f", "wrong-operand"),
        ("dx = g * (x > 0)", "dx = g", "mask"),
        ("dx = g", "dx = g * (x > 0)", "mask"),
        ("dx = g * (x >= 1)", "dx = g * (x > 1)", "mask"),
        ("dx = a + b", "dx = a - b", "sign"),
        ("dx -= b", "dx += b", "sign"),
        ("dx = b", "dx = -b", "sign"),
        ("d[i] = b", "d[i] += b", "overwritten"),
        ("db = dy.mean(axis=0)", "db = dy.sum(axis=0)", "scale"),
        ("db = dy.sum(axis=1)", "db = dy.sum(axis=0)", "broadcast"),
        ("for i in range(n - 1):", "for i in range(n):", "partial"),
        ("dw = x[:-1].T", "dw = x[:].T", "partial"),
        ("d[j] += g", "d[i] += g", "permuted"),
    ],
)
def test_what_an_edit_says(before, after, code):
    assert what_was_wrong(before, after).code == code
