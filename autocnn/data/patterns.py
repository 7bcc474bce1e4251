"""Small noisy pictures of bars, diagonals and dots: the chapter's data, drawn anew from a seed
each time.
"""

import operator
from collections.abc import Iterable

import numpy as np

from autocnn.data.dataset import Dataset
from autocnn.text import did_you_mean

SMALLEST = 4  # at size 3, a vertical bar that is shifted down is the same picture as a shifted dot


def clean(name, size=8):
    """The noiseless picture of a class: (size, size) float64 in [0, 1].

    vertical and horizontal are bars on the cells size // 2 - 1 and size // 2, dot is where they
    meet, cross is both; diagonal is the main diagonal with its two neighbours at 0.35.
    """
    along = np.zeros(size)
    along[size // 2 - 1 : size // 2 + 1] = 1
    down, right = along[:, None], along[None, :]
    everywhere = np.ones((size, size))
    drawings = {
        "vertical": lambda: everywhere * right,
        "horizontal": lambda: everywhere * down,
        "diagonal": lambda: np.eye(size) + 0.35 * np.eye(size, k=1) + 0.35 * np.eye(size, k=-1),
        "dot": lambda: down * right,
        "cross": lambda: np.maximum(everywhere * right, down),
    }
    if name not in drawings:
        hint = did_you_mean(name, drawings)
        raise ValueError(
            f"there is no pattern {name!r}{hint} The patterns are {', '.join(drawings)}."
        )
    return drawings[name]()


def patterns(
    train_per_class=60,
    val_per_class=30,
    size=8,
    seed=7,
    classes=("vertical", "horizontal", "diagonal"),
):
    """Draw a Dataset of noisy patterns: pictures (N, 1, size, size) float64 in [0, 1], labels
    int64.

    A picture is its class's clean drawing, shifted by up to one cell each way (what leaves is lost,
    what enters is 0), times a brightness from U(0.85, 1.15), plus N(0, 0.12^2) noise, clipped to
    [0, 1]. `classes` are any of vertical, horizontal, diagonal, dot and cross, in the order of
    their labels. Both sets are shuffled and hold exactly the asked number of each class. The same
    arguments give the same bits; the defaults give the chapter's data.

    ValueError for an unknown or repeated class, a count under 1, a size under 4 (below it, shifted
    patterns of two classes coincide) or a negative seed.
    """
    train_per_class, val_per_class, size, seed, classes = _checked(
        train_per_class, val_per_class, size, seed, classes
    )
    per_class = train_per_class + val_per_class

    # One generator draws every picture; the order of its draws fixes the bits.
    rng = np.random.default_rng(seed)
    pictures = np.empty((len(classes), per_class, size, size))
    for label, name in enumerate(classes):
        frame = np.pad(clean(name, size), 1)  # zeros to move in from
        for i in range(per_class):
            down, right = rng.integers(-1, 2, size=2)
            shifted = frame[1 - down : 1 - down + size, 1 - right : 1 - right + size]
            picture = shifted * rng.uniform(0.85, 1.15) + rng.normal(0, 0.12, (size, size))
            pictures[label, i] = np.clip(picture, 0, 1)

    # A second one splits, so that the pictures do not depend on the split; 99 is the chapter's.
    rng = np.random.default_rng(seed + 99)
    orders = np.array([rng.permutation(per_class) for _ in classes])
    x_train, y_train = _shuffled(rng, pictures, orders[:, :train_per_class])
    x_val, y_val = _shuffled(rng, pictures, orders[:, train_per_class:])
    return Dataset(x_train, y_train, x_val, y_val, classes)


def _shuffled(rng, pictures, chosen):
    """The chosen pictures (classes, n) of every class as one set in random order: (classes * n,
    1, H, W) and labels.
    """
    labels = np.repeat(np.arange(len(chosen), dtype=np.int64), chosen.shape[1])
    x = pictures[labels, chosen.ravel()][:, None]
    order = rng.permutation(len(labels))
    return x[order], labels[order]


def _checked(train_per_class, val_per_class, size, seed, classes):
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise ValueError(
            f"classes must be a tuple of names, got {classes!r}: patterns(classes=('vertical', 'dot'))"
        )
    classes = tuple(classes)
    if not classes:
        raise ValueError(
            "patterns needs at least one class, got none: patterns(classes=('vertical', 'dot'))"
        )
    for name in classes:
        clean(name, SMALLEST)  # it knows the names
    repeated = [name for i, name in enumerate(classes) if name in classes[:i]]
    if repeated:
        raise ValueError(
            f"each class may be named once, got {repeated[0]!r} more than once in classes={classes}"
        )
    return (
        _whole("train_per_class", train_per_class, least=1, such_as=60),
        _whole("val_per_class", val_per_class, least=1, such_as=30),
        _whole("size", size, least=SMALLEST, such_as=8),
        _whole("seed", seed, least=0, such_as=7),
        classes,
    )


def _whole(name, value, least, such_as):
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ValueError(
            f"{name} must be a whole number of at least {least}, got {value!r}: patterns({name}={such_as})"
        )
    return number
