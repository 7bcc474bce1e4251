"""Calls that crash NumPy for shapes that do not fit raise in the copies that the search runs."""

import numpy as np
import pytest

from autocnn import gradcheck
from autocnn.gradcheck.source.memory import checked


def test_at_checks_its_operands():
    add = checked(np.add.at)
    total, index = np.zeros((2, 4, 9)), np.array([[0, 3], [3, 8]])
    add(total, (slice(None), slice(None), index), np.ones((2, 4, 2, 2)))
    assert total.sum() == 32 and total[0, 0, 3] == 2
    add(total, 1, 1.0)
    np.testing.assert_array_equal(total[1, 0], [2, 1, 1, 3, 1, 1, 1, 1, 2])
    with pytest.raises(ValueError, match=r"does not fit|broadcast"):
        add(total, (slice(None), slice(None), np.int64(3)), np.ones((2, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"does not fit|broadcast"):
        add(total, (0, 0, index), np.ones((3, 2)))
    with pytest.raises(IndexError):
        add(total, (0, 0, 9), 1.0)
    assert checked(np.add) is None and checked(np.add.reduce) is None


def test_as_strided_stays_inside_its_array():
    strided = checked(np.lib.stride_tricks.as_strided)
    x = np.arange(12.0)
    assert strided(x, (5, 4), (16, 8)).shape == (5, 4)
    assert strided(x[4:], (2,), (-32,)).tolist() == [4, 0]  # inside the array that owns the memory
    for shape, strides in (((6, 4), (16, 8)), ((2,), (-8,)), ((13,), (8,)), ((2, 2), (8,))):
        with pytest.raises(ValueError, match="as_strided"):
            strided(x, shape, strides)


def test_the_search_survives_windows_over_raw_memory():
    """Edits of shapes, strides and indices of such calls are tried without a crash."""

    def pool(x):
        k, s = 3, 2
        n = (x.shape[1] - k) // s + 1
        row, col = x.strides
        w = np.lib.stride_tricks.as_strided(x, (len(x), n, k), (row, s * col, col))

        def backward(dy):
            dx = np.zeros_like(x)
            at = np.arange(n)[:, None] + np.arange(k)
            np.add.at(dx, (slice(None), at), np.repeat(dy[:, :, None], k, axis=2) / k)
            return {"x": dx}

        return w.mean(axis=2), backward

    report = gradcheck.check(pool, x=np.random.default_rng(0).normal(size=(2, 9)))
    assert not report.ok
    assert report.place is None or "arange" in report.place.text or "add.at" in report.place.text
