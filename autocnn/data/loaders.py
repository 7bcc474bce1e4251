"""``load``: a data set by its name, or a folder of IDX files.

``LOADERS`` lists the names. A new data set of any format is a function from a dtype to a
``Dataset``, and a line there.
"""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from autocnn.data.dataset import Dataset
from autocnn.data.digits import digits
from autocnn.data.idx_sets import DifferentData, MissingData, load_folder, load_published
from autocnn.data.known import KNOWN
from autocnn.text import did_you_mean

__all__ = ["LOADERS", "DifferentData", "MissingData", "load"]

LOADERS: dict[str, Callable[[np.dtype], Dataset]] = {
    "digits": digits,
    **{name: functools.partial(load_published, name) for name in KNOWN},
}


def load(name: str | Path, dtype: DTypeLike = "float32") -> Dataset:
    """Load a ``Dataset`` of real images: (N, C, H, W) in [0, 1], with labels int64.

    name: "digits" (scikit-learn's, 8x8), "mnist", "fashion-mnist", or the path of a folder with
    four IDX files, gzipped or not. dtype: of the images, float32 or float64.

    MNIST and Fashion-MNIST are searched in $AUTOCNN_DATA (a folder of their name, torchvision's
    layout, or the folder itself), the user's cache folder, and where Debian's package
    dataset-fashion-mnist has it. ``autocnn data`` lists what is found, and ``autocnn data fetch``
    gets them. Their 10,000 published test images are the validation set, as is usual. Bytes are
    divided by 255 and not normalized further.

    A folder's classes are "0", "1", ... up to the largest training label, unless its files are
    those of a published set. Files under the name of a published set that differ from the published
    ones load with one ``DifferentData`` warning.

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
        loader = functools.partial(load_folder, _folder(name))
    return loader(np.dtype(dtype))


def _folder(name: str | Path) -> Path:
    try:
        folder = Path(name).expanduser()
    except TypeError:
        raise ValueError(
            f"a data set is a name or a folder, got {name!r}: load('digits')"
        ) from None
    if folder.is_dir():
        return folder
    hint = did_you_mean(name, LOADERS)
    if name == "patterns":
        hint = "; the patterns are drawn: autocnn.data.patterns()."
    raise ValueError(
        f"there is no data set or folder {str(name)!r}{hint} Data sets are {', '.join(LOADERS)}."
    )
