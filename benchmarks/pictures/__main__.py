"""How many photographs ``autocnn predict`` reads rightly, under each condition.

python -m benchmarks.pictures RUN [--images 40] [--fashion RUN] [--blind]

RUN: autocnn train lenet5 --data mnist --epochs 3. The i-th page shows the i-th test image.
"""

import argparse
import time

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run folder trained on MNIST")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--fashion", help="a run folder trained on Fashion-MNIST")
    parser.add_argument("--blind", action="store_true", help="only the second generator")
    options = parser.parse_args()
    n, mnist = options.images, data.load("mnist")
    x, y = mnist.x_val[:n, 0], mnist.y_val[:n]
    print(ROW.format("condition", "set", "right", "doubt", "either", "sure", "ms"))
    print("|---" * 7 + "|")
    if options.blind:
        pages = (blind_page(x[i], np.random.default_rng((7, i))) for i in range(n))
        print(row("second generator", "", measure(options.run, pages, y)))
        return
    for name, draw_page in CONDITIONS.items():
        for hard in (False, True):
            pages = (one_page(draw_page, x[i], i, hard) for i in range(n))
            print(row(name, "hard" if hard else "mild", measure(options.run, pages, y)), flush=True)
    refused = 0
    for name in BLANK:
        for i in range(20):
            page = one_page(CONDITIONS[name], 0 * x[0], i, i % 2 == 1)
            refused += fitted(options.run, page) is None
    print(f"\nblank pages refused: {refused} of {20 * len(BLANK)}")
    if options.fashion:
        shop = data.load("fashion-mnist")
        for margin in (0, 140):
            pages = (shop_image(shop.x_val[i, 0], margin) for i in range(n))
            print(
                row(
                    f"clothing, margin {margin}",
                    "",
                    measure(options.fashion, pages, shop.y_val[:n]),
                )
            )


def one_page(draw_page, x, i, hard):
    draw = np.random.default_rng(i)
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
