"""The 8x8 digits that come with scikit-learn: real handwriting, learned in seconds."""

import importlib.util

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.dataset import Dataset

__all__ = ["SIZES", "available", "digits"]

EVERY = 5  # every fifth image of each digit is for validation
SIZES = (1442, 355)  # the numbers of training and validation images, of 1797


def digits(dtype: DTypeLike = "float32") -> Dataset:
    """Return scikit-learn's 1797 handwritten digits: images (N, 1, 8, 8) in [0, 1].

    1442 images are for training and 355 for validation. The split is fixed: of each digit's images,
    in scikit-learn's order, the 5th, 10th, 15th ... are for validation. Both sets keep
    scikit-learn's order. The same writers occur in both, so the validation accuracy says nothing
    about new writers.

    Source: the test set of Alpaydin and Kaynak 1998, Optical recognition of handwritten digits, UCI
    machine learning repository. ImportError if scikit-learn is not installed.
    """
    if not available():
        raise ImportError(
            "the 8x8 digits come with scikit-learn, which is not installed: "
            "pip install 'autocnn[sklearn]'"
        )
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = (images.reshape(-1, 1, 8, 8) / 16).astype(dtype)  # the values count pixels, from 0 to 16
    y = labels.astype(np.int64)
    is_val = np.zeros(len(y), bool)
    for digit in range(10):
        is_val[np.flatnonzero(y == digit)[EVERY - 1 :: EVERY]] = True
    return Dataset(x[~is_val], y[~is_val], x[is_val], y[is_val], tuple("0123456789"))


def available() -> bool:
    """Return whether scikit-learn is installed, without importing it."""
    return importlib.util.find_spec("sklearn") is not None
