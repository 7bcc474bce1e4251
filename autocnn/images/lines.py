"""Lines that are printed on paper and are no part of a drawing: rules, grids, frames, form boxes.

A line is straight, thin, and spans its page; the sides of a box span the box. Where ink crosses a
line, the ink stays.
"""

import numpy as np
from scipy import ndimage

__all__ = ["run_lengths", "without_boxes", "without_rules"]

PIECE = 0.05  # of the side: the straight pieces that a line is made of, so that it may be tilted
SPAN = 0.8  # of the page, or of a box
THIN = 0.02  # of the larger side: lines are no thicker
GAP = 0.35  # of its length: what crosses a line may hide that much of it


def without_rules(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Return (mask (H, W) of the ink without lines that span the page, how many there were)."""
    across, taken_across = _lines(mask, mask.shape)
    down, taken_down = _lines(mask.T, mask.T.shape)
    return mask & ~taken_across & ~taken_down.T, len(across) + len(down)


def without_boxes(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Return (mask (H, W) without rectangles of straight lines, how many there were)."""
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    taken, boxes = np.zeros_like(mask), 0
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        height, width = (s.stop - s.start for s in place)
        if min(height, width) < 0.06 * min(mask.shape):
            continue
        part = labels[place] == label
        across, taken_across = _lines(part, mask.shape)
        down, taken_down = _lines(part.T, mask.T.shape)
        if _are_sides(across, height) and _are_sides(down, width):
            boxes += 1
            taken[place] |= taken_across | taken_down.T
    return mask & ~taken, boxes


def _are_sides(lines: list[float], extent: int) -> bool:
    """Whether two of the lines are the first and the last rows of their box, about."""
    return bool(lines) and min(lines) < 0.15 * extent and max(lines) > 0.85 * extent


def _lines(part: np.ndarray, page: tuple[int, ...]) -> tuple[list[float], np.ndarray]:
    """Find the thin lines along axis 1 that span ``part`` (H, W), which is cut from a page.

    Returns (the mean row of each, the mask (H, W) of what of them is not crossed by ink).
    """
    height, width = part.shape
    length = 2 * max(4, round(PIECE * page[1] / 2)) + 1
    lines: list[float] = []
    taken = np.zeros_like(part)
    if width < 2 * length:
        return lines, taken
    if not _can_span(_pieces(part, length)):  # most drawings: no need to look closer
        return lines, taken
    runs = run_lengths(part)
    thin = part & (runs <= 2 + THIN * max(page))
    pieces = _pieces(thin, length)
    # Ink that crosses a line interrupts it, and so does noise.
    joined = ndimage.maximum_filter(pieces, (5, round(GAP * width)), mode="constant", cval=0)
    labels, _ = ndimage.label(joined, np.ones((3, 3)))
    for label, place in enumerate(ndimage.find_objects(labels), 1):
        rows = slice(max(place[0].start - 3, 0), place[0].stop + 3)
        line = (labels[rows] == label) & pieces[rows]
        if not _can_span(line):
            continue
        covered = line.any(axis=0)
        lines.append(rows.start + float(np.nonzero(line)[0].mean()))
        # In most columns nothing crosses the line, and where ink does, its run is the longer one.
        usual = float(np.median(np.where(line, runs[rows], height).min(axis=0)[covered]))
        near = ndimage.maximum_filter(line, (5, 3))
        taken[rows] |= near & part[rows] & (runs[rows] <= 1.6 * usual + 2)
    return lines, taken


def _pieces(mask: np.ndarray, length: int) -> np.ndarray:
    """What of a mask (H, W) lies in a horizontal run of that length, which may climb by a row."""
    thick = ndimage.maximum_filter1d(mask, 3, axis=0)
    whole = ndimage.minimum_filter1d(thick, length, axis=1, mode="constant", cval=0)
    return ndimage.maximum_filter1d(whole, length, axis=1, mode="constant", cval=0) & mask


def _can_span(line: np.ndarray) -> bool:
    """Whether a mask (H, W) reaches over most columns and has something in half of them."""
    columns = np.flatnonzero(line.any(axis=0))
    width = line.shape[1]
    return len(columns) >= 0.5 * width and columns[-1] - columns[0] >= SPAN * width


def run_lengths(mask: np.ndarray) -> np.ndarray:
    """The length of the vertical run of true values that each pixel of a mask (H, W) is in."""
    columns = np.zeros((mask.shape[0] + 2, mask.shape[1]), np.int8)
    columns[1:-1] = mask
    change = np.diff(columns, axis=0).T  # (W, H + 1)
    column, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    lengths = np.zeros((mask.shape[1], mask.shape[0] + 1), np.int64)
    lengths[column, start] = stop - start
    # Every pixel of a run takes the number at its start.
    starts = np.where(change == 1, np.arange(change.shape[1]), 0)
    latest = np.maximum.accumulate(starts, axis=1)[:, :-1]
    return np.where(mask.T, np.take_along_axis(lengths, latest, axis=1), 0).T
