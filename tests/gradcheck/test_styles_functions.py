"""Closures, pairs and losses in the ways that people write them: called without glue, passed when
right and caught when wrong; single precision, constants and zero derivatives among them."""

import numpy as np
import pytest

from autocnn import gradcheck

R = np.random.default_rng(0)
X = R.normal(size=(5, 4))
CASES = []


def show(name, thunk, ok=True, leaves=(), codes=()):
    CASES.append(pytest.param(thunk, ok, set(leaves), set(codes), id=name))


W = R.normal(size=(4, 3))
b = np.zeros(3)
T = R.normal(size=(5, 3))
Y = np.array([0, 1, 2, 1, 0])


def lossgs(W, b):
    d = X @ W + b - T
    return (d**2).sum() / 2, X.T @ d, d.sum(0)


show("(loss,g1,g2)", lambda: gradcheck.check(lossgs, W=W, b=b))
show(
    "(grads,loss)",
    lambda: gradcheck.check(
        lambda W, b: (
            {"dW": X.T @ (X @ W + b - T), "db": (X @ W + b - T).sum(0)},
            float(((X @ W + b - T) ** 2).sum() / 2),
        ),
        W=W,
        b=b,
    ),
)
show(
    "(grads tuple,loss)",
    lambda: gradcheck.check(
        lambda W, b: (
            (X.T @ (X @ W + b - T), (X @ W + b - T).sum(0)),
            float(((X @ W + b - T) ** 2).sum() / 2),
        ),
        W=W,
        b=b,
    ),
)
show(
    "data args",
    lambda: gradcheck.check(
        lambda X, y, W: (((X @ W - y) ** 2).sum() / 2, {"W": X.T @ (X @ W - y)}), X=X, y=T, W=W
    ),
    True,
    ["W"],
)
show(
    "y1,y2,backward",
    lambda: gradcheck.check(lambda x: (2 * x, x * x, lambda d1, d2: 2 * d1 + 2 * x * d2), x=X),
)
show(
    "y1,y2,backward tuple",
    lambda: gradcheck.check(lambda x: ((2 * x, x * x), lambda d: 2 * d[0] + 2 * x * d[1]), x=X),
)


def lin(x, w, b):
    return x @ w + b, (x, w, b)


show(
    "pair order wrong",
    lambda: gradcheck.check_pair(
        lin, lambda dy, c: (c[0].T @ dy, dy.sum(0), dy @ c[1].T), x=X, w=W, b=b
    ),
    False,
)
show(
    "pair cache first",
    lambda: gradcheck.check_pair(
        lin, lambda cache, dy: (dy @ cache[1].T, cache[0].T @ dy, dy.sum(0)), x=X, w=W, b=b
    ),
)
show(
    "pair spread cache",
    lambda: gradcheck.check_pair(
        lin, lambda dy, x, w, b: (dy @ w.T, x.T @ dy, dy.sum(0)), x=X, w=W, b=b
    ),
)
show(
    "pair y only",
    lambda: gradcheck.check_pair(
        lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, x.T @ dy), x=X, w=W
    ),
)
show(
    "loss+gradient pair",
    lambda: gradcheck.check_pair(lambda w: (w**3).sum(), lambda w: 3 * w * w, w=W),
)
show(
    "loss+gradient vjp",
    lambda: gradcheck.check_vjp(
        lambda w, x: ((x @ w) ** 2).sum(), lambda w, x: (2 * x.T @ (x @ w), 2 * (x @ w) @ w.T), W, X
    ),
)
show(
    "loss+gradient wrt",
    lambda: gradcheck.check_vjp(
        lambda w, x: ((x @ w) ** 2).sum(), lambda w, x: 2 * x.T @ (x @ w), W, X, wrt="w"
    ),
    True,
    ["w"],
)
show(
    "two outputs tuple dy",
    lambda: gradcheck.check_pair(
        lambda x: (x * 2, x * x, x), lambda d, c: 2 * d[0] + 2 * c * d[1], x=X
    ),
)


def bn(x, gamma, beta, bn_param):
    m = x.mean(0)
    v = x.var(0) + 1e-5
    h = (x - m) / np.sqrt(v)
    bn_param["running_mean"] = 0.9 * bn_param.get("running_mean", np.zeros(4)) + 0.1 * m
    return gamma * h + beta, (h, gamma, v)


def bnb(dy, c):
    h, g, v = c
    dh = dy * g
    return (dh - dh.mean(0) - h * (dh * h).mean(0)) / np.sqrt(v), (dy * h).sum(0), dy.sum(0)


show(
    "bn_param",
    lambda: gradcheck.check_pair(
        bn,
        bnb,
        x=X,
        gamma=np.ones(4),
        beta=np.zeros(4),
        bn_param={"mode": "train", "running_mean": np.zeros(4)},
    ),
)
show(
    "bn swapped",
    lambda: gradcheck.check_pair(
        bn,
        lambda d, c: (bnb(d, c)[0], bnb(d, c)[2], bnb(d, c)[1]),
        x=X,
        gamma=np.ones(4),
        beta=np.zeros(4),
        bn_param={"mode": "train"},
    ),
    False,
)
show(
    "params dict",
    lambda: gradcheck.check(
        lambda params, X: (
            X @ params["W"] + params["b"],
            lambda dy: (dict(W=X.T @ dy, b=dy.sum(0)), dy @ params["W"].T),
        ),
        params=dict(W=W, b=b),
        X=X,
    ),
    True,
    ["params.W", "X"],
)
show(
    "params dict loss",
    lambda: gradcheck.check(
        lambda params: (
            ((X @ params["W"] + params["b"]) ** 2).sum() / 2,
            {
                "dW": X.T @ (X @ params["W"] + params["b"]),
                "db": (X @ params["W"] + params["b"]).sum(0),
            },
        ),
        params=dict(W=W, b=b),
    ),
    True,
    ["params.W"],
)
show(
    "params list",
    lambda: gradcheck.check(
        lambda p: (
            ((X @ p[0] + p[1]) ** 2).sum() / 2,
            [X.T @ (X @ p[0] + p[1]), 2 * (X @ p[0] + p[1]).sum(0)],
        ),
        p=[W, b],
    ),
    False,
    ["p[0]", "p[1]"],
    ["scale"],
)
show(
    "f32 tanh layer",
    lambda: gradcheck.check(
        lambda x: (
            (y := np.tanh(x).astype(np.float32)),
            lambda d: (d * (1 - y * y)).astype(np.float32),
        ),
        x=X,
    ),
)


def lsm(x):
    x = x.astype("f")
    z = x - x.max(1, keepdims=True)
    y = z - np.log(np.exp(z).sum(1, keepdims=True))
    return y, lambda d: d - np.exp(y) * d.sum(1, keepdims=True)


show("f32 logsoftmax", lambda: gradcheck.check(lsm, x=X))
show("f32 logsoftmax big", lambda: gradcheck.check(lsm, x=30 * X))
show(
    "f32 lsm bug",
    lambda: gradcheck.check(lambda x: (lsm(x)[0], lambda d: d - np.exp(lsm(x)[0]) * d), x=X),
    False,
)


def internal32(x, w):
    h = np.tanh((x @ w).astype(np.float32)).astype(np.float64)
    return h * h, lambda d: {
        "x": (2 * h * d * (1 - h * h)) @ w.T,
        "w": x.T @ (2 * h * d * (1 - h * h)),
    }


show("f32 internal", lambda: gradcheck.check(internal32, x=X, w=W))
show(
    "f32 internal bug",
    lambda: gradcheck.check(
        lambda x, w: (
            internal32(x, w)[0],
            lambda d: {"x": internal32(x, w)[1](d)["x"], "w": -internal32(x, w)[1](d)["w"]},
        ),
        x=X,
        w=W,
    ),
    False,
    (),
    (),
)


def f32mean(x):
    if x.dtype != np.float32:
        raise TypeError("f32 only")
    return (x * x).mean(), lambda d: d * 2 * x / np.float32(x.size)


show("f32 only mean", lambda: gradcheck.check(f32mean, x=X.astype("f")))
show(
    "f32 only mean bug",
    lambda: gradcheck.check(
        lambda x: (f32mean(x)[0], lambda d: d * x / np.float32(x.size)), x=X.astype("f")
    ),
    False,
    (),
    ["scale"],
)
show("none zero", lambda: gradcheck.check(lambda x: (np.sign(x) * 1.0, lambda d: None), x=X))
show(
    "none for real",
    lambda: gradcheck.check(lambda x: (x * 1.0, lambda d: None), x=X),
    False,
    (),
    ["missing"],
)
g = np.random.default_rng(1)


class Cfg:
    rng = np.random.default_rng(3)


cfg = Cfg()
cfg.gen = np.random.default_rng(4)


def dropo(x):
    m = (cfg.gen.random(x.shape) < 0.5) * 2.0
    return x * m, lambda d: d * m


show("gen in object", lambda: gradcheck.check(dropo, x=X))


def eps1(x):
    p = 1 / (1 + np.exp(-x))
    return -np.log(p + 1e-8).sum(), {"x": p - 1}


show("eps 1e-8", lambda: gradcheck.check(eps1, x=X), True)


def gel(x):
    return (
        0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3))),
        lambda d: (
            d
            * (
                0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
                + 0.5
                * x
                * (1 - np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)) ** 2)
                * np.sqrt(2 / np.pi)
                * (1 + 3 * 0.044715 * x * x)
            )
        ),
    )


show("rounded const", lambda: gradcheck.check(gel, x=X), True)


def l2n(x):
    n = np.sqrt((x * x).sum(1, keepdims=True) + 1e-12)
    h = x / n
    return h, lambda d: (d - h * (d * h).sum(1, keepdims=True)) / n


show("l2norm eps", lambda: gradcheck.check(l2n, x=X), True)
show(
    "dtype more",
    lambda: gradcheck.check(lambda x: (x * x, lambda d: 2 * x.astype(float) * d), x=X.astype("f")),
    True,
)


@pytest.mark.parametrize(("thunk", "ok", "leaves", "codes"), CASES)
def test_style(thunk, ok, leaves, codes):
    report = thunk()
    assert report.ok == ok, str(report)
    assert leaves <= set(report.leaves), str(report)
    assert all(leaf.verdict != "unresolved" for leaf in report.leaves.values()), str(report)
    assert not codes or codes & {c.code for c in report.causes}, str(report)


@pytest.mark.parametrize(
    ("thunk", "words"),
    [
        (lambda: gradcheck.check(lossgs, W, b), r"by name: check\(lossgs, W=..., b=...\)"),
        (lambda: gradcheck.check(lin, lambda dy, c: dy, x=X), r"check_pair\(lin, <lambda>, x=x\)"),
        (lambda: gradcheck.check_pair(lin, lambda dy: dy, x=X, w=W, b=b), "takes .dy."),
        (lambda: gradcheck.check(lossgs, wrt=("V",), W=W, b=b), "wrt names V"),
    ],
)
def test_wrong_calls_are_answered_with_the_right_one(thunk, words):
    with pytest.raises(ValueError, match=words):
        thunk()
