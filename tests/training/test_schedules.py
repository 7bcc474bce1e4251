"""Schedules and clipping: their formulas at hand-computed points, their use by an optimizer, and
what they refuse.
"""

import doctest

import numpy as np
import pytest

from autocnn import optim
from autocnn.optim import adam, clip_by_global_norm, cosine, global_norm, piecewise_constant, sgd
from autocnn.runs import recipes

TREE = [{"w": np.array([3.0, 0.0])}, {}, {"w": np.array([[4.0]])}]


def test_examples_of_the_docstrings():
    for module in (optim.optimizers, optim.schedules):
        found = doctest.testmod(module)
        assert found.failed == 0 and found.attempted > 2


def test_cosine_at_its_landmarks():
    rate = cosine(2.0, steps=110, warmup=10, end=0.5)
    assert [rate(t) for t in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert rate(10) == 2.0  # the peak is where the fall begins
    assert rate(10 + 50) == pytest.approx((2.0 + 0.5) / 2)  # half-way down at half time
    assert rate(10 + 25) == pytest.approx(0.5 + 1.5 * (1 + np.sqrt(0.5)) / 2)
    assert rate(110) == rate(10**9) == 0.5


def test_cosine_rises_then_falls():
    rates = np.array([cosine(1.0, 50, 7)(t) for t in range(51)])
    assert (np.diff(rates[:7]) > 0).all()
    assert (np.diff(rates[7:]) < 0).all()
    assert (rates[:50] > 0).all()


def test_piecewise_constant():
    rate = piecewise_constant({20: 0.01, 0: 1.0, 10: 0.1})
    assert [rate(t) for t in (0, 9, 10, 19, 20, 1000)] == [1.0, 1.0, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize("make", [sgd, adam])
def test_an_optimizer_counts_the_steps(make):
    """Two steps by a schedule are a step at each of its rates, the moments being those of the
    steps before.
    """
    rates = piecewise_constant({0: 0.5, 1: 0.125})
    scheduled = make(rates)
    p, s = scheduled.update(TREE, TREE, scheduled.init(TREE))
    once, s_ = make(0.5).update(TREE, TREE, scheduled.init(TREE))
    np.testing.assert_array_equal(p[0]["w"], once[0]["w"])
    p, _ = scheduled.update(p, TREE, s)
    twice, _ = make(0.125).update(once, TREE, s_)
    np.testing.assert_array_equal(p[0]["w"], twice[0]["w"])
    assert int(s["step"]) == 1


def test_a_schedule_keeps_float32():
    p = [np.ones(3, np.float32)]
    opt = clip_by_global_norm(adam(cosine(np.float64(0.1), 10), weight_decay=0.1), 0.5)
    assert opt.update(p, p, opt.init(p))[0][0].dtype == np.float32


def test_global_norm_is_that_of_all_leaves():
    assert global_norm(TREE) == 5.0
    assert global_norm([]) == 0.0


@pytest.mark.parametrize("longest, scale", [(10.0, 1.0), (5.0, 1.0), (2.5, 0.5), (0.005, 0.001)])
def test_clipping_shortens_and_keeps_the_direction(longest, scale):
    opt = clip_by_global_norm(sgd(1.0), longest)
    start = [{"w": np.zeros(2)}, {}, {"w": np.zeros((1, 1))}]
    p, _ = opt.update(start, TREE, opt.init(start))
    np.testing.assert_allclose(p[0]["w"], -scale * TREE[0]["w"], rtol=1e-12)
    np.testing.assert_allclose(p[2]["w"], -scale * TREE[2]["w"], rtol=1e-12)
    assert TREE[0]["w"][0] == 3.0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: cosine(-1.0, 10), "peak rate"),
        (lambda: cosine(float("nan"), 10), "peak rate"),
        (lambda: cosine(0.1, 0), "steps"),
        (lambda: cosine(0.1, 10, 10), "warmup=10"),
        (lambda: cosine(0.1, 10, -1), "warmup"),
        (lambda: cosine(0.1, 10, end=-1), "end rate"),
        (lambda: piecewise_constant({}), "step 0"),
        (lambda: piecewise_constant({5: 0.1}), "step 0"),
        (lambda: piecewise_constant({0: -0.1}), "rate from step 0"),
        (lambda: clip_by_global_norm(sgd(0.1), 0), "max_norm"),
        (lambda: clip_by_global_norm(sgd(0.1), float("nan")), "max_norm"),
    ],
)
def test_nonsense_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_warmup_constant_does_not_depend_on_the_length_of_the_run():
    rate = optim.warmup_constant(0.3, warmup=3)
    np.testing.assert_allclose([rate(t) for t in range(6)], [0.1, 0.2, 0.3, 0.3, 0.3, 0.3])
    assert optim.warmup_constant(0.3)(0) == optim.warmup_constant(0.3)(10**9) == 0.3
    assert [optim.cosine(0.3, 9, 3)(t) for t in range(3)] == [rate(t) for t in range(3)]
    for bad in ((-1, 0), (0.1, -1), (0.1, 1.5), (np.nan, 1)):
        with pytest.raises(ValueError):
            optim.warmup_constant(*bad)
    params = [np.ones(2)]
    after = []
    for epochs in (2, 50):
        opt = recipes.optimizer(
            recipes.Recipe(epochs=epochs, schedule="constant"), steps_per_epoch=4
        )
        found, state = params, opt.init(params)
        for _ in range(8):
            found, state = opt.update(found, params, state)
        after.append(found[0])
    assert np.array_equal(*after)
