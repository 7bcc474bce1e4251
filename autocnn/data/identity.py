"""``content_sum``: which data a run was trained on, wherever they are."""

import hashlib

import numpy as np

from autocnn.data.dataset import Dataset
from autocnn.text import shape_text

__all__ = ["content_difference", "content_sum"]


def content_sum(data: Dataset) -> str:
    """Return the sha256, in hexadecimal, of a data set's images and labels for training and
    validation, with their shapes and dtypes, and its classes' names.
    """
    total = hashlib.sha256(repr(data.classes).encode("utf-8", "backslashreplace"))
    for array in data[:4]:
        if array is None:
            total.update(b"none")
            continue
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def content_difference(
    data: Dataset, shape: tuple[int, ...], classes: tuple[str, ...], content: str | None
) -> str:
    """Return in a few words how data differ from those with that shape of an image (C, H, W), these
    classes and that ``content_sum``; "" if they do not. content: None where it is not known.
    """
    found = data.x_train.shape[1:]
    if found != tuple(shape):
        return f"its images are {shape_text(found, 'x')}, not {shape_text(shape, 'x')}"
    if tuple(data.classes) != tuple(classes):
        return f"its classes are {', '.join(data.classes)}, not {', '.join(classes)}"
    if content is not None and content_sum(data) != content:
        return "its images or labels are others"
    return ""
