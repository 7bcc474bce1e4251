"""Ink on pages: what else a page has leaves the image that a network sees as it was."""

import numpy as np
import pytest
from scipy import ndimage

from autocnn import images
from autocnn.images.ink import find_ink, stroke_width
from tests.images.pages import digit, on_page, page

SHAPE = (1, 28, 28)


def fitted(image, **options):
    return images.fit_image(np.clip(image, 0, 1).astype("f"), SHAPE, None, True, 20 / 28, **options)


def likeness(x, y):
    """The correlation of two images (1, H, W), which may be a pixel apart."""
    shifted = [np.roll(y, (k, n), (1, 2)) for k in (-1, 0, 1) for n in (-1, 0, 1)]
    return max(float(np.corrcoef(x.ravel(), other.ravel())[0, 1]) for other in shifted)


def speck(a):
    a[20:22, 30:32] = 0.2


def specks(a):
    draw = np.random.default_rng(0)
    for _ in range(40):
        y, x, n = draw.integers(5, 390), draw.integers(5, 290), draw.integers(1, 4)
        if not (120 < y < 280 and 70 < x < 230):
            a[y : y + n, x : x + n] = 0.3


def frame(a):
    for side in (np.s_[6:9, 6:-6], np.s_[-9:-6, 6:-6], np.s_[6:-6, 6:9], np.s_[6:-6, -9:-6]):
        a[side] = 0.15


def border(a):
    a[:4] = a[-4:] = a[:, :4] = a[:, -4:] = 0.05


def form_box(a):
    for side in (np.s_[120:122, 70:230], np.s_[280:282, 70:230]):
        a[side] = 0.2
    for side in (np.s_[120:282, 70:72], np.s_[120:282, 228:230]):
        a[side] = 0.2


def rules(a):
    for y in range(25, 400, 35):
        a[y : y + 2] = np.minimum(a[y : y + 2], 0.55)


def dark_rules(a):
    for y in range(25, 400, 35):
        a[y : y + 2] = 0.12


def hard_shadow(a):
    a[320:] *= 0.5


def shadow_across(a):
    a[200:] *= 0.5


def slanted_shadow(a):
    y, x = np.indices(a.shape)
    a[0.4 * x + y > 330] *= 0.6


def soft_shadow(a):
    y, x = np.indices(a.shape)
    a *= 1 - 0.5 / (1 + np.exp(-(y + 0.3 * x - 240) / 25))


def vignette(a):
    y, x = np.indices(a.shape)
    a *= 1 - 0.6 * (((y - 200) / 250) ** 2 + ((x - 150) / 250) ** 2)


@pytest.mark.parametrize("which", [0, 4, 5, 7])
@pytest.mark.parametrize(
    "spoil",
    [
        speck, specks, frame, border, form_box, rules, dark_rules, hard_shadow, shadow_across,
        slanted_shadow, soft_shadow, vignette,
    ],
)  # fmt: skip
def test_what_is_no_ink_changes_nothing(spoil, which):
    clean = fitted(page(which))
    spoilt = page(which)
    spoil(spoilt)
    found = fitted(spoilt)
    assert likeness(found.x, clean.x) > (0.9 if spoil is dark_rules else 0.95)
    assert found.doubts == clean.doubts == ()


@pytest.mark.parametrize("ink", [0.12, 0.7, 0.77, 0.83])
def test_pencil_becomes_as_dark_as_ink(ink):
    clean, pencil = fitted(page(4)), fitted(page(4, ink=ink))
    np.testing.assert_allclose(pencil.x, clean.x, atol=0.1)
    assert any("faint" in doubt for doubt in pencil.doubts) is (ink > 0.82)


@pytest.mark.parametrize(
    "colour",
    [(1.0, 0.85, 0.1), (0.15, 0.2, 0.8), (0.85, 0.1, 0.1), (0.1, 0.6, 0.2), (0.1, 0.1, 0.1)],
)
def test_pens_of_all_colours_are_read_alike(colour):
    cover = 1 - on_page(digit(7), ink=0, paper=1)[..., None]
    found = fitted(0.97 * (1 - cover) + np.array(colour) * cover)
    assert found.steps[0] == "colour to grey"
    np.testing.assert_allclose(found.x, fitted(page(7)).x, atol=0.1)


def test_chalk_is_read_as_ink_is():
    chalk = fitted(1 - page(5))
    assert "bright and dark swapped" not in chalk.steps
    np.testing.assert_allclose(chalk.x, fitted(page(5)).x, atol=0.1)


@pytest.mark.parametrize("noise", [0.03, 0.1])
@pytest.mark.parametrize("which", [1, 4])
def test_noise_is_no_ink(which, noise):
    noisy = page(which) + np.random.default_rng(1).normal(0, noise, (400, 300))
    assert likeness(fitted(noisy).x, fitted(page(which)).x) > 0.8


def test_a_digit_of_two_pieces_stays_whole():
    assert fitted(page(5)).x[0, 4:7].max() > 0.9  # the bar of the 5, from the first of 20 rows on
    _labels, count = ndimage.label(find_ink(page(5)).pixels > 0.5)
    assert count == 2


@pytest.mark.parametrize("at", [(0, 0), (280, 180), (10, 150)])
def test_the_place_on_the_page_does_not_matter(at):
    np.testing.assert_allclose(fitted(on_page(digit(4), at=at)).x, fitted(page(4)).x, atol=0.1)


def uneven(which, least, size):
    """A digit whose ink is `least` as strong in places of that size."""
    where = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(120, 120)), size)
    strength = np.clip(0.5 + 0.5 * where / where.std(), least, 1)
    return on_page(digit(which) * strength)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("which", [0, 4, 5, 7])
def test_uneven_ink_is_read_whole(which, size):
    found = fitted(uneven(which, 0.15, size))
    assert likeness(found.x, fitted(page(which)).x) > 0.93
    assert "faint parts of strokes kept" in found.steps and not found.doubts


def test_faint_print_beside_ink_is_not_kept():
    both = np.minimum(page(4), on_page(digit(0, 200, 30), ink=0.8))  # shows through
    assert "faint parts of strokes kept" not in fitted(both).steps
    np.testing.assert_allclose(fitted(both).x, fitted(page(4)).x, atol=0.15)


def test_thin_strokes_are_thickened():
    thin = fitted(on_page(digit(4, width=3)))
    assert "thin strokes thickened" in thin.steps
    assert 1.7 < stroke_width(np.kron(thin.x[0], np.ones((8, 8))) > 0.5) / 8 < 3.5
    assert "thin strokes thickened" not in fitted(page(4)).steps


def test_several_digits_are_said():
    two = np.minimum(on_page(digit(4), at=(130, 20)), on_page(digit(7), at=(130, 160)))
    assert "2 separate drawings, of which one is read" in fitted(two).doubts


def test_what_is_cut_off_is_said():
    cut = on_page(digit(0), at=(140, 0))[:, 30:]
    assert any("touches the border" in doubt for doubt in fitted(cut).doubts)


@pytest.mark.parametrize("side", ["below", "left", "corner"])
@pytest.mark.parametrize("width", [15, 30, 60])
def test_light_that_fades_towards_the_border_is_no_ink(side, width):
    y, x = np.indices((400, 300))
    along = {"below": y - 370, "left": 30 - x, "corner": (y - 380 + x - 280) / 1.4}[side]
    light = 1 - 0.65 / (1 + np.exp(-along / width))
    with pytest.raises(images.NoInk):
        fitted(0.93 * light)
    np.testing.assert_allclose(fitted(page(4) * light).x, fitted(page(4)).x, atol=0.2)


def blank(kind):
    a = np.full((400, 300), 0.93, "f")
    if kind == "noise":
        a += np.random.default_rng(0).normal(0, 0.04, a.shape).astype("f")
    elif kind == "black":
        a[:] = 0
    elif kind == "speck":
        speck(a)
    elif kind != "even":
        globals()[kind](a)
    return np.clip(a, 0, 1)


@pytest.mark.parametrize(
    "kind",
    [
        "even",
        "black",
        "noise",
        "speck",
        "rules",
        "frame",
        "hard_shadow",
        "soft_shadow",
        "vignette",
        "slanted_shadow",
        "shadow_across",
    ],
)
def test_a_blank_page_has_no_ink(kind):
    with pytest.raises(images.NoInk, match="no ink found"):
        fitted(blank(kind))


def test_clothing_is_trimmed_and_centred():
    coat = np.full((300, 300), 1.0, "f")
    coat[100:220, 120:200] = np.linspace(0.9, 0.3, 120)[:, None]
    coat[10, 10] = 0.5
    found = images.fit_image(coat, SHAPE, None, True, None, trim=True)
    assert "margin cut off" in found.steps and "1 speck dropped" in found.steps
    rows, columns = (np.flatnonzero((found.x[0] > 0.02).any(axis=k)) for k in (1, 0))
    assert (rows[0], rows[-1]) == (0, 27) and abs(columns[0] + columns[-1] - 27) <= 1
    assert found.x[0, 2, 14] < 0.2 and 0.6 < found.x[0, 25, 14] < 0.75  # its shades are kept
    with pytest.raises(images.NoInk):
        images.fit_image(np.ones((90, 90), "f"), SHAPE, None, True, None, trim=True)
