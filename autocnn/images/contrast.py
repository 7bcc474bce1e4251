"""Local contrast: how far each pixel of a page differs from the paper around it.

Shadows, vignettes and the light of a lamp change the paper and the ink by one factor, so that ink
is told by the ratio of the two, and the paper's brightness is taken from the neighbourhood.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

__all__ = ["Contrast", "local_contrast"]

WINDOW = 0.35  # of the page's smaller side: wider than any stroke, narrower than most shadows
COARSE = 160  # pixels of the larger side on which the ink's colour and side are decided
FLOOR = 0.2  # of the page's brightest paper: below it a ratio would be one of noise


class Contrast(NamedTuple):
    """strength (H, W): 0 for the background, 1 for ink that reflects nothing of its light.
    noise: the standard deviation of the background in it. dark: whether the ink is darker than the
    background. shaded: how far the background's brightness varies, from 0 to 1.
    """

    strength: np.ndarray
    noise: float
    dark: bool
    shaded: float


def local_contrast(page: np.ndarray, dark: bool | None = None) -> Contrast:
    """Return the contrast of a page (H, W) or (H, W, 3) in [0, 1] with its background.

    dark: whether the ink is darker than the background; None decides it. Of a page in colour, the
    mix of channels is used in which the ink stands out most.

    The background of dark ink is the page's grey closing: the paper with everything filled in that
    is narrower than ``WINDOW``, whose wider shadows keep their edges. strength = (background -
    page) / background. Of bright ink, that of the page with bright and dark swapped.
    """
    coarse = page[tuple(slice(None, None, max(1, n // COARSE)) for n in page.shape[:2])]
    if max(coarse.shape[:2]) < max(page.shape[:2]):
        smooth = ndimage.uniform_filter(page, _steps(page, COARSE))
        coarse = smooth[tuple(slice(None, None, max(1, n // COARSE)) for n in page.shape[:2])]
    if dark is None:
        dark = _is_dark_ink(coarse.min(axis=2) if page.ndim == 3 else coarse)
    if not dark:
        page, coarse = 1 - page, 1 - coarse
    if page.ndim == 3:
        page = page @ _mix(coarse)
    page = ndimage.gaussian_filter(page, 0.8 if min(page.shape) > 100 else 0.0)
    light = _light(page)
    # Both are too bright somewhere: the first where light fades towards the border, the second at
    # the edges of shadows, which are not smooth.
    paper = _background(page)
    if light is not None:
        paper = np.minimum(paper, _background(page / light) * light)
    depth = paper - page
    usual = float(np.median(depth))  # the closing follows the brightest pixels of the noise
    noise = 1.4826 * float(np.median(np.abs(depth - usual)))
    floor = FLOOR * max(float(paper.max()), 1e-6)
    paper = np.maximum(paper - usual, floor)
    strength = np.maximum((depth - usual) / paper, 0)
    low, usual_paper, high = np.percentile(paper[::2, ::2], (2, 50, 98))
    return Contrast(strength, noise / float(usual_paper), dark, float(1 - low / high))


def _light(page: np.ndarray) -> np.ndarray | None:
    """The smooth part of a page's light, around 1: a polynomial of degree 2 in the place, fitted to
    the logarithm of the paper. None where it explains less than half of what the paper varies.
    """
    step = tuple(max(1, n // 48) for n in page.shape)
    small = page[:: step[0], :: step[1]]
    rows, columns = (np.linspace(-1, 1, n) for n in small.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = _terms(y, x)
    levels = np.log(np.maximum(small, 0.02)).ravel()
    weights, ridge = np.ones_like(levels), 1e-6 * len(levels) * np.eye(terms.shape[1])
    for _ in range(8):  # each time with less weight for what is darker than the paper
        weighted = terms * weights[:, None]
        factors = np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ levels)
        off = levels - terms @ factors
        spread = max(1.4826 * float(np.median(np.abs(off))), 0.01)
        weights = 1 / (1 + (off / (2 * spread)) ** 2)
    even = levels - np.median(levels)
    if np.median(np.abs(off)) > 0.5 * np.median(np.abs(even)):
        return None
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in page.shape), indexing="ij")
    light = np.exp(_terms(y, x) @ factors).reshape(page.shape)
    return (light / light.max()).astype(page.dtype)


def _terms(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(x), y, x, y * y, x * y, x * x], axis=-1).reshape(-1, 6)


def _steps(page: np.ndarray, size: int) -> tuple[int, ...]:
    return (*(max(1, n // size) for n in page.shape[:2]), *(1 for _ in page.shape[2:]))


def _window(shape: tuple[int, ...]) -> int:
    return 2 * round(WINDOW * min(shape[:2]) / 2) + 1  # odd: an even window has no middle


def _background(page: np.ndarray) -> np.ndarray:
    """The grey closing of a page (H, W, ...) over its first two axes."""
    size = (_window(page.shape),) * 2 + (1,) * (page.ndim - 2)
    brightest = ndimage.maximum_filter(page, size, mode="nearest")
    return ndimage.minimum_filter(brightest, size, mode="nearest")


def _is_dark_ink(page: np.ndarray) -> bool:
    """Whether the rarer side of the local contrast is the dark one: there is less ink than paper.

    In each neighbourhood the middle between its darkest and brightest pixel divides the two.
    """
    page = ndimage.gaussian_filter(page, 0.7)
    size = 2 * _window(page.shape) + 1
    darkest = ndimage.minimum_filter(page, size, mode="nearest")
    brightest = ndimage.maximum_filter(page, size, mode="nearest")
    weight = brightest - darkest
    bright = page > (darkest + brightest) / 2
    return float((weight * bright).sum()) >= 0.5 * float(weight.sum())


def _mix(coarse: np.ndarray) -> np.ndarray:
    """The weights (3,) of red, green and blue by which dark ink stands out most from its noise."""
    depth = _background(coarse) - coarse
    strongest = depth.max(axis=2)
    ink = strongest > 0.6 * float(np.percentile(strongest, 99.8))
    weights = np.maximum(depth[ink].mean(axis=0), 0) if ink.any() else np.ones(3)
    total = float(weights.sum())
    return (weights / total if total > 0 else np.full(3, 1 / 3)).astype(coarse.dtype)
