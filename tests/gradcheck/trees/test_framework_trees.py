"""Trees of torch tensors and jax arrays, functions of them that return their own backward, and
arguments that cannot be checked.
"""

import numpy as np
import pytest

from autocnn import gradcheck

rng = np.random.default_rng(5)
W, X = rng.standard_normal((3, 2)), rng.standard_normal((4, 3))


def arrays_of(library):
    if library == "torch":
        return pytest.importorskip("torch").tensor
    return pytest.importorskip("jax").numpy.asarray


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_trees_go_in_and_out(library):
    make = arrays_of(library)

    def f(params, x):
        y = x @ params["a"][0]
        return {"y": y, "more": (y * y, {"n": x.sum()})}

    report = gradcheck.check(f, params={"a": [make(W), 7]}, x=make(X))
    assert report.ok and list(report.leaves) == ["params.a[0]", "x"]


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_backward_of_their_own_is_what_is_checked(library):
    make = arrays_of(library)

    def f(params, x):
        w = params["w"]
        return x @ w, lambda dy: {"params": {"w": 2 * x.T @ dy}, "x": dy @ w.T}

    report = gradcheck.check(f, params={"w": make(W)}, x=make(X), quick=True)
    assert [(c.code, c.leaf) for c in report.errors] == [("scale", "params.w")]


def test_a_tensor_that_is_changed_in_place_is_reported():
    torch = pytest.importorskip("torch")

    def f(x):
        with torch.no_grad():
            x.mul_(2)
        return x * x

    report = gradcheck.check(f, x=torch.tensor(X), quick=True)
    assert ("mutates-input", "x") in [(c.code, c.leaf) for c in report.errors]


def test_none_reaches_functions_that_do_not_materialize_grads():
    torch = pytest.importorskip("torch")

    def rule(guarded):
        class Two(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.set_materialize_grads(False)
                return 2 * x, 3 * x

            @staticmethod
            def backward(ctx, da, db):
                if guarded:
                    zero = torch.zeros(X.shape, dtype=torch.float64)
                    da, db = zero if da is None else da, zero if db is None else db
                return 2 * da + 3 * db

        return Two

    assert gradcheck.check(rule(True), x=torch.tensor(X)).ok
    report = gradcheck.check(rule(False), x=torch.tensor(X), quick=True)
    assert [c.code for c in report.errors] == ["raises"]
    assert "where output 0 is not used" in str(report)


def test_arguments_that_cannot_be_checked_get_one_line():
    torch = pytest.importorskip("torch")
    x, w = torch.tensor(X), torch.tensor(W)
    cases = [
        (lambda x, w: x @ w, {"x": x, "w": W}, "pass w=torch.from_numpy"),
        (lambda x, w: x @ w, {"x": x, "w": w.to("meta")}, r"x is on cpu, w is on meta; move"),
        (lambda x: x, {"x": x.to("meta")}, r"holds no values: pass x on cpu"),
        (lambda x: x.to("meta"), {"x": x}, r"on meta; its arguments are on cpu"),
        (lambda x, w: x @ w, {"x": x, "w": w.float()}, r"w is float32; pass w=w.to\(torch.float64"),
        (lambda x: x.detach(), {"x": x}, "no output has a grad_fn"),
    ]
    for f, arrays, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            gradcheck.check(f, **arrays)
        assert "\n" not in str(caught.value)


def test_narrow_tensors_are_checked_with_a_note():
    torch = pytest.importorskip("torch")
    report = gradcheck.check(lambda x: x * x, x=torch.tensor(X).bfloat16())
    assert report.ok and "check_kernel" in str(report)
