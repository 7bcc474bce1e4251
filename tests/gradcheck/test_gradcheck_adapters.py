"""The ways in which backward passes are written: pair, object, vjp; torch and jax; whole
networks.
"""

import json

import numpy as np
import pytest

import autocnn as ac
import reference
from autocnn import gradcheck

RNG = np.random.default_rng(0)
X, W = RNG.standard_normal((5, 4)), RNG.standard_normal((4, 3))


def forward(x, w, param):
    y = np.maximum(x @ w, 0) * param["gain"]
    return y, (x, w, y, param)


def backward(dy, cache):
    x, w, y, param = cache
    dh = dy * (y > 0) * param["gain"]
    return dh @ w.T, x.T @ dh


def test_pair():
    assert gradcheck.check_pair(forward, backward, x=X, w=W, param={"gain": 2.0}).ok
    wrong = gradcheck.check_pair(
        forward,
        lambda dy, c: (backward(dy, c)[0], backward(dy, c)[1] / 2.0),
        x=X,
        w=W,
        param={"gain": 2.0},
    )
    assert wrong.causes[0].code == "scale" and "gain" in wrong.causes[0].message

    def spoils(dy, cache):
        dx, dw = backward(dy, cache)
        cache[2][...] = 0
        return dx, dw

    report = gradcheck.check_pair(forward, spoils, x=X, w=W, param={"gain": 2.0})
    assert {c.code for c in report.causes} == {"mutates-input"}


def test_vjp():
    assert gradcheck.check_vjp(lambda x, w: x @ w, lambda dy, x, w: (dy @ w.T, x.T @ dy), X, W).ok
    report = gradcheck.check_vjp(lambda a, b: a @ b, lambda dy, a, b: (dy @ b.T, -a.T @ dy), X, W)
    assert [(c.code, c.leaf) for c in report.causes] == [("sign", "b")]


class Dense:
    def __init__(self, mistake=""):
        self.weights, self.bias, self.mistake = W.copy(), np.ones(3), mistake
        self.running = np.zeros(3)
        self.d_weights = np.zeros_like(W)

    def forward(self, x):
        self.x = x
        self.running = 0.9 * self.running + 0.1 * x.mean()
        return x @ self.weights + self.bias

    def backward(self, dy):
        if self.mistake == "accumulates":
            self.d_weights += self.x.T @ dy
        else:
            self.d_weights = self.x.T @ dy
        self.d_bias = dy.sum() if self.mistake == "shape" else dy.sum(axis=0)
        return dy @ self.weights.T


def test_object():
    report = gradcheck.check_object(Dense(), X)
    assert report.ok and list(report.leaves) == ["x", "weights", "bias"]
    assert any("running" in note for note in report.notes)
    for mistake in ("accumulates", "shape"):
        assert [c.code for c in gradcheck.check_object(Dense(mistake), X).causes] == [mistake]
    with pytest.raises(ValueError, match="no method forward"):
        gradcheck.check_object(object(), X)


class Parameters:
    """Parameters and gradients in dicts."""

    def __init__(self):
        self.params, self.grads = {"w": W.copy()}, {}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"]

    def backward(self, dy):
        self.grads["w"] = 2 * self.x.T @ dy
        return dy @ self.params["w"].T


def test_object_with_dicts():
    report = gradcheck.check_object(Parameters(), X)
    assert [(c.code, c.leaf, c.factor) for c in report.causes] == [
        ("scale", "w", pytest.approx(2.0))
    ]


def test_torch():
    torch = pytest.importorskip("torch")

    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, dy):
            return dy * 2 * ctx.saved_tensors[0] ** 2

    report = gradcheck.check(Cube, x=torch.tensor(X))
    assert report.causes[0].code == "scale" and report.causes[0].factor == pytest.approx(2 / 3)
    assert gradcheck.check(lambda x, w: torch.tanh(x @ w), x=torch.tensor(X), w=torch.tensor(W)).ok


def test_jax():
    jax = pytest.importorskip("jax")
    assert gradcheck.check(lambda x: jax.numpy.tanh(x), x=jax.numpy.asarray(X)).ok


# ---- networks


def test_a_network_agrees_leaf_by_leaf():
    report = gradcheck.check_model(ac.models.tiny_cnn, (1, 8, 8))
    assert report.ok and list(report.leaves) == ["x", "0.w", "0.b", "4.w", "4.b"]
    for leaf in report.leaves.values():
        assert (
            leaf.witnesses["autograd"] > 12
            and leaf.witnesses["reference"] > 12
            and leaf.witnesses["entrywise"] > 12
        )
    assert "entrywise" in str(report) and json.loads(report.to_json())["ok"]
    assert all(len(line) <= 120 for line in report.text(80).splitlines()[:-1])


def broken(part, change):
    """The layer with dy changed on its way back."""

    def backprop(params, state, x, train, key):
        y, after, back = part.pullback(params, state, x, train, key)
        return y, after, lambda dy: back(change(dy))

    return reference.Layer(part.name, part.options, part.init, backprop=backprop, parts=part.parts)


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_the_broken_layer_is_named(at):
    def build(nn):
        parts = [
            nn.conv(3, 3),
            nn.relu(),
            nn.max_pool(2),
            nn.serial(nn.residual(nn.conv(3, 3, padding=1)), nn.tanh()),
        ]
        if nn is reference:
            parts[at] = broken(parts[at], lambda dy: 2 * dy)
        return nn.serial(*parts, nn.flatten(), nn.dense(3))

    report = gradcheck.check_model(build, (2, 8, 8), seed=at)
    assert not report.ok and report.broken == str(at), str(report)
    assert all(c.code == "scale" for c in report.causes) and report.leaves["5.w"].verdict == "agree"
    assert all("autograd" not in leaf.notes for leaf in report.leaves.values())


def test_a_broken_layer_inside_a_block():
    def build(nn):
        relu = broken(nn.relu(), lambda dy: -dy) if nn is reference else nn.relu()
        block = nn.serial(nn.conv(4, 3, padding=1), nn.batch_norm(), relu, nn.conv(2, 1))
        return nn.serial(nn.residual(block), nn.global_avg_pool(), nn.dense(3))

    report = gradcheck.check_model(build, (2, 6, 6), batch=4)
    assert report.broken == "0.main.2" and report.causes[0].code == "sign"


def test_a_broken_layer_inside_a_concat():
    def build(nn):
        relu = broken(nn.relu(), lambda dy: -dy) if nn is reference else nn.relu()
        paths = nn.identity(), nn.serial(nn.conv(4, 3, padding=1), relu)
        return nn.serial(nn.concat(*paths), nn.global_avg_pool(), nn.dense(3))

    report = gradcheck.check_model(build, (2, 6, 6), batch=4)
    assert report.broken == "0.1.1" and report.causes[0].code == "sign"


def test_models_by_themselves():
    model = ac.models.tiny_mlp(nn=reference)
    assert set(gradcheck.check_model(model, (1, 4, 4)).columns) >= {"reference*", "autograd"}
    odd = reference.serial(broken(reference.flatten(), lambda dy: dy * 3), reference.dense(2))
    report = gradcheck.check_model(odd, (1, 2, 2))
    assert report.broken == "0" and report.leaves["x"].verdict == "wrong"
    with pytest.raises(ValueError, match="needs a builder"):
        gradcheck.check_model(3, (1, 8, 8))


def test_dropout_and_evaluation():
    def build(nn):
        return nn.serial(nn.flatten(), nn.dense(6), nn.batch_norm(), nn.dropout(0.5), nn.dense(2))

    assert gradcheck.check_model(build, (1, 4, 4), batch=6).ok
    assert gradcheck.check_model(build, (1, 4, 4), train=False).ok
