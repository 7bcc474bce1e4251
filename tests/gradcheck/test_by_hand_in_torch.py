"""Backward passes by hand on torch tensors, without autograd: layers, pairs, losses, vjps."""

import sys
import types

import numpy as np
import pytest

from autocnn import gradcheck

torch = pytest.importorskip("torch")

LAYERS = """
import torch


class Gated:
    def __init__(self, dtype=torch.float64):
        gen = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3, 4, generator=gen, dtype=dtype)
        self.gate = torch.randn(3, 4, generator=gen, dtype=dtype)
        self.grads = {}

    def forward(self, x):
        self.x, self.s = x, torch.sigmoid(x @ self.gate)
        self.h = x @ self.weight
        return self.h * self.s

    def backward(self, dy):
        dh = dy * self.s
        ds = dy * self.h * self.s * (1 - self.s)
        self.grads["weight"] = self.x.T @ dh
        self.grads["gate"] = self.x.T @ ds
        return dh @ self.weight.T + ds @ self.gate.T


def scale_forward(x, g):
    norm = x.norm(dim=1, keepdim=True)
    return g * x / norm, (x, g, norm)


def scale_backward(dy, cache):
    x, g, norm = cache
    u = x / norm
    du = dy * g
    dx = (du - u * (du * u).sum(1, keepdim=True)) / norm
    return dx, (dy * u).sum(0)


def cross_entropy(logits, target):
    logp = logits - torch.logsumexp(logits, 1, keepdim=True)
    n = len(target)
    grad = logp.exp()
    grad[torch.arange(n), target] -= 1
    return -logp[torch.arange(n), target].mean(), grad / n


def softplus(x):
    return torch.log1p(torch.exp(x))


def softplus_vjp(dy, x):
    return dy * torch.sigmoid(x)


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return torch.tanh(x) * w

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        t = torch.tanh(x)
        return dy * w * (1 - t * t), (dy * t).sum(0)
"""


def layers(tmp_path, before: str = "", after: str = "") -> types.ModuleType:
    """The module above with one edit, in a file, so that its source can be followed."""
    assert not before or LAYERS.count(before) == 1
    path = tmp_path / "torch_layers.py"
    path.write_text(LAYERS.replace(before, after) if before else LAYERS)
    module = types.ModuleType("torch_layers")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


def tensor(*shape: int, seed: int = 0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def check(m: types.ModuleType, which: str, **options) -> gradcheck.Report:
    if which == "object":
        return gradcheck.check_object(m.Gated(), tensor(5, 3), **options)
    if which == "pair":
        pair = m.scale_forward, m.scale_backward
        return gradcheck.check_pair(*pair, x=tensor(4, 3), g=tensor(3, seed=1), **options)
    if which == "loss":
        target = torch.tensor([0, 2, 2, 1])
        return gradcheck.check(m.cross_entropy, logits=tensor(4, 3), target=target, **options)
    if which == "apply":
        return gradcheck.check(m.Scaled.apply, x=tensor(4, 3), w=tensor(3, seed=1), **options)
    return gradcheck.check_vjp(m.softplus, m.softplus_vjp, tensor(4, 3), **options)


@pytest.mark.parametrize("which", ["object", "pair", "loss", "vjp", "apply"])
def test_right_code_is_called_as_it_is_and_agrees(tmp_path, which):
    report = check(layers(tmp_path), which)
    assert report.ok, report
    assert not report.uncompared
    assert all(leaf.verdict == "agree" for leaf in report.leaves.values())


def test_every_parameter_of_a_layer_of_tensors_is_compared(tmp_path):
    assert set(check(layers(tmp_path), "object").leaves) == {"x", "weight", "gate"}


def test_float32_layers_are_checked_too(tmp_path):
    report = gradcheck.check_object(layers(tmp_path).Gated(torch.float32), tensor(5, 3).float())
    assert report.ok, report


WRONG = [
    pytest.param(
        "object",
        "ds = dy * self.h * self.s * (1 - self.s)",
        "ds = dy * self.h * (1 - self.s)",
        marks=pytest.mark.slow,
    ),
    ("object", 'self.grads["gate"] = self.x.T @ ds', 'self.grads["gate"] = self.x.T @ dh'),
    ("pair", "du = dy * g", "du = dy"),
    ("loss", "grad / n", "grad"),
    ("vjp", "dy * torch.sigmoid(x)", "dy * torch.sigmoid(-x)"),
    ("apply", "dy * w * (1 - t * t)", "dy * (1 - t * t)"),
]


@pytest.mark.parametrize(("which", "before", "after"), WRONG)
def test_the_wrong_line_is_found(tmp_path, which, before, after):
    module = layers(tmp_path, before, after)
    report = check(module, which)
    assert not report.ok
    row = LAYERS[: LAYERS.index(before)].count("\n") + 1
    assert report.place is not None and report.place.line == row
    assert report.fix is not None


def test_outputs_of_a_tensor_function_that_are_no_gradients_are_differentiated_by_torch():
    def with_probabilities(logits):
        probabilities = torch.softmax(logits, 1)
        return (probabilities**2).sum(), probabilities

    assert gradcheck.check(with_probabilities, logits=tensor(3, 4)).ok


def test_a_layer_that_writes_into_dy_is_told():
    class Writes:
        def forward(self, x):
            return 2 * x

        def backward(self, dy):
            dy *= 2
            return dy.clone()

    report = gradcheck.check_object(Writes(), tensor(3, 2), quick=True)
    assert "mutates-input" in [c.code for c in report.causes]
