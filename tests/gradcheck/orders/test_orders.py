"""Second order, forward mode and complex arguments: planted mistakes are caught and named, torch's
own functions pass, and jax rules are taken as well.
"""

import importlib.util
import pathlib

import numpy as np
import pytest

from autocnn import gradcheck

torch = pytest.importorskip("torch")


def _load(name):
    path = pathlib.Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"orders_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


rules, operations = _load("rules"), _load("operations").operations()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_there_are_enough():
    assert len(rules.PLANTED) >= 30 and len(operations) >= 100
    assert any(is_complex for _, _, is_complex in operations)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if k % 5 else [])
        for k, n in enumerate(rules.PLANTED)
    ],
)
def test_planted_mistakes_are_caught_and_named(name):
    f, arrays, options, words = rules.PLANTED[name]
    report = gradcheck.check(f, **arrays, **options)
    assert not report.ok
    text = " ".join(str(report).split())
    assert any(w in text for w in words), text


@pytest.mark.parametrize(
    ("name", "f", "is_complex"),
    [
        pytest.param(*case, id=case[0], marks=[pytest.mark.slow] if k % 10 else [])
        for k, case in enumerate(operations)
    ],
)
def test_functions_of_torch_pass_at_both_orders(name, f, is_complex):
    generator = torch.Generator().manual_seed(3)
    count = f.__code__.co_argcount - len(f.__defaults__ or ())
    dtype = torch.complex128 if is_complex else torch.float64
    arrays = {n: torch.randn(3, 4, dtype=dtype, generator=generator) for n in "xw"[:count]}
    report = gradcheck.check(f, order=2, **arrays)
    assert report.ok, str(report)
    assert any("second order" in n for n in report.leaves)


@pytest.mark.parametrize(
    ("f", "warned"),
    [
        (lambda x: torch.digamma(x.abs() + 0.5), {"x", "x (second order)"}),
        (lambda x: torch.lgamma(x.abs() + 0.5), {"x (second order)"}),
        (lambda x: torch.polygamma(1, x.abs() + 0.5), {"x"}),
    ],
    ids=["digamma", "lgamma", "polygamma"],
)
def test_the_accuracy_of_a_library_is_a_warning(f, warned):
    """torch's polygamma is right to 9 digits."""
    report = gradcheck.check(f, x=rules.real(3, 4), order=2)
    assert report.ok, str(report)
    assert {c.leaf for c in report.causes} == warned
    assert all(c.code == "accuracy" and "digits" in c.message for c in report.warnings)


def test_distances_pass_at_first_order():
    x, w = rules.real(3, 4), rules.real(3, 4, seed=2)
    assert gradcheck.check(lambda x, w: torch.cdist(x, w), x=x, w=w).ok


def test_right_rules_pass_in_all_modes():
    x, w = rules.real(5), rules.real(5, seed=2)
    right = rules.function(
        lambda x, w: x * w,
        lambda dy, x, w: (dy * w.conj(), dy * x.conj()),
        jvp=lambda x, w, tx, tw: tx * w + x * tw,
    )
    report = gradcheck.check(right, x=x, w=w, order=2, mode="both")
    assert report.ok and len(report.leaves) == 7
    report = gradcheck.check(right, x=rules.cplx(4), w=rules.cplx(1, 4)[0])
    assert report.ok and list(report.leaves) == ["x.real", "x.imag", "w.real", "w.imag"]


def test_jax_forward_and_second_order():
    jax = pytest.importorskip("jax")

    def make(factor):
        @jax.custom_jvp
        def f(x):
            return jax.numpy.sin(x)

        @f.defjvp
        def _(primals, tangents):
            return f(*primals), factor * jax.numpy.cos(primals[0]) * tangents[0]

        return lambda x: f(x)

    x = jax.numpy.asarray(np.random.default_rng(0).standard_normal(4))
    assert gradcheck.check(make(1.0), x=x, order=2, mode="both").ok
    report = gradcheck.check(make(2.0), x=x, mode="forward")
    assert [c.code for c in report.causes] == ["scale"]


def test_errors_are_one_line():
    x = np.ones(3)
    for options, words in (
        ({"order": 2}, "needs? a function of torch"),
        ({"order": 3}, "order is 1 or 2"),
        ({"mode": "sideways"}, "mode is"),
    ):
        with pytest.raises(ValueError, match=words):
            gradcheck.check(lambda x: x, x=x, **options)


def two_outputs(keep):
    """x^2 and sin x in one Function; the slope of sin is taken of keep(x)."""

    class Two(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x, torch.sin(x)

        @staticmethod
        def backward(ctx, a, b):
            (x,) = ctx.saved_tensors
            return 2 * x * a + keep(x).cos() * b

    return Two


def test_second_order_looks_at_every_output():
    x = rules.real(4)
    assert gradcheck.check(two_outputs(lambda x: x), x=x, order=2).ok
    report = gradcheck.check(two_outputs(torch.Tensor.detach), x=x, order=2, quick=True)
    wrong = [n for n, leaf in report.leaves.items() if leaf.verdict == "wrong"]
    assert wrong == ["x (second order)"] and "dy1 (second order)" in report.leaves


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_forward_mode_of_large_arrays_takes_directions(factor):
    rule = _sine(factor)
    report = gradcheck.check(rule, x=rules.real(60, 50), mode="forward")
    assert report.ok == (factor == 1.0) and report.leaves["x (forward mode)"].shape == (60, 50)
    assert "8 random directions" in str(report)


def _sine(factor):
    return rules.function(
        lambda x: torch.sin(x),
        lambda dy, x: dy * torch.cos(x),
        jvp=lambda x, t: factor * torch.cos(x) * t,
    )


def test_jax_functions_are_compiled_when_they_are_called_often():
    """Each new shape compiles once, each further call none; a function that branches on values
    stays as it is."""
    jax = pytest.importorskip("jax")
    from autocnn.gradcheck.compiling import OFTEN, Compiled

    traced = []

    def plain(x):
        traced.append(x.shape)
        return x * x

    def branching(x):
        traced.append(x.shape)
        return x if x[0] > 0 else -x

    for f, least, most in ((plain, OFTEN + 2, OFTEN + 3), (branching, 20, 22)):
        traced.clear()
        quick = Compiled(f)
        for k in range(20):
            x = jax.numpy.array([1.0 + k, 2.0])
            assert np.array_equal(quick(x), f(x)) and traced.pop()
        assert least <= len(traced) <= most


def test_a_complex_step_goes_through_forward_mode():
    """Real functions are exact there, in both libraries; complex arguments are two real ones."""
    x = rules.real(4)
    report = gradcheck.check(_sine(1.0), x=x, mode="forward")
    assert list(report.leaves["x (forward mode)"].witnesses) == ["complex step"]
    jax = pytest.importorskip("jax")
    report = gradcheck.check(
        lambda x: jax.numpy.sin(x), x=jax.numpy.asarray(x.numpy()), mode="forward"
    )
    assert list(report.leaves["x (forward mode)"].witnesses) == ["complex step"]
