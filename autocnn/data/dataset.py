"""A data set is four arrays, training and validation pictures with their labels, and the names
of the classes.
"""

from typing import NamedTuple

import numpy as np

from autocnn.text import shape_text


class Dataset(NamedTuple):
    """Pictures and labels, split into what a network learns from and what it is judged by.

    `x_train`, `x_val`: pictures (N, C, H, W), float64 or float32, in [0, 1]. `y_train`, `y_val`:
    labels (N,), int64, each an index into `classes`, a tuple of names. It unpacks like the tuple
    that it is:

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

    def __repr__(self):
        size = shape_text(self.x_train.shape[1:], "x")
        return (
            f"Dataset({len(self.x_train)} + {len(self.x_val)} pictures of {size}, {self.x_train.dtype}, "
            f"classes: {', '.join(self.classes)})"
        )
