"""The 8x8 digits that come with scikit-learn: real handwriting, learned in seconds."""

import importlib.util

import numpy as np

from autocnn.data.dataset import Dataset

EVERY = 5  # every fifth picture of each digit validates
SIZES = (1442, 355)  # what that makes of the 1797 pictures


def digits(dtype="float32"):
    """scikit-learn's 1797 handwritten digits: pictures (N, 1, 8, 8) in [0, 1], 1442 to train and
    355 to validate.

    The split is fixed and uses no random numbers: of each digit's pictures, in scikit-learn's
    order, the 5th, 10th, 15th ... validate, so that both sets hold the digits in equal shares. Both
    keep scikit-learn's order. The same writers occur in both: an accuracy on it says nothing of how
    a network fares with a stranger's hand.

    The data are the test half of "Optical recognition of handwritten digits" (Alpaydin and Kaynak,
    1998). ImportError if scikit-learn is not installed.
    """
    if not available():
        raise ImportError(
            "the 8x8 digits come with scikit-learn, which is not installed: pip install 'autocnn[sklearn]'"
        )
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    x = (pictures.reshape(-1, 1, 8, 8) / 16).astype(
        dtype
    )  # the values are counts of 0 to 16 pixels
    y = labels.astype(np.int64)

    validates = np.zeros(len(y), bool)
    for digit in range(10):
        validates[np.flatnonzero(y == digit)[EVERY - 1 :: EVERY]] = True
    return Dataset(x[~validates], y[~validates], x[validates], y[validates], tuple("0123456789"))


def available():
    """Whether scikit-learn is installed, found out without importing it."""
    return importlib.util.find_spec("sklearn") is not None
