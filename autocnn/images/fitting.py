"""Fit images of any size to the input of a network, as the images it was trained on were made."""

from typing import NamedTuple

import numpy as np

from autocnn.deprecation import renamed_arguments
from autocnn.images.ink import NoInk, find_ink
from autocnn.images.objects import find_object
from autocnn.images.strokes import usual_strokes

__all__ = ["Fitted", "fit", "fit_image"]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: brightness of red, green, blue
MAX_SIDE = 640  # of the image in which ink is looked for
BLANK = 0.02  # an image whose grey levels differ by less is blank


class Fitted(NamedTuple):
    """An image as a network takes it.

    x: (C, H, W) in float32, in [0, 1]. steps: a short text for each change that was made. doubts: a
    short text for each thing about the image that makes an answer uncertain.
    """

    x: np.ndarray
    steps: tuple[str, ...]
    doubts: tuple[str, ...] = ()


@renamed_arguments(dark="dark_background", box="ink_fraction")
def fit(
    image: np.ndarray,
    shape: tuple[int, int, int],
    invert: bool | None = None,
    dark_background: bool = False,
    ink_fraction: float | None = None,
    trim: bool = False,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return (x, steps) of ``fit_image``."""
    return fit_image(image, shape, invert, dark_background, ink_fraction, trim)[:2]


def fit_image(
    image: np.ndarray,
    shape: tuple[int, int, int],
    invert: bool | None = None,
    dark_background: bool = False,
    ink_fraction: float | None = None,
    trim: bool = False,
) -> Fitted:
    """Fit an image (H, W) or (H, W, 3) in [0, 1] to a ``shape`` (C, H, W), C being 1 or 3.

    Colour becomes grey, or grey colour, as C needs. An image of another size is scaled with its
    proportions kept and centred on a background of the colour of its border.

    invert: swap bright and dark. None: do so if the network's images have a dark background and
        this one has a bright one, such as ink on paper.
    dark_background: whether the network's images have a dark border.
    ink_fraction: cut out what is drawn, as bright ink on 0, scale it to this fraction of the image,
        and centre it by its centre of mass. MNIST's images were made so, with 20/28.
        ``autocnn.images.ink`` says what counts as ink. None: keep the image whole. An image that
        has the right size already is never cut.
    trim: cut off the margin around an object on a plain background, so that the object fills the
        image. Fashion-MNIST's images were made so.

    ValueError when C is not 1 or 3, ``NoInk`` when there is nothing to cut out.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise ValueError(f"images have 1 or 3 channels, the network takes {channels}")
    if (ink_fraction is not None or trim) and np.ptp(image) < BLANK:
        raise NoInk("no ink found")
    size = image.shape[:2]
    if size != (height, width) and ink_fraction is not None:
        fitted = _drawing(image, shape, invert, dark_background, ink_fraction)
    else:
        fitted = _whole(image, shape, invert, dark_background, trim)
    if size == (height, width):
        return fitted
    steps = (*fitted.steps, f"{size[1]}x{size[0]} to {width}x{height} pixels")
    return fitted._replace(steps=steps)


def _drawing(
    image: np.ndarray,
    shape: tuple[int, int, int],
    invert: bool | None,
    dark_background: bool,
    ink_fraction: float,
) -> Fitted:
    """The ink of an image, centred."""
    channels, height, width = shape
    dark = None if invert is None else invert == dark_background
    ink = find_ink(_reduced(image), dark)
    steps = ["colour to grey"] if image.ndim == 3 and channels == 1 else []
    steps += ["grey in all channels"] if image.ndim == 2 and channels == 3 else []
    steps += ["bright and dark swapped"] if ink.dark == dark_background else []
    box = max(1, round(ink_fraction * height)), max(1, round(ink_fraction * width))
    pixels, more = usual_strokes(ink.pixels, ink.width, box)
    drawn = _scale(pixels[None], box)
    x = _place(drawn, np.zeros(1), (height, width), _centre_of_mass(drawn))
    if not dark_background:
        x = 1 - x
    x = np.repeat(x, channels, axis=0)
    steps += [*ink.steps, *more, "ink cut out and centred"]
    return Fitted(np.ascontiguousarray(x, np.float32), tuple(steps), ink.doubts)


def _whole(
    image: np.ndarray,
    shape: tuple[int, int, int],
    invert: bool | None,
    dark_background: bool,
    trim: bool,
) -> Fitted:
    """An image as it is, but for its channels, its brightness, its margin and its size."""
    channels, height, width = shape
    steps, x = [], image
    if x.ndim == 3 and channels == 1:
        x = x @ LUMA
        steps.append("colour to grey")
    x = x[None] if x.ndim == 2 else x.transpose(2, 0, 1)  # (C, H, W)
    if len(x) != channels:
        x = np.repeat(x, channels, axis=0)
        steps.append("grey in all channels")
    if invert or (invert is None and dark_background and _background(x).mean() > 0.5):
        x = 1 - x
        steps.append("bright and dark swapped")
    doubts: tuple[str, ...] = ()
    if x.shape[1:] != (height, width):
        background = _background(x)
        if trim:
            place, trimmed, doubts = find_object(x, background)
            x = x[:, *place]
            steps += trimmed
        x = _place(_scale(x, (height, width)), background, (height, width), None)
    return Fitted(np.ascontiguousarray(x, np.float32), tuple(steps), doubts)


def _reduced(image: np.ndarray) -> np.ndarray:
    """An image of at most ``MAX_SIDE`` pixels, each the mean of those it stands for."""
    factor = MAX_SIDE / max(image.shape[:2])
    if factor >= 1:
        return image
    size = tuple(max(1, round(n * factor)) for n in image.shape[:2])
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    small = np.stack([_resized(plane, size) for plane in planes])
    return small[0] if image.ndim == 2 else small.transpose(1, 2, 0)


def _resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    whole = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(whole.resize(size[::-1], Image.Resampling.BILINEAR))


def _background(x: np.ndarray) -> np.ndarray:
    """The background colour (C,) of an image (C, H, W): the median of its outermost pixels."""
    border = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], axis=1)
    return np.median(border, axis=1)


def _scale(x: np.ndarray, box: tuple[int, int]) -> np.ndarray:
    """Scale an image (C, H, W) to the largest size in ``box`` (height, width) that keeps its
    proportions.
    """
    factor = min(n / size for n, size in zip(box, x.shape[1:], strict=True))
    size = tuple(max(1, round(n * factor)) for n in x.shape[1:])
    return np.clip([_resized(plane, size) for plane in x], 0, 1)


def _centre_of_mass(x: np.ndarray) -> tuple[float, ...]:
    """The centre of mass (row, column) of an image (C, H, W)."""
    mass = x.sum(axis=0)
    total = mass.sum() or 1.0
    return tuple(
        float((mass.sum(axis=1 - axis) * np.arange(n)).sum() / total)
        for axis, n in enumerate(mass.shape)
    )


def _place(
    x: np.ndarray,
    background: np.ndarray,
    size: tuple[int, int],
    centre: tuple[float, ...] | None,
) -> np.ndarray:
    """Place an image on a background of ``size`` with its point ``centre`` in the middle, None for
    its own middle; never beyond the edges.
    """
    canvas = np.empty((len(x), *size), np.float32)
    canvas[:] = background[:, None, None]
    starts = []
    for axis, (n, room) in enumerate(zip(x.shape[1:], size, strict=True)):
        start = (room - n) // 2 if centre is None else round((room - 1) / 2 - centre[axis])
        starts.append(min(max(start, 0), room - n))
    top, left = starts
    canvas[:, top : top + x.shape[1], left : left + x.shape[2]] = x
    return canvas
