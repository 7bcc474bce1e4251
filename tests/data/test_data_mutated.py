"""Mutated data sets, weights, calibrations, estimators and images, and the fuzzer of them."""

import warnings

import numpy as np
import pytest

from benchmarks.robustness import fuzz, fuzz_arrays, fuzz_data, fuzz_weights

COUNTS = {"estimator": 25, "folder": 40, "weights": 50, "npz": 60, "npy": 60}
TARGETS = [*fuzz_data.ATTACKS, *fuzz_weights.ATTACKS]


def attacked(target, count, seed):
    if target == "estimator":
        pytest.importorskip("sklearn")
    outcomes = fuzz.fuzz(target, count, seed)
    assert sum(outcomes.values()) == count and outcomes["read"] and outcomes.get("refused", 0)


@pytest.mark.parametrize("target", TARGETS)
def test_mutated_data(target):
    attacked(target, COUNTS.get(target, 100), 4)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_more_mutated_data(target):
    attacked(target, 1000, 5)


@pytest.mark.parametrize(
    "load, says",
    [
        (lambda path: {}["x"], "'x'"),
        (lambda path: warnings.warn("old", RuntimeWarning, stacklevel=1), "old"),
        (lambda path: np.ones(2_000_000), "bytes of memory"),
        (lambda path: fuzz_arrays.TRAPS.append("a pickle was run"), "pickle"),
        (lambda path: "other", "other data than before"),
        (lambda path: (_ for _ in ()).throw(ValueError("a\nb")), "not one printable line"),
        (lambda path: (_ for _ in ()).throw(ValueError("damaged")), "does not name"),
    ],
)
def test_the_fuzzer_notices(load, says, monkeypatch):
    monkeypatch.setattr(fuzz_arrays, "load", load)
    monkeypatch.setattr(fuzz_arrays, "same_as", lambda *_: lambda found: found != "other")
    with pytest.raises((AssertionError, KeyError, RuntimeWarning), match=says):
        fuzz.fuzz("npz", 20, 0)
    fuzz_arrays.TRAPS.clear()


def test_the_fuzzer_notices_a_hang(monkeypatch):
    def hang(path):
        while True:
            pass

    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    monkeypatch.setattr(fuzz_arrays, "load", hang)
    with pytest.raises(AssertionError, match="not done after"):
        fuzz.fuzz("npz", 1, 0)
