"""A batch of cotangents gives the stack of the single gradients: planted mistakes are caught and
named, right twins pass.
"""

import importlib.util
import pathlib

import numpy as np
import pytest

from autocnn import gradcheck


def _load(name):
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"batched_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rules = _load("rules")


def text(report):
    return " ".join(str(report).split())


@pytest.mark.parametrize("name", rules.NUMPY_WRONG)
def test_numpy_backward_that_is_wrong_for_a_batch(name):
    f, arrays, words = rules.NUMPY_WRONG[name]
    assert gradcheck.check(f, **arrays).ok
    report = gradcheck.check(f, batched=True, **arrays)
    assert not report.ok and words in text(report), str(report)
    assert "right for one cotangent" in text(report)


@pytest.mark.parametrize("name", rules.NUMPY_RIGHT)
def test_numpy_backward_that_is_right_for_a_batch(name):
    f, arrays = rules.NUMPY_RIGHT[name]
    report = gradcheck.check(f, batched=True, **arrays)
    assert report.ok and "right for batches of" in text(report), str(report)


def test_pairs_and_vjps_take_batches():
    x, w = rules.X, rules.W

    def forward(x, w):
        return x @ w, (x, w)

    def backward(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy

    def flat(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy.reshape(-1, dy.shape[-1])[: len(x)]

    assert gradcheck.check_pair(forward, backward, x=x, w=w, batched=True).ok
    report = gradcheck.check_pair(forward, flat, x=x, w=w, batched=True)
    assert [c.code for c in report.errors] == ["batched"] and "cotangent 0" in text(report)

    def vjp(dy, x, w):
        return dy @ w.T, x.T @ dy

    assert gradcheck.check_vjp(lambda x, w: x @ w, vjp, x, w, batched=True).ok


def test_a_wrong_gradient_and_a_loss_have_no_batch():
    report = gradcheck.check(lambda x: (x**2, lambda dy: dy * x), x=rules.V, batched=True)
    assert not report.ok and "was not tried, since one is wrong" in text(report)
    report = gradcheck.check(lambda x: ((x**2).sum(), {"x": 2 * x}), x=rules.V, batched=True)
    assert report.ok and "no batch of cotangents" in text(report)


def _torch_names(which):
    pytest.importorskip("torch")
    return getattr(_load("torch_rules"), which)


TORCH = ("data-dependent branch", "branch on dy", "through numpy", "buffer", "mean over the batch",
         "wrong out_dim", "first row", "statistics of the batch", "an argument without batch",
         "in_dims ignored", "closure")  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_torch_rules_that_are_wrong_for_a_batch(name):
    cases = _torch_names("WRONG")
    assert set(cases) == set(TORCH)
    f, arrays, words = cases[name]
    report = gradcheck.check(f, batched=True, quick=True, **arrays)
    assert not report.ok and words in text(report).replace("- ", "-"), str(report)  # unwrapped
    assert "right for one cotangent" in text(report) or "right alone" in text(report)


@pytest.mark.parametrize(
    "name",
    ["generated", "no rule", "old style", "own rule", "either argument", "closure", "plain",
     "numbers", "complex"],
)  # fmt: skip
def test_torch_rules_that_are_right_for_a_batch(name):
    f, arrays = _torch_names("RIGHT")[name]
    report = gradcheck.check(f, batched=True, **arrays)
    assert report.ok and "right for batches of" in text(report), str(report)
    assert ("neither vmap nor" in text(report)) == (name == "no rule")
    assert ("setup_context" in text(report)) == (name == "old style")


def _jax_case(which, name):
    jax = pytest.importorskip("jax")
    rules = _load("jax_rules")
    return getattr(rules, which)[name], {"x": jax.numpy.asarray(rules.X)}


@pytest.mark.parametrize(
    "name",
    ["summed", "first", "one for all", "statistics of the batch", "branch", "through numpy",
     "rows in another order", "callback without a rule"],
)  # fmt: skip
def test_jax_rules_that_are_wrong_for_a_batch(name):
    (f, words), arrays = _jax_case("WRONG", name)
    report = gradcheck.check(f, batched=True, quick=True, **arrays)
    assert not report.ok and words in text(report), str(report)
    assert "right for one cotangent" in text(report)


@pytest.mark.parametrize("name", ["right rule", "plain rule", "callback", "where", "closure"])
def test_jax_rules_that_are_right_for_a_batch(name):
    f, arrays = _jax_case("RIGHT", name)
    report = gradcheck.check(f, batched=True, **arrays)
    assert report.ok and "right for batches of" in text(report), str(report)


def test_a_module_is_told_what_to_call():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match="pass a function"):
        gradcheck.check(torch.nn.Linear(3, 2), x=torch.ones(2, 3), batched=True)


def test_the_batch_is_as_long_as_no_axis():
    from autocnn.gradcheck.batching.runs import Runs, sizes

    assert sizes(Runs({"x": np.ones((4, 5))}, [(6,)], None, [], 0.0)) == 7
