"""``load``: a data set by its name, or files of any usual form.

``LOADERS`` lists the names. A new data set of any format is a function from a dtype to a
``Dataset``, and a line there.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.dataset import Dataset
from autocnn.data.digits import digits
from autocnn.data.forms import load_path
from autocnn.data.idx_sets import DifferentData, MissingData, load_published
from autocnn.data.known import KNOWN
from autocnn.data.parts import split_dataset
from autocnn.text import did_you_mean

__all__ = ["LOADERS", "DifferentData", "MissingData", "load"]

LOADERS: dict[str, Callable[[np.dtype], Dataset]] = {
    "digits": digits,
    **{name: functools.partial(load_published, name) for name in KNOWN},
}


def load(
    name: str | Path,
    dtype: DTypeLike = "float32",
    *,
    validation: float | None = None,
    size: Any = None,
    grey: bool | None = None,
    transpose: bool | None = None,
    seed: Any = 0,
) -> Dataset:
    """Load a ``Dataset`` of real images: (N, C, H, W) in [0, 1], with labels int64.

    name: "digits" (scikit-learn's, 8x8), "mnist", "fashion-mnist", or the path of a file or folder,
    whose content tells its form:

    - a folder for each class of image files: see ``from_folder``, for size and grey too;
    - four IDX files, gzipped or not, grey or colour, in a folder, or one of them where the folder
      has several sets. transpose: swap rows and columns; None does so for EMNIST's;
    - .npz, or a folder of .npy files: x_train, y_train, x_test, y_test (Keras), train_images,
      train_labels, val_images, ... (MedMNIST), or X, y. Python objects are never unpickled;
    - .csv: a row for each image, with a label and its pixels (Kaggle's digits), or a folder with
      train.csv. size: (H, W) of images that are not square;
    - a folder of CIFAR-10's or CIFAR-100's binary version; SVHN's train_32x32.mat.

    validation: the share of each class to hold out of the training images, with ``seed``; test
    images, as most published sets have them, are then the data set's x_test. None validates on the
    set's own validation images, else on its test images, else on a fifth of each class. dtype: of
    the images, float32 or float64.

    MNIST and Fashion-MNIST are searched in $AUTOCNN_DATA (a folder of their name, torchvision's
    layout, or the folder itself), the user's cache folder, and where Debian's package
    dataset-fashion-mnist has it. ``autocnn data`` lists what is found, and ``autocnn data fetch``
    gets them. Their 10,000 published test images are the validation set, as is usual. Bytes are
    divided by 255 and not normalized further.

    The classes of IDX files are "0", "1", ... up to the largest training label, unless they are
    those of a published set. Files under the name of a published set that differ from the published
    ones load with one ``DifferentData`` warning. What was chosen or left out is in ``notes``.

    ValueError for an unknown name, damaged files, or images and labels that do not fit together;
    ``MissingData`` if a published set is not on this machine.

    >>> data = load("digits")
    >>> data.x_train.shape, data.x_val.shape, data.x_train.dtype
    ((1442, 1, 8, 8), (355, 1, 8, 8), dtype('float32'))
    """
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise ValueError(
            f"dtype must be 'float32' or 'float64', got {dtype!r}: load('digits', dtype='float64')"
        )
    loader = LOADERS.get(name) if isinstance(name, str) else None
    if loader is None:
        return load_path(_path(name), dtype, validation, size, grey, transpose, seed)
    for option, value in (("size", size), ("grey", grey), ("transpose", transpose)):
        if value is not None:
            raise ValueError(f"{name} has images of one form; leave {option} away")
    data = loader(np.dtype(dtype))
    return data if validation is None else split_dataset(data, validation, seed)


def _path(name: str | Path) -> Path:
    try:
        path = Path(name).expanduser()
        exists = path.exists()
    except TypeError:
        raise ValueError(
            f"a data set is a name or a folder, got {name!r}: load('digits')"
        ) from None
    except (ValueError, OSError, RuntimeError):  # a null byte, a name that is too long, no home
        exists = False
    if exists:
        return path
    hint = did_you_mean(name, LOADERS)
    if name == "patterns":
        hint = "; the patterns are drawn: autocnn.data.patterns()."
    raise ValueError(
        f"there is no data set or folder {str(name)!r}{hint} Data sets are {', '.join(LOADERS)}."
    )
