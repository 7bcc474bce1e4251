"""Digits drawn otherwise than in ``conditions``, to measure what was not looked at while writing.

Pages of other sizes and papers, digits of 60 to 500 pixels anywhere, other pens and edges.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

__all__ = ["blind_page"]


def blind_page(x: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A page with the digit (28, 28) on it, and one to three things that go wrong."""
    height, width = (int(n) for n in draw.integers(500, 1600, 2))
    size = int(draw.integers(60, min(500, int(0.9 * min(height, width)))))
    page_ink = _stroke(x, size, draw)
    top, left = (int(draw.integers(5, n - size - 5)) for n in (height, width))
    cover = np.zeros((height, width))
    cover[top : top + size, left : left + size] = page_ink
    paper = draw.uniform(0.7, 1.0)
    colour = np.array([paper, paper * draw.uniform(0.95, 1), paper * draw.uniform(0.85, 1)])
    ink = colour * draw.uniform(0.1, 0.7) * draw.uniform(0.5, 1, 3)
    page = colour * (1 - cover[..., None]) + ink * cover[..., None]
    for spoil in draw.choice(SPOILS, draw.integers(1, 4), replace=False):
        page = spoil(page, (top, left, size), draw)
    return page if draw.random() < 0.7 else page.mean(axis=2)


def _stroke(x: np.ndarray, size: int, draw: np.random.Generator) -> np.ndarray:
    """The digit's outline at another width, with edges sharp or soft."""
    fine = ndimage.zoom(x, 10, order=3)
    inside = fine > 0.5
    distance = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    edge = draw.uniform(1, 6)
    drawn = np.clip((distance + draw.uniform(-5, 6)) / edge + 0.5, 0, 1)
    large = Image.fromarray(drawn.astype(np.float32)).resize((size, size), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(large), 0, 1)


def _lamp(page, where, draw):
    y, x = np.indices(page.shape[:2]) / max(page.shape)
    far = np.hypot(y - draw.uniform(0, 1), x - draw.uniform(0, 1))
    return page * np.clip(1.1 - draw.uniform(0.2, 0.7) * far, 0.1, 1)[..., None]


def _hand(page, where, draw):
    y, x = np.indices(page.shape[:2])
    a, b = draw.normal(size=2)
    along = (a * (y - page.shape[0] / 2) + b * (x - page.shape[1] / 2)) / np.hypot(a, b)
    edge = along / draw.uniform(1, 60) + draw.uniform(-3, 3)
    return page * (1 - draw.uniform(0.2, 0.6) / (1 + np.exp(-np.clip(edge, -50, 50))))[..., None]


def _dirt(page, where, draw):
    page = page.copy()
    for _ in range(int(draw.integers(1, 60))):
        r = draw.uniform(0.5, 4)
        y, x = draw.uniform(0, page.shape[0]), draw.uniform(0, page.shape[1])
        top, left = int(y), int(x)
        page[top : top + int(2 * r) + 1, left : left + int(2 * r) + 1] *= draw.uniform(0.2, 0.7)
    return page


def _lined(page, where, draw):
    page, step = page.copy(), int(draw.integers(25, 120))
    slope, shade = draw.uniform(-0.02, 0.02), draw.uniform(0.5, 0.85, 3)
    columns = np.arange(page.shape[1])
    for start in range(-50, page.shape[0] + 50, step):
        for k in range(int(draw.integers(1, 3))):
            rows = np.round(start + k + slope * columns).astype(int)
            there = (rows >= 0) & (rows < page.shape[0])
            page[rows[there], columns[there]] *= shade
    return page


def _cell(page, where, draw):
    page, (top, left, size) = page.copy(), where
    gap, shade = int(draw.integers(2, 20)), draw.uniform(0.2, 0.7)
    t, l = max(top - gap, 0), max(left - gap, 0)
    b, r = min(top + size + gap, page.shape[0] - 4), min(left + size + gap, page.shape[1] - 4)
    for part in (
        np.s_[t : t + 3, l:r],
        np.s_[b : b + 3, l:r],
        np.s_[t:b, l : l + 3],
        np.s_[t:b, r : r + 3],
    ):
        page[part] *= shade
    return page


def _grain(page, where, draw):
    return page + draw.normal(0, draw.uniform(0.01, 0.08), page.shape)


def _soft(page, where, draw):
    return ndimage.gaussian_filter(page, (draw.uniform(0.5, 0.015 * where[2] + 0.5),) * 2 + (0,))


def _tilted(page, where, draw):
    return ndimage.rotate(page, draw.uniform(-8, 8), reshape=False, order=1, mode="nearest")


SPOILS = [_lamp, _hand, _dirt, _lined, _cell, _grain, _soft, _tilted]
