"""``autocnn predict`` on photographs: pages with digits, each spoilt in a way that people meet."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from typer.testing import CliRunner

from autocnn import runs
from autocnn.cli import app
from autocnn.runs.calibration import FILE

COUNT = 12


def autocnn(*args):
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, ValueError):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small network trained on scikit-learn's digits."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("pages") / "run"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("curves", "confusion", "mistakes"):
            patch.setattr(f"autocnn.plots.training.{name}", lambda *args, **options: Figure())
        options = ("--width", 3, "--epochs", 8, "--out", folder)
        result = autocnn("train", "tiny-cnn", "--data", "digits", *options)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def digits():
    pytest.importorskip("sklearn")
    from autocnn import data

    found = data.load("digits")
    return found.x_val[:COUNT, 0], found.y_val[:COUNT]


def cover(x):
    """A digit of 8x8 grey levels as ink of 160x160 pixels in the middle of a page of 400x300."""
    large = Image.fromarray(x).resize((160, 160), Image.Resampling.BICUBIC)
    whole = np.zeros((400, 300))
    whole[120:280, 70:230] = np.clip((np.asarray(large) - 0.25) / 0.4, 0, 1)
    return whole


def on_paper(x, ink=0.12, paper=0.93):
    c = cover(x)
    return paper * (1 - c) + ink * c


def answered(run, folder, pages):
    """The predictions for pages in [0, 1], saved as PNG files."""
    paths = []
    for k, page in enumerate(pages):
        paths.append(folder / f"{k}.png")
        levels = page if page.dtype.kind == "u" else (255 * np.clip(page, 0, 1)).astype(np.uint8)
        Image.fromarray(levels).save(paths[-1])
    result = autocnn("predict", run, *paths, "--json")
    return json.loads(result.stdout)["predictions"]


def share(found, labels):
    right = [int(one["top"][0]["class"]) == label for one, label in zip(found, labels, strict=True)]
    return np.mean(right)


def plain(x):
    return on_paper(x)


def speck(x):
    page = on_paper(x)
    page[30:32, 20:22] = 0.2
    return page


def shadow(x):
    page = on_paper(x)
    page[325:] *= 0.5
    return page


def pencil(x):
    return on_paper(x, ink=0.77)


def yellow(x):
    c = cover(x)[..., None]
    return 1 - c + np.array([1.0, 0.85, 0.1]) * c


def twelve_bits(x):
    return (4095 * on_paper(x)).astype(np.uint16)


def few_levels(x):
    return (255 * on_paper(x)).astype(np.uint16)


@pytest.fixture(scope="module")
def clean(run, digits, tmp_path_factory):
    return answered(run, tmp_path_factory.mktemp("clean"), [plain(x) for x in digits[0]])


def test_clean_pages_are_read(clean, digits):
    assert share(clean, digits[1]) > 0.85
    sure = [one for one in clean if not one["doubtful"]]
    assert len(sure) > COUNT / 2


SLOW = [pytest.param(spoil, marks=pytest.mark.slow) for spoil in (pencil, yellow, few_levels)]


@pytest.mark.parametrize("spoil", [speck, shadow, twelve_bits, *SLOW])
def test_spoilt_pages_are_read_as_clean_ones(spoil, run, digits, clean, tmp_path):
    found = answered(run, tmp_path, [spoil(x) for x in digits[0]])
    assert abs(share(found, digits[1]) - share(clean, digits[1])) <= 1.5 / COUNT
    probabilities = [[one["top"][0]["probability"] for one in part] for part in (found, clean)]
    assert np.abs(np.subtract(*probabilities)).mean() < 0.05
    if spoil is twelve_bits:
        assert all("values read as 12 bits" in one["changes"] for one in found)


def test_a_blank_page_is_refused_and_the_others_are_answered(run, digits, tmp_path):
    Image.fromarray(np.full((300, 200), 240, np.uint8)).save(tmp_path / "blank.png")
    Image.fromarray((255 * plain(digits[0][0])).astype(np.uint8)).save(tmp_path / "digit.png")
    with pytest.raises(ValueError, match=r"blank\.png: no ink found$"):
        autocnn("predict", run, tmp_path / "blank.png")
    result = autocnn("predict", run, tmp_path / "blank.png", tmp_path / "digit.png")
    assert result.exit_code == 1
    assert result.stderr == f"autocnn: {tmp_path / 'blank.png'}: no ink found\n"
    assert result.stdout.startswith(f"{tmp_path / 'digit.png'}: bright and dark swapped, ")


def test_doubtful_answers_say_why(run, digits, tmp_path):
    two = np.minimum(np.roll(plain(digits[0][0]), -70, 1), np.roll(plain(digits[0][1]), 70, 1))
    faint = on_paper(digits[0][0], ink=0.85)
    scribble = np.random.default_rng(0).random((8, 8))  # of the network's own size: taken as it is
    found = answered(run, tmp_path, [two, faint, scribble])
    assert all(one["doubtful"] for one in found)
    assert found[0]["doubts"][0] == "2 separate drawings, of which one is read"
    assert found[1]["doubts"][0].startswith("faint: a contrast of ")
    text = autocnn("predict", run, tmp_path / "0.png", "--top", 1).stdout.splitlines()
    assert text[2].startswith("  doubtful: 2 separate drawings, of which one is read")


def test_probabilities_are_calibrated_and_no_answer_changes(run, clean, tmp_path):
    saved = runs.load(run)
    calibration = runs.calibration.read_calibration(run, saved.config.run, saved.epoch)[0]
    assert calibration.nll <= calibration.nll_before and calibration.images == 355
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in run.iterdir():
        if path.name != FILE:
            (bare / path.name).write_bytes(path.read_bytes())
    Image.fromarray((255 * plain(np.eye(8, dtype="f"))).astype(np.uint8)).save(tmp_path / "a.png")
    with_it, without = (
        json.loads(autocnn("predict", folder, tmp_path / "a.png", "--json").stdout)
        for folder in (run, bare)
    )
    assert with_it["calibrated"] and not without["calibrated"]
    tops = [[row["class"] for row in part["predictions"][0]["top"]] for part in (with_it, without)]
    assert tops[0] == tops[1]
    text = autocnn("predict", bare, tmp_path / "a.png").stdout
    assert text.endswith(
        "The probabilities are not calibrated: the run has no calibration, which takes 50 "
        "validation images.\n"
    )
    (bare / FILE).write_bytes((run / FILE).read_bytes().replace(b'"images": 3', b'"images": 4'))
    assert "damaged" in autocnn("predict", bare, tmp_path / "a.png").stdout
    rows = json.loads(autocnn("verify", bare, "--json").stdout)["files"]
    assert [row["ok"] for row in rows if row["file"] == FILE] == [False]


def test_the_image_as_the_network_sees_it(run, digits, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray((255 * plain(digits[0][0])).astype(np.uint8)).save(path)
    lines = autocnn("predict", run, path, "--show", "--top", 1).stdout.splitlines()
    assert lines[1] == "  ┌────────┐" and lines[6] == "  └────────┘"
    assert all(len(line) == 12 for line in lines[1:7])
    assert any("█" in line or "▓" in line for line in lines[2:6])
    autocnn("predict", run, path, path, "--out", tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_tells_each_class_and_the_calibration(run):
    about = json.loads(autocnn("evaluate", run, "--json").stdout)
    rows = about["classes"]
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(row["images"] for row in rows) == about["images"] == 355
    right = sum(row["images"] * row["recall"] for row in rows)
    assert right / 355 == pytest.approx(about["accuracy"])
    found = about["calibration"]
    assert found["nll"] <= found["nll_before"] == pytest.approx(about["loss"])
    text = autocnn("evaluate", run).stdout
    assert f"with temperature {found['temperature']:.3f}: ECE" in text
