"""Random networks by seed: all interpretations and PyTorch give the same numbers, or all refuse."""

import pytest

from benchmarks.robustness import random_networks


@pytest.mark.parametrize("seed", range(6))
def test_all_interpretations_agree(seed):
    pytest.importorskip("torch")
    assert random_networks.check(seed) in ("agree", "refused")


def test_a_difference_is_found(monkeypatch):
    """The comparison is not blind: torch's numbers, changed by a thousandth, are said to differ."""
    pytest.importorskip("torch")
    real = random_networks.torch_numbers

    def wrong(*args):
        found = real(*args)
        return found | {"dx": found["dx"] * 1.001}

    monkeypatch.setattr(random_networks, "torch_numbers", wrong)
    outcomes = [random_networks.check(seed) for seed in range(4)]
    assert any("torch differs by" in outcome for outcome in outcomes)
