"""Augmentation: every image is one of the allowed changes of itself, chosen by the key alone."""

import numpy as np
import pytest
from scipy import ndimage

from autocnn.augment import (
    brightness,
    compose,
    crops,
    erasures,
    flips,
    named,
    rotations,
    scales,
    shifts,
)
from autocnn.keys import child, rng

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
    "call",
    [
        lambda: crops(2, "constant"),
        lambda: crops(5)(0, X),
        lambda: rotations(181),
        lambda: rotations("10"),
        lambda: scales(-0.1),
        lambda: brightness(1.5),
        lambda: erasures(0),
        lambda: named("rotat=10"),
        lambda: named("rotate"),
        lambda: named("rotate=ten"),
        lambda: named("shift=1.5"),
        lambda: named("shift=inf"),
        lambda: shifts(-1),
        lambda: shifts(0.5),
        lambda: flips(1.5),
        lambda: flips(-0.1),
    ],
)
def test_nonsense_is_refused(call):
    with pytest.raises(ValueError, match=r"most|share|mode|padding|size|augmentation|number"):
        call()


def at_pixels(image, inverse, fill):
    """The image by scipy at the places to which ``inverse`` takes the pixels, from the middle."""
    middle = (np.array(image.shape) - 1) / 2
    offset = middle - inverse @ middle
    return ndimage.affine_transform(
        image.astype(float), inverse, offset, order=1, mode="grid-constant", cval=fill
    )


@pytest.mark.parametrize("fill", [0.0, -0.1])
def test_rotations_and_scales_are_those_of_scipy(fill):
    x = X[:20].astype(np.float64)
    angles = np.deg2rad(rng(5).uniform(-30, 30, 20))
    factors = np.exp(rng(5).uniform(-np.log(1.3), np.log(1.3), 20))
    turned, scaled = rotations(30, fill)(5, x), scales(0.3, fill)(5, x)
    for k in range(20):
        cos, sin = np.cos(angles[k]), np.sin(angles[k])
        for c in range(2):
            wanted = at_pixels(x[k, c], np.array([[cos, -sin], [sin, cos]]), fill)
            np.testing.assert_allclose(turned[k, c], wanted, atol=1e-12)
            wanted = at_pixels(x[k, c], np.diag([factors[k]] * 2), fill)
            np.testing.assert_allclose(scaled[k, c], wanted, atol=1e-12)


def test_the_direction_is_that_of_scipy():
    square = X[:1, :, :5, :5].astype(np.float64)
    for key in range(3):
        turn = rng(key).uniform(-180, 180)
        options = {"reshape": False, "order": 1, "mode": "grid-constant"}
        wanted = ndimage.rotate(square, -turn, (2, 3), **options)
        np.testing.assert_allclose(rotations(180)(key, square), wanted, atol=1e-12)


def test_crops_mirror_what_is_beyond_the_edges():
    y = crops((2, 1))(7, X)
    down = rng(7).integers(0, 5, len(X))
    padded = np.pad(X, ((0, 0), (0, 0), (2, 2), (1, 1)), "reflect")
    for image, source, start in zip(y, padded, down, strict=True):
        windows = [source[:, start : start + 5, k : k + 6] for k in range(3)]
        assert any(np.array_equal(image, window) for window in windows)


def test_erasures_are_rectangles_anywhere():
    y = erasures((3, 2), fill=-1)(1, X)
    counts = (y == -1).sum(axis=(1, 2, 3)) // 2
    assert counts.max() == 6 and counts.min() < 6 and (counts > 0).all()
    for image in y:
        rows, columns = np.nonzero(image[0] == -1)
        assert np.ptp(rows) < 3 and np.ptp(columns) < 2
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert ((y == X) | (y == -1)).all() and (y == -1).any(axis=(0, 1)).all()


def test_brightness_is_a_factor_of_the_distance_from_black():
    y = brightness(0.4, black=-0.1)(2, X)
    factor = (y + 0.1) / (X + 0.1)
    assert np.ptp(factor, axis=(1, 2, 3)).max() < 1e-5
    assert 0.6 <= factor.min() < 0.7 and 1.3 < factor.max() <= 1.4


def test_names_are_the_functions_in_their_order():
    change = named("flip, rotate=10,crop=2,erase=2,scale=0.1,brightness=0.2,shift=1", fill=-0.1)
    parts = (flips(), rotations(10, -0.1), crops(2), erasures(2, -0.1), scales(0.1, -0.1))
    parts = (*parts, brightness(0.2, -0.1), shifts(1, -0.1))
    wanted = X
    for i, part in enumerate(parts):
        wanted = part(child(9, i), wanted)
    y = change(9, X)
    np.testing.assert_array_equal(y, wanted)
    assert y.dtype == X.dtype and y.shape == X.shape
    np.testing.assert_array_equal(named("")(0, X), X)
    with pytest.raises(ValueError, match="did you mean 'rotate'"):
        named("rotat=3")
