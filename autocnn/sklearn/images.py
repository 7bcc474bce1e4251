"""Images as scikit-learn passes them, and the choice of a network."""

import math
import numbers
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from autocnn import models
from autocnn.data.arrays import channels_first, fault_of_list
from autocnn.ops.arguments import integer
from reference.warn import warn

__all__ = [
    "build_network",
    "flatten",
    "float_dtype",
    "from_tensor",
    "image_shape",
    "mean_and_std",
    "shape_of_row",
    "split_validation",
    "warn_ambiguous_row",
]

AUTO_WIDTH = 4  # of the chapter's tiny networks, which are as small as possible, for "auto"
MIN_CNN_SIZE = (
    8  # "auto" takes a convolutional network for images of at least this height and width
)

MIN_COLOUR_SIZE = 16  # of colour images that rows are suspected to be

Shape = tuple[int, ...]


def from_tensor(a: Any) -> Any:
    """Return a tensor of torch as a NumPy array, and anything else as it is."""
    return a.detach().cpu().numpy() if hasattr(a, "detach") else a


def image_shape(X: Any) -> Shape | None:
    """Return the shape (C, H, W) of images (N, C, H, W), (N, H, W, C) or (N, H, W); None for
    anything else.
    """
    X = _as_images(X)
    shape = np.shape(X) if hasattr(X, "shape") or isinstance(X, list | tuple) else ()
    if len(shape) == 3:
        return (1, *shape[1:])
    return tuple(shape[1:]) if len(shape) == 4 else None


def flatten(X: Any) -> Any:
    """Return images as rows (N, D), and anything else as it is."""
    shape = image_shape(X)
    return X if shape is None else np.asarray(_as_images(X)).reshape(len(X), math.prod(shape))


def _as_images(X: Any) -> Any:
    """Return an array or list of images with the channels first, and anything else as it is."""
    if text := fault_of_list(X):
        raise ValueError(text)
    return channels_first(X) if isinstance(X, np.ndarray) else X


def float_dtype(X: Any) -> type[np.floating]:
    """Return float32 if it holds X's dtype exactly, such as bytes, and float64 otherwise."""
    return np.float32 if np.can_cast(getattr(X, "dtype", np.float64), np.float32) else np.float64


def shape_of_row(d: int, given: Shape | None) -> Shape:
    """Return the image shape (C, H, W) of a row of d numbers.

    given: (H, W) or (C, H, W), ValueError if their product is not d; None for a square image where
    d is a square number, and 1 x d where it is not.
    """
    if given is None:
        side = math.isqrt(d)
        return (1, side, side) if side * side == d else (1, 1, d)
    shape = tuple(integer(n, "image_shape: each size") for n in given)
    if len(shape) not in (2, 3) or math.prod(shape) != d:
        raise ValueError(
            f"image_shape={given} must be (H, W) or (C, H, W) and make up the {d} numbers of a row"
        )
    return shape if len(shape) == 3 else (1, *shape)


def warn_ambiguous_row(d: int) -> None:
    """Warn where rows of d numbers may be colour images whose layout nothing tells: they are taken
    for the columns of a table.
    """
    for channels in (3, 4):
        side = math.isqrt(d // channels)
        if d == channels * side * side and side >= MIN_COLOUR_SIZE and math.isqrt(d) ** 2 != d:
            warn(
                f"rows of {d} numbers are taken for a table; if they are colour images, say how "
                f"they lie: image_shape=({channels}, {side}, {side}) for channels first, or "
                f"X.reshape(-1, {side}, {side}, {channels}) for channels last",
            )


def mean_and_std(rows: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Return the mean and standard deviation of all numbers in rows (N, D).

    weights: of each row, (N,); None for equal ones. The sums are in float64.
    """
    if weights is None:
        return float(rows.mean(dtype=float)), float(rows.std(dtype=float))
    mean = float(np.average(rows.mean(axis=1, dtype=float), weights=weights))
    squares = ((rows - mean) ** 2).mean(axis=1, dtype=float)
    return mean, float(np.average(squares, weights=weights)) ** 0.5


def build_network(network: Any, classes: int, shape: Shape, factor: Any, nn: ModuleType) -> Any:
    """Build the network that ``CNNClassifier`` describes, for images of ``shape`` (C, H, W).

    network: a name, "auto", or a function of (classes, nn). factor: on the width of a network given
    by name. ValueError for an unknown name or a wrong width.
    """
    _, height, width = shape
    if callable(network):
        if factor != 1:
            raise ValueError(
                "a builder takes its width itself: network=functools.partial(builder, width=...)"
            )
        return network(classes=classes, nn=nn)
    if not isinstance(factor, numbers.Real):
        raise ValueError(f"width is a factor such as 0.5 or 2; got {factor!r}")
    name, factor = str(network).replace("_", "-"), float(factor)
    if name == "auto":
        name = "tiny-cnn" if min(height, width) >= MIN_CNN_SIZE else "tiny-mlp"
        factor *= AUTO_WIDTH
    model = models.build(name, classes, factor, nn)
    if name == "tiny-cnn" and min(height, width) < 4:  # smaller than its kernel and pool
        kernel = min(3, height), min(3, width)
        pool = min(2, height - kernel[0] + 1), min(2, width - kernel[1] + 1)
        filters = model.parts[0].options["filters"]
        return models.tiny_cnn(classes, filters, kernel, pool=pool, nn=nn)
    return model


def split_validation(y: np.ndarray, fraction: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted indices of the samples to train on and of those held out, stratified by y.

    At least one sample of each class is held out. ValueError if the samples do not suffice.
    """
    if not isinstance(fraction, numbers.Real) or not 0 < fraction < 1:
        raise ValueError(
            f"validation_fraction is a number between 0 and 1, such as 0.1; got {fraction!r}"
        )
    size = max(math.ceil(fraction * len(y)), len(np.unique(y)))
    try:
        kept, held_out = train_test_split(
            np.arange(len(y)), test_size=size, random_state=seed, stratify=y
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping: {size} of {len(y)} samples cannot be held out: {error}"
        ) from None
    return np.sort(kept), np.sort(held_out)
