"""Noise of the order of sums is measured and allowed for; mistakes larger than it are named."""

import importlib.util
import itertools
import pathlib

import numpy as np
import pytest

from autocnn import gradcheck

_PATH = pathlib.Path(__file__).with_name("functions.py")
_SPEC = importlib.util.spec_from_file_location("noise_functions", _PATH)
functions = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(functions)

SLOW = ("dense, one per cent", "dense, one part in 2000", "layer norm, variance")


@pytest.fixture(autouse=True)
def same_noise_in_each_test():
    functions.CALLS[0] = itertools.count()


def noted(report):
    return [n for n in report.notes if "noise" in n and "were not compared" in n]


@pytest.mark.parametrize("name", functions.RIGHT)
def test_right_functions_with_noise_pass(name):
    f, arrays = functions.RIGHT[name]
    report = gradcheck.check(f, **arrays)
    assert report.ok and not report.causes and noted(report), str(report)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in functions.WRONG],
)
def test_mistakes_larger_than_the_noise_are_caught(name):
    f, arrays, _ = functions.WRONG[name]
    report = gradcheck.check(f, **arrays)
    assert not report.ok and noted(report), str(report)
    assert not any(c.code == "nondeterministic" for c in report.causes)


def test_they_are_named():
    """The sample of `test_mistakes_larger_than_the_noise_are_caught` whose names are sure."""
    for name in ("dense, sign", "tanh without slope", "relu without mask", "softmax, diagonal"):
        f, arrays, codes = functions.WRONG[name]
        report = gradcheck.check(f, quick=True, **arrays)
        assert {c.code for c in report.causes} <= codes, str(report)


@pytest.mark.parametrize("f", [functions.dropout, functions.fresh_mask_in_backward])
def test_a_fresh_mask_is_no_noise(f):
    report = gradcheck.check(f, x=functions.X)
    assert not report.ok and not noted(report)
    assert "nondeterministic" in {c.code for c in report.causes}


def test_exact_functions_have_no_note():
    def f(x):
        return np.tanh(x), lambda dy: dy / np.cosh(x) ** 2

    report = gradcheck.check(f, x=functions.X)
    assert report.ok and not noted(report)
    assert report.leaves["x"].digits > 14


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_objects_pairs_torch_and_jax(factor):
    x, w = functions.X, functions.W
    reports = {
        "object": gradcheck.check_object(functions.Layer(factor), x, quick=True),
        "pair": gradcheck.check_pair(*functions.pair(factor), x=x, w=w, quick=True),
    }
    if importlib.util.find_spec("torch"):
        f, arrays = functions.torch_dense(factor)
        reports["torch"] = gradcheck.check(f, quick=True, **arrays)
    if importlib.util.find_spec("jax"):
        f, arrays = functions.jax_square(factor)
        reports["jax"] = gradcheck.check(f, quick=True, **arrays)
    for name, report in reports.items():
        assert report.ok == (factor == 1.0), f"{name}: {report}"
        assert noted(report), f"{name}: {report}"
        assert {c.code for c in report.causes} <= {"scale"}, f"{name}: {report}"


@pytest.mark.parametrize("dtype", functions.KERNELS)
def test_kernels(dtype):
    arrays = {"x": functions.X, "w": functions.W}
    size = functions.KERNELS[dtype]
    target, reference = functions.kernel(size, 1.0)
    report = gradcheck.check_kernel(target, reference, dtype=dtype, **arrays)
    assert report.ok and "noise" in str(report), str(report)
    target, reference = functions.kernel(size, 1.02)
    report = gradcheck.check_kernel(target, reference, dtype=dtype, **arrays)
    assert report.verdict == "wrong" and [c.code for c in report.causes] == ["scale"], str(report)
    target, reference = functions.kernel(size, 1.0, drop=0.3)
    report = gradcheck.check_kernel(target, reference, dtype=dtype, **arrays)
    assert report.verdict == "wrong", str(report)
    assert [c.code for c in report.causes] == ["nondeterministic"], str(report)
