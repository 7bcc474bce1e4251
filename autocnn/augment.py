"""Data augmentation: functions (key, x) -> x for ``train(..., augment=...)``.

x is a batch of images (N, C, H, W). Labels stay as they are. Each image draws its own random
numbers, and equal keys give equal batches.

    train(params, data, augment=compose(flips(), rotations(10), shifts(2)))
    train(params, data, augment=named("flip,rotate=10,shift=2"))
"""

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from autocnn.keys import child, rng
from autocnn.ops.arguments import pair
from autocnn.text import did_you_mean

__all__ = [
    "NAMES",
    "Augmentation",
    "brightness",
    "compose",
    "crops",
    "erasures",
    "flips",
    "named",
    "rotations",
    "scales",
    "shifts",
]

Augmentation = Callable[[Any, np.ndarray], np.ndarray]


def shifts(most: int | tuple[int, int], fill: float = 0.0) -> Augmentation:
    """Shift each image by up to ``most`` pixels up or down, and left or right.

    most: an int or a pair (vertical, horizontal), 0 or more; ValueError otherwise. All (2 v + 1)
    (2 h + 1) shifts are equally likely. fill: the value of pixels that move in from the edges.
    """
    return _moved(pair(most, "shifts: most", least=0), "constant", constant_values=fill)


def crops(padding: int | tuple[int, int], mode: str = "reflect") -> Augmentation:
    """Pad each image by ``padding`` pixels on every side and cut its size out at a random place.

    As ``shifts``, but for ``mode``, one of ``numpy.pad``'s: "reflect" mirrors the image at its
    edges, "edge" repeats them. padding: an int or a pair (vertical, horizontal), below the image's
    size for "reflect"; ValueError otherwise.
    """
    if mode not in ("reflect", "edge", "symmetric", "wrap"):
        raise ValueError(f"crops: mode is 'reflect', 'edge', 'symmetric' or 'wrap'; got {mode!r}")
    return _moved(pair(padding, "crops: padding", least=0), mode)


def _moved(most: tuple[int, ...], mode: Any, **options: Any) -> Augmentation:
    v, h = most

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        n, _, height, width = x.shape
        if mode == "reflect" and (v >= height or h >= width):
            raise ValueError(f"crops: padding {most} needs larger images than {height}x{width}")
        padded = np.pad(x, ((0, 0), (0, 0), (v, v), (h, h)), mode, **options)
        generator = rng(key)
        down, right = generator.integers(0, 2 * v + 1, n), generator.integers(0, 2 * h + 1, n)
        # (N, C, 2 v + 1, 2 h + 1, H, W)
        crops = sliding_window_view(padded, (height, width), axis=(2, 3))
        return crops[np.arange(n), :, down, right]  # (N, C, H, W), contiguous

    return augment


def flips(share: float = 0.5) -> Augmentation:
    """Mirror images left to right with probability ``share``, a number in [0, 1].

    For images whose mirror image has the same label: clothes, but not digits. ValueError for
    another share.
    """
    if not 0 <= share <= 1:
        raise ValueError(
            f"flips: share is the probability of mirroring an image, 0 to 1; got {share!r}"
        )

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        mirrored = rng(key).random(len(x)) < share
        return np.where(mirrored[:, None, None, None], x[..., ::-1], x)

    return augment


def rotations(most: float, fill: float = 0.0) -> Augmentation:
    """Turn each image about its middle by an angle from U(-most, most) degrees.

    Bilinear interpolation; pixels from outside have the value ``fill``. ValueError for an angle
    that is not from 0 to 180.
    """
    most = _number("rotations: most", most, 180)

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        angle = np.deg2rad(rng(key).uniform(-most, most, len(x)))
        cos, sin = np.cos(angle), np.sin(angle)
        return _linear_map(x, np.array([[cos, -sin], [sin, cos]]), fill)

    return augment


def scales(most: float, fill: float = 0.0) -> Augmentation:
    """Enlarge or shrink each image about its middle by a factor exp(u), u from U(-m, m), with
    m = ln(1 + most): 0.25 is from 0.8 to 1.25.

    Bilinear interpolation; pixels from outside have the value ``fill``. ValueError for a share that
    is not from 0 to 10.
    """
    span = np.log1p(_number("scales: most", most, 10))

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        inverse = np.exp(rng(key).uniform(-span, span, len(x)))
        zero = np.zeros(len(x))
        return _linear_map(x, np.array([[inverse, zero], [zero, inverse]]), fill)

    return augment


def erasures(size: int | tuple[int, int], fill: float = 0.0) -> Augmentation:
    """Set a rectangle of each image to ``fill`` in all channels.

    size: (H, W) of it, or one number for both. Its middle is any pixel, equally likely, so that
    it may stand over the edges (DeVries and Taylor 2017, Improved regularization of convolutional
    neural networks with cutout). ValueError for a size below 1.
    """
    rows, columns = pair(size, "erasures: size", least=1)

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        n, _, height, width = x.shape
        generator = rng(key)
        top = generator.integers(0, height, n) - rows // 2
        left = generator.integers(0, width, n) - columns // 2
        down = np.arange(height) - top[:, None]  # (N, H): the row within the rectangle
        right = np.arange(width) - left[:, None]
        in_rows, in_columns = (down >= 0) & (down < rows), (right >= 0) & (right < columns)
        inside = in_rows[:, :, None] & in_columns[:, None, :]
        return np.where(inside[:, None], x.dtype.type(fill), x)

    return augment


def brightness(most: float, black: float = 0.0) -> Augmentation:
    """Multiply the distance of each image from ``black`` by a factor from U(1 - most, 1 + most).

    ValueError for a share that is not from 0 to 1.
    """
    most = _number("brightness: most", most, 1)

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        factor = rng(key).uniform(1 - most, 1 + most, len(x)).astype(x.dtype)
        zero = x.dtype.type(black)
        return zero + (x - zero) * factor[:, None, None, None]

    return augment


def compose(*augments: Augmentation) -> Augmentation:
    """Apply augmentations in order. The i-th gets the i-th child of the key."""

    def augment(key: Any, x: np.ndarray) -> np.ndarray:
        for i, part in enumerate(augments):
            x = part(child(key, i), x)
        return x

    return augment


# name -> (function of (value, fill), the value where none is given; None where one is needed)
NAMES: dict[str, tuple[Callable[..., Augmentation], float | None]] = {
    "flip": (lambda share, fill: flips(share), 0.5),
    "shift": (lambda most, fill: shifts(_whole("shift", most), fill), None),
    "crop": (lambda most, fill: crops(_whole("crop", most)), None),
    "rotate": (rotations, None),
    "scale": (scales, None),
    "erase": (lambda size, fill: erasures(_whole("erase", size), fill), None),
    "brightness": (brightness, None),
}


def named(text: str, fill: float = 0.0) -> Augmentation:
    """Return the augmentations that a text names, composed in its order: "flip,rotate=10,crop=2".

    The names are flip (share, 0.5 if none is given), shift and crop (pixels), rotate (degrees),
    scale and brightness (share), and erase (pixels). fill: the value of the background. ValueError
    for another name, and for a value that its function does not take.
    """
    parts = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, equals, number = word.partition("=")
        if name not in NAMES:
            raise ValueError(
                f"there is no augmentation {name!r}{did_you_mean(name, NAMES)} They are "
                f"{', '.join(NAMES)}, such as flip,rotate=10,crop=2"
            )
        function, value = NAMES[name]
        if equals:
            try:
                value = float(number)
            except ValueError:
                raise ValueError(f"{name} takes a number, such as {name}=2; got {word}") from None
        if value is None:
            raise ValueError(f"{name} needs a number, such as {name}=2")
        parts.append(function(value, fill))
    return compose(*parts)


def _number(what: str, value: Any, largest: float) -> float:
    if not isinstance(value, numbers.Real) or not 0 <= float(value) <= largest:
        raise ValueError(f"{what} must be a number from 0 to {largest}; got {value!r}")
    return float(value)


def _whole(name: str, value: float) -> int:
    if not math.isfinite(value) or value != int(value):
        raise ValueError(f"{name} takes a whole number of pixels; got {value:g}")
    return int(value)


def _linear_map(x: np.ndarray, inverse: np.ndarray, fill: float) -> np.ndarray:
    """Return images whose pixel at p, counted from the middle, is that of x at inverse p.

    inverse: (2, 2, N). Bilinear interpolation between pixels; those beyond the edges are ``fill``.
    """
    n, channels, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    down = np.arange(height)[:, None] - (height - 1) / 2
    right = np.arange(width)[None, :] - (width - 1) / 2
    places, weights = [], []
    for row, size in zip(inverse, (height, width), strict=True):
        at = row[0][:, None, None] * down + row[1][:, None, None] * right + (size - 1) / 2
        at = np.clip(at + 1, 0, size + 1)  # in the padded image
        first = np.minimum(at.astype(np.int64), size)
        places.append(first)
        weights.append((at - first).astype(x.dtype)[:, None])
    (i, j), (u, v) = places, weights
    flat = padded.reshape(n, channels, -1)

    def pixels(di: int, dj: int) -> np.ndarray:
        index = ((i + di) * (width + 2) + j + dj).reshape(n, 1, -1)
        return np.take_along_axis(flat, index, axis=2).reshape(x.shape)

    one = x.dtype.type(1)
    top = pixels(0, 0) * (one - v) + pixels(0, 1) * v
    bottom = pixels(1, 0) * (one - v) + pixels(1, 1) * v
    return top * (one - u) + bottom * u
