"""Ink on a page: which connected components are the drawing, and which are specks, frames, rules.

found = find_ink(page)               # (H, W) or (H, W, 3) in [0, 1]
found.pixels                         # the drawing cut out: 0 for paper, 1 for ink
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from autocnn.images.contrast import Contrast, local_contrast
from autocnn.images.lines import without_boxes, without_rules
from autocnn.images.uneven import faint_parts

__all__ = ["Ink", "NoInk", "find_ink", "stroke_width"]

FAINTEST = 0.045  # the least contrast that counts as ink, whatever the noise
FAINT = 0.12  # contrast below which a reading is doubtful
NOISE = 5.0  # standard deviations of the background that ink stands out by
SHADED = 0.15  # of the paper's brightness: less is no shadow
SPECK = 0.03  # of the drawing's area: smaller shapes are specks
SMALLEST = 0.02  # of the page's larger side, and 5 pixels: what is smaller is a speck
SOFT = 0.08  # of the page's smaller side: edges as wide as that are those of shadows
ONE_SIDED = 0.5  # of its edges have none opposite: not a stroke
ALIKE = 0.75  # of the drawing's contrast: other drawings are by the same pen, shadows are fainter
OTHER = 0.35  # of the drawing's height or width: larger shapes are drawings of their own
FILLED = 0.45  # of a drawing's size: strokes are narrower
NEAR = 0.3  # of the drawing's size: shapes this near belong to it
EIGHT = np.ones((3, 3))


class NoInk(ValueError):
    """There is nothing on the page."""


class Ink(NamedTuple):
    """A drawing that was found on a page.

    pixels: (h, w) in [0, 1], the drawing alone, from its first to its last row and column. width:
    of its strokes, in pixels. steps: what was done, a short text each. doubts: why the drawing may
    be read wrongly, a short text each.
    """

    pixels: np.ndarray
    width: float
    dark: bool
    steps: tuple[str, ...]
    doubts: tuple[str, ...]


class _Shape(NamedTuple):
    """A connected component: its label, place, area, contrast, and the length of its strokes."""

    label: int
    place: tuple[slice, slice]
    area: int
    contrast: float
    length: float

    @property
    def size(self) -> tuple[int, int]:
        return tuple(s.stop - s.start for s in self.place)


def find_ink(page: np.ndarray, dark: bool | None = None) -> Ink:
    """Find the drawing on a page (H, W) or (H, W, 3) in [0, 1] and cut it out.

    dark: whether the ink is darker than the page; None decides it. Of several drawings, the one
    with the longest and darkest strokes is taken. Raises ``NoInk`` when nothing stands out.
    """
    contrast = local_contrast(page, dark)
    mask, steps = _printed_lines_dropped(contrast)
    labels, shapes = _shapes(mask, contrast.strength)
    if not shapes:
        raise NoInk("no ink found")
    main = max(shapes, key=_weight(mask.shape))
    # Whatever is fainter than the drawing's own edges is not ink: shadows, the other side's print.
    strong = mask & (contrast.strength > max(0.4 * main.contrast, _faintest(contrast)))
    if not strong.any():
        raise NoInk("no ink found")
    faint = faint_parts(mask, strong, stroke_width(strong[main.place]))
    labels, shapes = _shapes(strong | faint, contrast.strength)
    if not shapes:
        raise NoInk("no ink found")
    main = max(shapes, key=_weight(mask.shape))
    if max(main.size) < max(min(5, *mask.shape), SMALLEST * max(mask.shape)):
        raise NoInk("no ink found, only specks")
    shaded = contrast.shaded > SHADED
    if shaded and any(_edges(main, mask.shape)) and max(main.size) < 0.5 * max(mask.shape):
        raise NoInk("no ink found, only shadows at the border")
    kept, specks, others = _sorted(main, [s for s in shapes if s is not main])
    chosen = np.isin(labels, [s.label for s in kept])
    steps += [f"{specks} {'speck' if specks == 1 else 'specks'} dropped"] if specks else []
    if shaded:
        steps.append("shadow evened")
    doubts = _doubts(kept, main, others, contrast, mask.shape)
    if np.any(faint & chosen):
        contrast = contrast._replace(strength=_evened(contrast.strength, faint, main.contrast))
        steps.append("faint parts of strokes kept")
    return _cut(contrast, chosen, main.contrast, tuple(steps), doubts)


def stroke_width(mask: np.ndarray) -> float:
    """The mean width of the strokes of a mask (H, W), in pixels.

    Across a stroke of width w, the distance to its edges is w / 4 in the mean.
    """
    padded = np.pad(mask, 1)
    inside = ndimage.distance_transform_edt(padded)[padded]
    return max(1.0, 4 * (float(inside.mean()) - 0.25)) if inside.size else 0.0


def _faintest(contrast: Contrast) -> float:
    """The least strength of ink."""
    return max(FAINTEST, NOISE * contrast.noise)


def _printed_lines_dropped(contrast: Contrast) -> tuple[np.ndarray, list[str]]:
    """What stands out from the background without rules and boxes, and the steps."""
    mask = contrast.strength > _faintest(contrast)
    steps = []
    mask, rules = without_rules(mask)
    mask, boxes = without_boxes(mask)
    if rules:
        steps.append(f"{rules} ruled {'line' if rules == 1 else 'lines'} dropped")
    if boxes:
        steps.append(f"{boxes} {'frame' if boxes == 1 else 'frames'} dropped")
    return mask, steps


def _shapes(mask: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, list[_Shape]]:
    """Label the components of a mask, and measure those that are more than noise."""
    labels, count = ndimage.label(mask, EIGHT)
    if not count:
        return labels, []
    least = max(2, round(3e-6 * mask.size))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    shapes = []
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        if areas[label] < least:
            continue
        part = labels[place] == label
        values = strength[place][part]
        contrast = float(np.percentile(values, 85))
        edge, one_sided = _edges_of(strength, labels, label, place, contrast)
        if edge > max(8, SOFT * min(mask.shape)) or one_sided > ONE_SIDED:
            continue
        length = areas[label] / stroke_width(part)
        shapes.append(_Shape(label, place, int(areas[label]), contrast, length))
    return labels, shapes


def _edges_of(
    strength: np.ndarray,
    labels: np.ndarray,
    label: int,
    place: tuple[slice, slice],
    contrast: float,
) -> tuple[float, float]:
    """Return (how many pixels it takes a shape to pass from the background to its contrast, how far
    its edges lack one opposite: 0 for strokes, 1 for what has an edge on one side and is cut off by
    the border of the page on the other, as shadows are).

    The integral of the gradient over a shape that ends within the page is zero.
    """
    wider = tuple(slice(max(s.start - 2, 0), s.stop + 2) for s in place)
    around = strength[wider]
    if min(around.shape) < 2:
        return 0.0, 0.0
    near = ndimage.maximum_filter(labels[wider] == label, 3)
    gradient = np.array(np.gradient(around))[:, near]
    steepness = np.hypot(*gradient)
    steepest = max(float(np.percentile(steepness, 95)), 1e-6)
    one_sided = np.hypot(*gradient.sum(axis=1)) / max(float(steepness.sum()), 1e-6)
    return contrast / steepest, float(one_sided)


def _weight(page: tuple[int, ...]) -> Callable[[_Shape], float]:
    """What makes a shape the drawing: the length of its strokes and their contrast. What lies along
    the border of the page is hardly it.
    """

    def weight(shape: _Shape) -> float:
        sides = [
            s.stop - s.start
            for axis, s in ((1, shape.place[0]), (0, shape.place[1]))
            if shape.place[1 - axis].start == 0 or shape.place[1 - axis].stop == page[1 - axis]
        ]
        along = 0.1 if sides and min(shape.size) < 0.1 * max(page) else 0.5 if sides else 1.0
        return shape.length * shape.contrast * along

    return weight


def _sorted(main: _Shape, rest: list[_Shape]) -> tuple[list[_Shape], int, list[_Shape]]:
    """Return (the shapes of the drawing, how many specks were left, other drawings)."""
    kept, specks, others = [main], 0, []
    size = max(main.size)
    for shape in rest:
        gap = _gap(main, shape)
        if shape.contrast < 0.5 * main.contrast or shape.area < SPECK * main.area:
            specks += 1
        elif gap <= NEAR * size and not _beside(main, shape):
            kept.append(shape)
        elif max(shape.size) > OTHER * size and shape.contrast > ALIKE * main.contrast:
            others.append(shape)
        else:
            specks += 1
    return kept, specks, others


def _gap(a: _Shape, b: _Shape) -> float:
    """The distance between two shapes' boxes."""
    gaps = [
        max(p.start - q.stop, q.start - p.stop, 0) for p, q in zip(a.place, b.place, strict=True)
    ]
    return float(np.hypot(*gaps))


def _beside(main: _Shape, shape: _Shape) -> bool:
    """Whether a shape is as high as the drawing and stands beside it, as another digit does."""
    rows, columns = zip(main.place, shape.place, strict=True)
    overlap = min(columns[0].stop, columns[1].stop) - max(columns[0].start, columns[1].start)
    height = min(rows[0].stop, rows[1].stop) - max(rows[0].start, rows[1].start)
    return overlap <= 0 and height > 0.7 * main.size[0]


def _edges(shape: _Shape, page: tuple[int, ...]) -> list[bool]:
    """Whether a shape touches the border of the page, in rows and in columns."""
    return [s.start == 0 or s.stop == n for s, n in zip(shape.place, page, strict=True)]


def _doubts(
    kept: list[_Shape],
    main: _Shape,
    others: list[_Shape],
    contrast: Contrast,
    page: tuple[int, int],
) -> tuple[str, ...]:
    doubts = []
    if others:
        doubts.append(f"{len(others) + 1} separate drawings, of which one is read")
    if main.contrast < FAINT:
        doubts.append(f"faint: a contrast of {main.contrast:.0%}")
    if main.contrast < 2 * NOISE * contrast.noise:
        doubts.append("hardly stronger than the noise of the image")
    if any(_edges(main, page)) and max(main.size) < 0.8 * max(page):
        doubts.append("touches the border: a part may be missing")
    if main.area / main.length > FILLED * max(main.size):
        doubts.append("a filled shape rather than strokes")
    if max(main.size) < 12:
        doubts.append(f"only {max(main.size)} pixels high")
    return tuple(doubts)


def _evened(strength: np.ndarray, faint: np.ndarray, usual: float) -> np.ndarray:
    """The strength with faint parts of strokes as strong as the others."""
    near = ndimage.maximum_filter(faint, 3)
    return np.where(near, np.maximum(strength, usual), strength)


def _cut(
    contrast: Contrast,
    chosen: np.ndarray,
    usual: float,
    steps: tuple[str, ...],
    doubts: tuple[str, ...],
) -> Ink:
    """Cut the chosen pixels and their soft edges out, scaled so that usual ink is 1."""
    rows, columns = (np.flatnonzero(chosen.any(axis=axis)) for axis in (1, 0))
    place = np.s_[max(rows[0] - 2, 0) : rows[-1] + 3, max(columns[0] - 2, 0) : columns[-1] + 3]
    near = ndimage.maximum_filter(chosen[place], 5)
    values = np.where(near, contrast.strength[place], 0)
    pixels = np.clip((values / usual - 0.15) / 0.65, 0, 1)
    rows, columns = (np.flatnonzero((pixels > 0.05).any(axis=axis)) for axis in (1, 0))
    pixels = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Ink(pixels.astype(np.float32), stroke_width(pixels > 0.5), contrast.dark, steps, doubts)
