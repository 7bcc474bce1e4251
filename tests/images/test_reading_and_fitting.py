"""Images: every kind of file gives the numbers that it shows, and fitting keeps proportions,
ink and middle.
"""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from autocnn import images
from autocnn.images import reading
from tests.helpers import ROOT

GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
COLOUR = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [10, 20, 30]]], np.uint8)


def saved(tmp_path, array, mode=None, name="a.png", **options):
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(tmp_path / name, **options)
    return tmp_path / name


@pytest.mark.parametrize(
    "mode, name",
    [(None, "a.png"), ("RGB", "a.png"), ("LA", "a.png"), ("P", "a.gif"), ("L", "a.bmp")],
)
def test_grey_images_are_grey_whatever_the_file_says(mode, name, tmp_path):
    image = images.read(saved(tmp_path, GREY, mode, name))
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, GREY.astype("f") / 255)


@pytest.mark.parametrize(
    "mode, name", [(None, "a.png"), ("RGBA", "a.webp"), ("RGB", "a.tiff"), ("P", "a.png")]
)
def test_colours(mode, name, tmp_path):
    options = {"lossless": True} if name.endswith("webp") else {}
    image = images.read(saved(tmp_path, COLOUR, mode, name, **options))
    assert image.shape == (2, 2, 3)
    np.testing.assert_allclose(
        image, COLOUR / 255, atol=0.2 if mode == "P" else 1e-7
    )  # a palette of the web's 216 colours


def test_what_pillow_logs_of_a_damaged_file_is_not_printed(tmp_path):
    """In a process of its own: pytest handles what is logged."""
    content = bytearray(saved(tmp_path, COLOUR, name="a.tiff").read_bytes())
    samples = content.index((277).to_bytes(2, "little"))  # the tag of the samples per pixel
    content[samples + 8 : samples + 10] = (278).to_bytes(2, "little")
    (tmp_path / "a.tiff").write_bytes(content)
    code = f"""
from autocnn import images
try:
    images.read({str(tmp_path / "a.tiff")!r})
except ValueError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("refused\n", "")


def test_sixteen_bits_and_one(tmp_path):
    deep = np.array([[0, 1000], [40000, 65535]], np.uint16)
    np.testing.assert_allclose(images.read(saved(tmp_path, deep)), deep / 65535, rtol=1e-6)
    np.testing.assert_array_equal(images.read(saved(tmp_path, GREY // 255 * 255, "1")), GREY // 255)


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_deep_values_are_read_by_the_range_that_they_use(bits, tmp_path):
    most = 2**bits - 1
    paper = np.full((6, 8), round(0.93 * most), np.uint16)
    paper[2:4, 2:6] = round(0.12 * most)
    image, steps = reading.read_with_steps(saved(tmp_path, paper))
    np.testing.assert_allclose(image, paper / most, rtol=1e-6)
    assert image.max() == pytest.approx(0.93, abs=0.003)  # white paper stays white
    assert steps == (() if bits in (8, 16) else (f"values read as {bits} bits",))


@pytest.mark.parametrize("ink, ground", [(0, 1), (255, 0)])
def test_what_is_transparent_stands_out_from_the_ink(ink, ground, tmp_path):
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0] = (ink, ink, ink, 255)
    assert images.read(saved(tmp_path, rgba)).tolist() == [[ink / 255, ground], [ground, ground]]


def test_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the first row is the right side
    image = images.read(saved(tmp_path, GREY, exif=exif))
    np.testing.assert_array_equal(image, np.rot90(GREY, -1).astype("f") / 255)


def test_files_that_are_not_images(tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = saved(
        tmp_path, np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
    ).read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.ones((2, 2), "f")).save(tmp_path / "floats.tiff")
    for name, words in {
        "absent.png": "there is no file",
        "text.png": "is not an image that Pillow can read",
        "empty.png": "is not an image that Pillow can read",
        "half.png": "cannot be read",
        "floats.tiff": "unknown range",
        ".": "is a folder",
    }.items():
        with pytest.raises(
            ValueError,
            match=f"{re.escape(str(tmp_path / name))} .*{words}|{words} .*{re.escape(name)}",
        ):
            images.read(tmp_path / name)
    monkeypatch.setattr(reading, "MAX_PIXELS", 2499)
    with pytest.raises(ValueError, match="50x50 pixels, more than 2,499"):
        images.read(tmp_path / "a.png")


def test_the_right_size_is_left_as_it_is(generator):
    image = generator.random((8, 8)).astype("f")
    x, steps = images.fit(image, (1, 8, 8), dark_background=False, ink_fraction=0.5)
    assert steps == () and np.array_equal(x, image[None])
    colour = generator.random((8, 8, 3)).astype("f")
    x, steps = images.fit(colour, (3, 8, 8))
    assert steps == () and np.array_equal(x, colour.transpose(2, 0, 1))


def test_channels(generator):
    colour = generator.random((4, 4, 3)).astype("f")
    x, steps = images.fit(colour, (1, 4, 4))
    assert steps == ("colour to grey",)
    np.testing.assert_allclose(x[0], colour @ [0.299, 0.587, 0.114], rtol=1e-6)
    x, steps = images.fit(colour[..., 0], (3, 4, 4))
    assert steps == ("grey in all channels",) and np.array_equal(x, np.stack([colour[..., 0]] * 3))
    with pytest.raises(ValueError, match="the network takes 2"):
        images.fit(colour, (2, 4, 4))


@pytest.mark.parametrize("size", [(40, 20), (7, 30), (1, 1), (300, 2), (3, 5)])
def test_proportions_are_kept_on_a_ground_of_the_borders_colour(size):
    image = np.full(size, 0.25, "f")
    x, steps = images.fit(image, (1, 12, 10))
    assert x.shape == (1, 12, 10) and x.dtype == np.float32 and len(steps) == 1
    np.testing.assert_allclose(x, 0.25, atol=1e-6)


def test_scaling_averages():
    image = np.zeros((40, 40), "f")
    image[::2] = 1
    np.testing.assert_allclose(images.fit(image, (1, 4, 4))[0], 0.5, atol=0.03)
    wide = np.zeros((10, 40), "f")
    wide[2:8] = 1
    x, _ = images.fit(wide, (1, 8, 8))
    assert x[0, :3].max() == x[0, 5:].max() == 0  # 40x10 becomes 8x2, in the middle
    assert x[0, 3:5].min() > 0.4


def test_bright_and_dark():
    paper = np.ones((8, 8), "f")
    paper[3:5, 2:6] = 0.1
    for invert, dark, swapped in (
        (None, True, True),
        (None, False, False),
        (True, False, True),
        (False, True, False),
    ):
        x, steps = images.fit(paper, (1, 8, 8), invert, dark)
        assert ("bright and dark swapped" in steps) is swapped
        np.testing.assert_allclose(x[0], 1 - paper if swapped else paper)
    assert images.fit(1 - paper, (1, 8, 8), None, True)[1] == ()


@pytest.mark.parametrize("corner", [(5, 5), (60, 10), (20, 70)])
def test_ink_is_cut_out_stretched_and_centred(corner):
    paper = np.full((100, 120), 0.9, "f")
    paper[corner[0] : corner[0] + 30, corner[1] : corner[1] + 10] = 0.3
    x, steps = images.fit(paper, (1, 28, 28), None, True, 20 / 28)
    assert steps == (
        "bright and dark swapped",
        "ink cut out and centred",
        "120x100 to 28x28 pixels",
    )
    rows, columns = (np.flatnonzero(x[0].any(axis=axis)) for axis in (1, 0))
    assert (rows[0], rows[-1]) == (4, 23) and len(columns) == 7  # 20 rows as in MNIST
    assert x.max() == pytest.approx(1, abs=1e-6) and x.min() == 0
    middle = [(x[0].sum(axis=1 - axis) * np.arange(28)).sum() / x.sum() for axis in (0, 1)]
    np.testing.assert_allclose(middle, 13.5, atol=0.51)


def test_old_names_work_and_warn(generator):
    image = generator.random((9, 9)).astype("f")
    with pytest.warns(DeprecationWarning, match=r"images\.fit"):
        fitted = images.fitted
    with pytest.warns(DeprecationWarning, match="dark_background="):
        x, steps = fitted(image, (1, 8, 8), dark=True)
    with pytest.warns(DeprecationWarning, match="ink_fraction="):
        y, _ = images.fit(image, (1, 8, 8), dark_background=True, box=None)
    assert steps and np.array_equal(x, y)
