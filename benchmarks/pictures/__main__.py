"""How many photographs ``autocnn predict`` reads rightly, under each condition.

python -m benchmarks.pictures RUN [--images 40] [--seed 0] [--workers 1] [--fashion RUN] [--blind]

RUN: autocnn train lenet5 --data mnist --epochs 3. The seed draws the test images and the pages.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image

from autocnn import data, runs
from autocnn.images import NoInk, fit_image
from autocnn.images.reading import deep_values
from autocnn.runs.answers import answers, run_calibration
from autocnn.runs.image_files import framing
from benchmarks.pictures.blind import blind_page
from benchmarks.pictures.conditions import BLANK, CONDITIONS, cover_of

ROW = "| {:18} | {:4} | {:7} | {:7} | {:7} | {:7} | {:6} |"
BLANK_PAGES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run folder trained on MNIST")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--fashion", help="a run folder trained on Fashion-MNIST")
    parser.add_argument("--blind", action="store_true", help="only the second generator")
    options = parser.parse_args()
    n, seed = options.images, options.seed
    drawn = [(name, hard) for name in CONDITIONS for hard in (False, True)]
    asked = [] if options.blind else [(on_pages, options.run, n, seed, *which) for which in drawn]
    asked += [(on_blind_pages, options.run, n, seed)] if options.blind else []
    asked += [(blank_pages, options.run, seed, name) for name in BLANK] if not options.blind else []
    if options.fashion:
        asked += [(on_clothing, options.fashion, n, seed, margin) for margin in (0, 140)]
    print(ROW.format("condition", "set", "right", "doubt", "either", "sure", "ms"))
    print("|---" * 7 + "|")
    with ProcessPoolExecutor(options.workers) as pool:
        for line in pool.map(answer, asked):
            print(line, flush=True)


def answer(asked):
    what, *arguments = asked
    return what(*arguments)


def test_images(name, n, seed):
    """n of the test images and their labels, another choice for each seed."""
    found = data.load(name)
    chosen = np.random.default_rng((seed, 1)).permutation(len(found.x_val))[:n]
    return found.x_val[chosen, 0], found.y_val[chosen]


def on_pages(run, n, seed, name, hard):
    x, y = test_images("mnist", n, seed)
    pages = (one_page(CONDITIONS[name], x[i], (seed, i), hard) for i in range(n))
    return row(name, "hard" if hard else "mild", measure(run, pages, y))


def on_blind_pages(run, n, seed):
    x, y = test_images("mnist", n, seed)
    pages = (blind_page(x[i], np.random.default_rng((7, seed, i))) for i in range(n))
    return row("second generator", "", measure(run, pages, y))


def blank_pages(run, seed, name):
    saved = runs.load(run)
    nothing = np.zeros(saved.config.shape[1:])
    drawn = (one_page(CONDITIONS[name], nothing, (seed, i), i % 2) for i in range(BLANK_PAGES))
    refused = sum(fitted(run, page, saved) is None for page in drawn)
    return f"blank, {name}: {refused} of {BLANK_PAGES} refused"


def on_clothing(run, n, seed, margin):
    x, y = test_images("fashion-mnist", n, seed)
    pages = (shop_image(image, margin) for image in x)
    return row(f"clothing, margin {margin}", "", measure(run, pages, y))


def one_page(draw_page, x, seed, hard):
    draw = np.random.default_rng(seed)
    return draw_page(cover_of(x, draw), draw, hard)


def shop_image(x, margin):
    large = Image.fromarray((255 - 255 * x).astype(np.uint8)).resize(
        (280, 280), Image.Resampling.BICUBIC
    )
    return np.pad(np.asarray(large) / 255, margin, constant_values=1.0)


def measure(folder, pages, labels):
    """Return the shares that are right, doubtful, either, the mean probability, and ms a page."""
    saved = runs.load(folder)
    calibration, images, began = run_calibration(folder, saved)[0], [], time.process_time()
    for page in pages:
        found = fitted(folder, page, saved)
        images.append(found)
    blank = [image is None for image in images]
    some = next(image for image in images if image is not None)
    found = answers(saved, calibration, [image or some for image in images])
    seconds = time.process_time() - began
    right = np.array([a.probabilities.argmax() for a in found]) == labels
    right &= ~np.array(blank)
    doubt = np.array([bool(a.doubts) for a in found]) | blank
    sure = np.mean([a.probabilities.max() for a in found])
    return right.mean(), doubt.mean(), (right | doubt).mean(), sure, 1000 * seconds / len(images)


def fitted(folder, page, saved=None):
    """The page as it is read from a file: rounded to its levels. None if it has no ink."""
    config = (saved or runs.load(folder)).config
    if page.dtype == np.uint16:
        page = deep_values(page.astype(np.float32))[0]
    else:
        page = np.round(255 * np.clip(page, 0, 1)).astype(np.float32) / 255
    try:
        return fit_image(page, config.shape, **framing(config))
    except NoInk:
        return None


def row(name, which, measured):
    *shares, ms = measured
    return ROW.format(name, which, *(f"{share:.1%}" for share in shares), f"{ms:.0f}")


if __name__ == "__main__":
    main()
