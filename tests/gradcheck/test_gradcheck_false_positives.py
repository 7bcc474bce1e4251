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


def product(x):
    others = np.array([np.prod(np.delete(x, k)) for k in range(x.size)])
    return np.prod(x), lambda dy: dy * others


def cubes(x):
    return x**3, lambda dy: 3 * x**2 * dy


def squares_of_products(x):
    y = x[0] * x[1]
    return y * y, lambda dy: 2 * y * dy * np.array([x[1], x[0]])


@pytest.mark.parametrize(
    "f, x",
    [
        (product, [2.0, 3.0, 0.0, 0.0]),
        (cubes, [0.0, 0.0, 0.0]),
        (squares_of_products, [0.0, 0.0]),
    ],
)
def test_a_derivative_of_zero_is_more_than_what_the_complex_step_leaves_out(f, x):
    """Terms of the size of its square, 1e-40, are no derivative, however exact the step is."""
    report = gradcheck.check(f, x=np.array(x))
    assert report.ok, report
