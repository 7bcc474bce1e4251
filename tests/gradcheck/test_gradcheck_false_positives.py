"""Correct layers must pass: in float64 and float32, at all scales, at exact ties, in saturation,
next to a kink.
"""

import numpy as np
import pytest

from autocnn import gradcheck
from tests.bugs.conditions import CONDITIONS, under
from tests.bugs.other_twins import OTHER_TWINS
from tests.bugs.twins import TWINS

CASES = [
    pytest.param(twin, dtype, CONDITIONS[(k + shift) % 2 :: 2], id=f"{twin.name}-{dtype.__name__}")
    for k, twin in enumerate(TWINS + OTHER_TWINS)
    for shift, dtype in enumerate([np.float64, np.float32])
]


@pytest.mark.parametrize(("twin", "dtype", "conditions"), CASES)
def test_a_correct_layer_passes(twin, dtype, conditions):
    """Each layer meets all conditions, half of them in each dtype; benchmarks/gradcheck/checkers.py
    runs all at 20 seeds.
    """
    for seed, condition in enumerate(conditions):
        report = gradcheck.check(twin.function, **under(condition, twin.arrays(seed), seed, dtype))
        assert report.ok, f"{condition}\n{report}"
