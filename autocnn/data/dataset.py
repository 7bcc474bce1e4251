"""A data set: four arrays, of training and validation images with their labels, and class names."""

from typing import NamedTuple

import numpy as np

from autocnn.text import shape_text

__all__ = ["Dataset"]


class Dataset(NamedTuple):
    """Images and labels, split for training and validation.

    x_train, x_val: images (N, C, H, W), float64 or float32, in [0, 1]. y_train, y_val: labels
    (N,), int64, indices into ``classes``, a tuple of names. It unpacks like a tuple:

    >>> from autocnn.data import patterns
    >>> x_train, y_train, x_val, y_val, classes = patterns()
    >>> x_train.shape, classes[y_train[0]]
    ((180, 1, 8, 8), 'vertical')
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    classes: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"Dataset({len(self.x_train)} + {len(self.x_val)} images of "
            f"{shape_text(self.x_train.shape[1:], 'x')}, {self.x_train.dtype}, "
            f"classes: {', '.join(self.classes)})"
        )
