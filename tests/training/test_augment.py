"""Augmentation: every image is one of the allowed changes of itself, chosen by the key alone."""

import numpy as np
import pytest

from autocnn.augment import compose, flips, shifts

X = np.random.default_rng(0).random((400, 2, 5, 6), np.float32) + 1


def moved(x, down, right, fill):
    """One image moved by loops: the witness."""
    y = np.full_like(x, fill)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            if 0 <= i - down < x.shape[1] and 0 <= j - right < x.shape[2]:
                y[:, i, j] = x[:, i - down, j - right]
    return y


@pytest.mark.parametrize("most, fill", [(1, 0.0), ((2, 0), -0.5), ((0, 3), 0.0)])
def test_shifts_make_each_move_equally_often(most, fill):
    v, h = most if isinstance(most, tuple) else (most, most)
    y = shifts(most, fill)(7, X)
    assert y.shape == X.shape and y.dtype == X.dtype
    seen = []
    for before, after in zip(X, y, strict=True):
        moves = [(d, r) for d in range(-v, v + 1) for r in range(-h, h + 1)]
        seen += [m for m in moves if np.array_equal(after, moved(before, *m, fill))]
    assert len(seen) == len(X)  # exactly one fits each
    counts = np.array([seen.count(m) for m in moves])
    expected = len(X) / len(moves)
    assert (abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_flips_mirror_about_half():
    y = flips()(3, X)
    mirrored = [np.array_equal(a, b[..., ::-1]) for a, b in zip(y, X, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(y, X, strict=True)]
    assert sum(mirrored) + sum(same) == len(X)
    assert 160 < sum(mirrored) < 240
    np.testing.assert_array_equal(flips(1.0)(3, X), X[..., ::-1])
    np.testing.assert_array_equal(flips(0.0)(3, X), X)


def test_the_key_decides_and_the_argument_stays():
    change, before = compose(flips(), shifts(2)), X.copy()
    np.testing.assert_array_equal(change((1, 2), X), change((1, 2), X))
    assert not np.array_equal(change((1, 2), X), change((1, 3), X))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    "call", [lambda: shifts(-1), lambda: shifts(0.5), lambda: flips(1.5), lambda: flips(-0.1)]
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"most|share"):
        call()
