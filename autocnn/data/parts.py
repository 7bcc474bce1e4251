"""What a reader of files returns, and how it becomes a ``Dataset``."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.arrays import from_arrays
from autocnn.data.dataset import Dataset
from autocnn.data.labels import hold_out
from autocnn.memory import available, gigabytes

__all__ = [
    "SHARE",
    "Pair",
    "Parts",
    "as_bytes",
    "check_memory",
    "dataset",
    "split_dataset",
]

SHARE = 0.2  # held out where the data come in one part
COPIES = 5  # bytes for each byte of images: the byte, and the float32 it becomes

Pair = tuple[Any, Any]  # images and labels, as ``from_arrays`` takes them


class Parts(NamedTuple):
    """Images and labels as they are in files, in up to three parts; ``from_arrays`` reads them.

    classes: the names, or None for the labels themselves. notes: sentences about what was chosen or
    left out.
    """

    train: Pair
    val: Pair | None = None
    test: Pair | None = None
    classes: Sequence[str] | None = None
    notes: tuple[str, ...] = ()


def dataset(
    parts: Parts, where: str, validation: float | None, seed: Any, dtype: DTypeLike
) -> Dataset:
    """Return the parts as a ``Dataset``.

    validation: None validates on the files' own validation images, else on their test images, else
    on a fifth of each class. A share is held out of the training images instead, and the test
    images stay a test set; ValueError where the files have validation images of their own. where:
    the file or folder, which the messages name.
    """
    train, val, test, classes, notes = parts
    held: Any = validation
    if validation is None:
        held, test = (val, test) if val is not None else (test, None)
        if held is None:
            held = SHARE
            notes = (*notes, f"{SHARE:.0%} of each class are held out for validation")
    elif val is not None:
        raise ValueError(
            f"{where} has validation images of its own; leave validation={validation:g} away"
        )
    try:
        data = from_arrays(*train, held, test=test, classes=classes, seed=seed, dtype=dtype)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return data._replace(notes=(*notes, *data.notes))


def split_dataset(data: Dataset, share: float, seed: Any = 0) -> Dataset:
    """Return a data set that holds out ``share`` of its training images for validation, and keeps
    its validation images as the test set. ValueError where it has a test set already.
    """
    if data.x_test is not None:
        raise ValueError("the data have validation images of their own; leave validation away")
    held = hold_out(data.y_train, share, seed)
    return data._replace(
        x_train=data.x_train[~held],
        y_train=data.y_train[~held],
        x_val=data.x_train[held],
        y_val=data.y_train[held],
        x_test=data.x_val,
        y_test=data.y_val,
    )


def check_memory(values: int, what: str, advice: str) -> None:
    """Raise ValueError when images of so many bytes, and the floats that they become, do not fit.

    what: the images, for the message. advice: what to do instead.
    """
    needed, free = COPIES * values, available()
    if free is not None and needed > free:
        raise ValueError(
            f"{what} need {gigabytes(needed)} of memory, and {gigabytes(free)} are free; {advice}"
        )


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Return whole numbers from 0 to 255 as bytes, which take less memory; others as they are."""
    if x.dtype.kind not in "fiu" or x.dtype == np.uint8 or not x.size:
        return x
    low, high = x.min(), x.max()
    whole = x.dtype.kind != "f" or (np.isfinite([low, high]).all() and (x == np.rint(x)).all())
    return x.astype(np.uint8) if whole and 1 < high <= 255 and low >= 0 else x
