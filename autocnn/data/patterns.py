"""Small noisy images of bars, diagonals and dots, drawn from a seed: the data of the chapter."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from autocnn.data.dataset import Dataset
from autocnn.ops.arguments import integer
from autocnn.text import did_you_mean

__all__ = ["CLASSES", "MIN_SIZE", "clean", "patterns"]

CLASSES = ("vertical", "horizontal", "diagonal", "dot", "cross")
MIN_SIZE = 4  # at size 3, a vertical bar shifted down is the same image as a shifted dot


def clean(name: str, size: int = 8) -> np.ndarray:
    """Return the image of a class without noise: (size, size), float64 in [0, 1].

    vertical and horizontal are bars of width 2 in the middle, at the indices size // 2 - 1 and
    size // 2; dot is where they cross, and cross is both. diagonal is the main diagonal with its
    two neighbours at 0.35. ValueError for another name.
    """
    bar = np.zeros(size)
    bar[size // 2 - 1 : size // 2 + 1] = 1
    rows, columns, ones = bar[:, None], bar[None, :], np.ones((size, size))
    if name == "vertical":
        return ones * columns
    if name == "horizontal":
        return ones * rows
    if name == "diagonal":
        return np.eye(size) + 0.35 * np.eye(size, k=1) + 0.35 * np.eye(size, k=-1)
    if name == "dot":
        return rows * columns
    if name == "cross":
        return np.maximum(ones * columns, rows)
    hint = did_you_mean(name, CLASSES)
    raise ValueError(f"there is no pattern {name!r}{hint} The patterns are {', '.join(CLASSES)}.")


def patterns(
    train_per_class: int = 60,
    val_per_class: int = 30,
    size: int = 8,
    seed: int = 7,
    classes: Iterable[str] = ("vertical", "horizontal", "diagonal"),
) -> Dataset:
    """Draw a ``Dataset`` of noisy patterns: images (N, 1, size, size), float64 in [0, 1].

    An image is ``clean(name)``, shifted by up to one pixel each way (zeros move in), times a
    brightness from U(0.85, 1.15), plus N(0, 0.12^2) noise, clipped to [0, 1].

    train_per_class, val_per_class: images of each class, in random order. classes: any of
    ``CLASSES``; the label of a class is its index. Equal arguments give equal bits, and the
    defaults the data of the chapter.

    ValueError for an unknown or repeated class, a count below 1, a size below 4 (where shifted
    images of two classes coincide) or a negative seed.
    """
    train_per_class = integer(train_per_class, "patterns: train_per_class")
    val_per_class = integer(val_per_class, "patterns: val_per_class")
    size = integer(size, "patterns: size", least=MIN_SIZE)
    seed = integer(seed, "patterns: seed", least=0)
    classes = _check_classes(classes)
    per_class = train_per_class + val_per_class

    # One generator draws all images; the order of its draws determines the bits.
    rng = np.random.default_rng(seed)
    images = np.empty((len(classes), per_class, size, size))
    for label, name in enumerate(classes):
        padded = np.pad(clean(name, size), 1)
        for i in range(per_class):
            down, right = rng.integers(-1, 2, size=2)
            shifted = padded[1 - down : 1 - down + size, 1 - right : 1 - right + size]
            image = shifted * rng.uniform(0.85, 1.15) + rng.normal(0, 0.12, (size, size))
            images[label, i] = np.clip(image, 0, 1)

    # A second generator splits, so the images do not depend on the split. 99 is the chapter's.
    rng = np.random.default_rng(seed + 99)
    orders = np.array([rng.permutation(per_class) for _ in classes])
    x_train, y_train = _shuffle(rng, images, orders[:, :train_per_class])
    x_val, y_val = _shuffle(rng, images, orders[:, train_per_class:])
    return Dataset(x_train, y_train, x_val, y_val, classes)


def _shuffle(
    rng: np.random.Generator, images: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images at the indices ``chosen`` (classes, n) in random order, (classes n, 1, H,
    W), and their labels.
    """
    labels = np.repeat(np.arange(len(chosen), dtype=np.int64), chosen.shape[1])
    x = images[labels, chosen.ravel()][:, None]
    order = rng.permutation(len(labels))
    return x[order], labels[order]


def _check_classes(classes: Any) -> tuple[str, ...]:
    example = "patterns(classes=('vertical', 'dot'))"
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise ValueError(f"classes must be a tuple of names, got {classes!r}: {example}")
    classes = tuple(classes)
    if not classes:
        raise ValueError(f"patterns needs at least one class, got none: {example}")
    for name in classes:
        clean(name, MIN_SIZE)  # raises for an unknown name
    repeated = [name for i, name in enumerate(classes) if name in classes[:i]]
    if repeated:
        raise ValueError(
            f"each class may be named once, got {repeated[0]!r} more than once in classes={classes}"
        )
    return classes
