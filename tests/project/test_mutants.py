"""The list of mutants fits the code: each can be made, in one place, and its tests exist."""

from benchmarks.robustness.mutants.__main__ import MUTANTS, stale


def test_every_mutant_can_be_made():
    assert stale(MUTANTS) == []


def test_mutants_differ_from_the_code_and_from_each_other():
    assert all(old != new for _, old, new, _ in MUTANTS)
    assert len({mutant[:3] for mutant in MUTANTS}) == len(MUTANTS)


def test_what_no_longer_fits_is_named():
    name, tests = "reference/loss.py", "tests/layers/test_losses.py"
    gone, often = (name, "not there at all", "", tests), (name, "labels", "", tests)
    assert "0 times" in stale([gone])[0]
    assert "times, not once" in stale([often])[0]
    missing = ("reference/nowhere.py", "x", "y", "tests/nowhere.py")
    assert stale([missing]) == [
        "reference/nowhere.py does not exist",
        "tests/nowhere.py does not exist",
    ]
